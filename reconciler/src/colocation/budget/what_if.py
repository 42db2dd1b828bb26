"""What would be published under other policies: decided like the real thing, and of no consequence."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from colocation.budget.evaluate import ReportView, evaluate
from colocation.budget.explain import phrases
from colocation.budget.publish import Decision, decide
from colocation.budget.select import Selection
from colocation.budget.silence import ALWAYS, Hearing
from colocation.budget.sums import PodSums
from colocation.budget.window import Windows
from colocation.model.facts import NodeFacts, Published
from colocation.model.phrase import Phrase


class SimulatedNode(Struct, frozen=True):
    """One node under other policies, once growth has lasted for its window (shrinks come at once)."""

    policy: str | None
    decision: Decision
    reasons: tuple[Phrase, ...]


def what_if(
    node: NodeFacts, selection: Selection, report: ReportView, pods: PodSums, now: float, hearing: Hearing = ALWAYS
) -> SimulatedNode:
    """Decide a node as if nothing had been published: what it carries now counts for what is allocated only."""
    unpublished = msgspec.structs.replace(node, published=Published(), withdrawn=None)
    evaluation = evaluate(unpublished, selection, report, pods, Windows(), now, hearing=hearing)
    decision = decide(
        node,
        evaluation.headroom_cpu,
        evaluation.headroom_memory,
        pods.allocated,
        _max_pods(selection),
        evaluation.withdraw,
    )
    return SimulatedNode(selection.winner.name if selection.winner else None, decision, phrases(evaluation))


def _max_pods(selection: Selection) -> int:
    return selection.winner.spec.oversell.max_pods if selection.winner else 0
