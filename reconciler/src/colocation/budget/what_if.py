"""What would be published under other policies: decided like the real thing, and of no consequence."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from colocation.budget.evaluate import Evaluation, ReportView, evaluate
from colocation.budget.explain import in_words
from colocation.budget.publish import Decision, decide
from colocation.budget.select import Selection
from colocation.budget.sums import PodSums
from colocation.budget.window import Windows
from colocation.model.facts import NodeFacts, Published
from colocation.model.report import NodeColocationStatus


class Outcome(Struct, frozen=True):
    """One node under other policies, once growth has lasted for its window (shrinks come at once)."""

    policy: str | None
    decision: Decision
    reason: str


def what_if(node: NodeFacts, selection: Selection, report: ReportView, pods: PodSums, now: float) -> Outcome:
    """Decide a node without its memory: what it carries now counts for promises only, not for the room."""
    unsold = msgspec.structs.replace(node, published=Published(), withdrawn=None)
    made = evaluate(unsold, selection, report, pods, Windows(), now)
    decision = decide(node, made.room_cpu, made.room_memory, pods.owed, _max_pods(selection), made.withdraw)
    return Outcome(selection.winner.name if selection.winner else None, decision, in_words(made))


def _max_pods(selection: Selection) -> int:
    return selection.winner.spec.oversell.max_pods if selection.winner else 0


class Step(Struct, frozen=True):
    """One moment of a replay: what the node carried, and whether that was written now."""

    cpu: int
    memory: int
    written: bool


def replay(
    node: NodeFacts, selection: Selection, reports: Iterable[tuple[NodeColocationStatus, PodSums]], seconds: float
) -> Iterable[Step]:
    """What would have been published, report by report, each ``seconds`` after the one before."""
    windows, now = Windows(), 0.0
    for status, pods in reports:
        view = ReportView(status=status, arrived=now, since_start=True)
        made: Evaluation = evaluate(node, selection, view, pods, windows, now)
        after = Published(made.decision.cpu, made.decision.memory, made.decision.gate)
        yield Step(after.cpu or 0, after.memory or 0, after != node.published)
        node = msgspec.structs.replace(node, published=after)
        now += seconds
