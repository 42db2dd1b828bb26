"""What a node may oversell, and why: pure functions over the model, integers throughout, no I/O and no clock.

The formula and its rules are in docs/budget.md. CPU is in millicores, memory in bytes; rounding is always
against the offline side.
"""

from colocation.budget.account import direction, log_fields, moved, one_line
from colocation.budget.compute import Budget, compute
from colocation.budget.evaluate import Evaluation, ReportView, Withdrawal, evaluate
from colocation.budget.explain import explain, top_pods
from colocation.budget.publish import Allocated, Decision, PendingEviction, allocated_to, decide
from colocation.budget.rollout import (
    Comparison,
    Health,
    RolloutCheck,
    Staged,
    Verdict,
    canary_nodes,
    failed_checks,
    is_staged,
    same_effect,
)
from colocation.budget.select import Candidate, Selection, select_policy
from colocation.budget.silence import Hearing, silent_at
from colocation.budget.sums import (
    NONE_KNOWN,
    KnownPeaks,
    Peaks,
    PodSum,
    PodSums,
    Resource,
    add_up,
    add_up_one,
    estimate,
    strategies,
)
from colocation.budget.suspicions import Suspicion, suspicions, unknown_pods
from colocation.budget.what_if import SimulatedNode, what_if
from colocation.budget.window import SlidingMinimum, Windows
from colocation.budget.workloads import Workloads

__all__ = [
    "NONE_KNOWN",
    "Allocated",
    "Budget",
    "Candidate",
    "Comparison",
    "Decision",
    "Evaluation",
    "Health",
    "Hearing",
    "KnownPeaks",
    "Peaks",
    "PendingEviction",
    "PodSum",
    "PodSums",
    "ReportView",
    "Resource",
    "RolloutCheck",
    "Selection",
    "SimulatedNode",
    "SlidingMinimum",
    "Staged",
    "Suspicion",
    "Verdict",
    "Windows",
    "Withdrawal",
    "Workloads",
    "add_up",
    "add_up_one",
    "allocated_to",
    "canary_nodes",
    "compute",
    "decide",
    "direction",
    "estimate",
    "evaluate",
    "explain",
    "failed_checks",
    "is_staged",
    "log_fields",
    "moved",
    "one_line",
    "same_effect",
    "select_policy",
    "silent_at",
    "strategies",
    "suspicions",
    "top_pods",
    "unknown_pods",
    "what_if",
]
