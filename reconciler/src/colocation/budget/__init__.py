"""What a node may oversell, and why: pure functions over the model, integers throughout, no I/O and no clock.

The formula and its rules are in docs/budget.md. CPU is in millicores, memory in bytes; rounding is always
against the offline side.
"""

from colocation.budget.compute import Budget, compute
from colocation.budget.doubts import Doubt, doubts, strangers
from colocation.budget.evaluate import Evaluation, ReportView, Withdrawal, evaluate
from colocation.budget.explain import Explanation, explain
from colocation.budget.publish import Decision, Promised, decide, promised
from colocation.budget.select import Candidate, Selection, select_policy
from colocation.budget.sums import PodSum, PodSums, Resource, add_up, add_up_one, estimate, strategies
from colocation.budget.window import SlidingMinimum, Windows

__all__ = [
    "Budget",
    "Candidate",
    "Decision",
    "Doubt",
    "Evaluation",
    "Explanation",
    "PodSum",
    "PodSums",
    "Promised",
    "ReportView",
    "Resource",
    "Selection",
    "SlidingMinimum",
    "Windows",
    "Withdrawal",
    "add_up",
    "add_up_one",
    "compute",
    "decide",
    "doubts",
    "estimate",
    "evaluate",
    "explain",
    "promised",
    "select_policy",
    "strangers",
    "strategies",
]
