"""What a node may oversell, and why: pure functions over the model, integers throughout, no I/O and no clock.

The formula and its rules are in docs/budget.md. CPU is in millicores, memory in bytes; rounding is always
against the offline side.
"""

from colocation.budget.account import direction, for_the_log, in_a_line, moved
from colocation.budget.compute import Budget, compute
from colocation.budget.doubts import Doubt, doubts, strangers
from colocation.budget.evaluate import Evaluation, ReportView, Withdrawal, evaluate
from colocation.budget.explain import EvictionExplanation, Explanation, explain, top_pods
from colocation.budget.publish import Decision, Leaving, Promised, decide, promised
from colocation.budget.rollout import (
    Compared,
    Health,
    Staged,
    Verdict,
    Watched,
    complaints,
    first_nodes,
    in_steps,
    same_effect,
)
from colocation.budget.select import Candidate, Selection, select_policy
from colocation.budget.sums import PodSum, PodSums, Resource, add_up, add_up_one, estimate, strategies
from colocation.budget.what_if import Outcome, Step, replay, what_if
from colocation.budget.window import SlidingMinimum, Windows

__all__ = [
    "Budget",
    "Candidate",
    "Compared",
    "Decision",
    "Doubt",
    "Evaluation",
    "EvictionExplanation",
    "Explanation",
    "Health",
    "Leaving",
    "Outcome",
    "PodSum",
    "PodSums",
    "Promised",
    "ReportView",
    "Resource",
    "Selection",
    "SlidingMinimum",
    "Staged",
    "Step",
    "Verdict",
    "Watched",
    "Windows",
    "Withdrawal",
    "add_up",
    "add_up_one",
    "complaints",
    "compute",
    "decide",
    "direction",
    "doubts",
    "estimate",
    "evaluate",
    "explain",
    "first_nodes",
    "for_the_log",
    "in_a_line",
    "in_steps",
    "moved",
    "promised",
    "replay",
    "same_effect",
    "select_policy",
    "strangers",
    "strategies",
    "top_pods",
    "what_if",
]
