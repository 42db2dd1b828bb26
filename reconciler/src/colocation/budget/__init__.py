"""What a node may oversell, and why: pure functions over the model, integers throughout, no I/O and no clock.

The formula and its rules are in docs/budget.md. CPU is in millicores, memory in bytes; rounding is always
against the offline side.
"""

from colocation.budget.compute import Budget, Resource, compute, estimate
from colocation.budget.evaluate import Evaluation, ReportView, evaluate
from colocation.budget.explain import Explanation, explain
from colocation.budget.publish import Decision, Promised, decide, promised
from colocation.budget.select import Candidate, Selection, select_policy
from colocation.budget.window import SlidingMinimum, Windows

__all__ = [
    "Budget",
    "Candidate",
    "Decision",
    "Evaluation",
    "Explanation",
    "Promised",
    "ReportView",
    "Resource",
    "Selection",
    "SlidingMinimum",
    "Windows",
    "compute",
    "decide",
    "estimate",
    "evaluate",
    "explain",
    "promised",
    "select_policy",
]
