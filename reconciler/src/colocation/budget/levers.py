"""What would change a node's number: the nearest lever of each resource, and what time alone will do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from colocation.budget.compute import Budget
from colocation.budget.evaluate import Evaluation, Withdrawal
from colocation.budget.publish import holds
from colocation.budget.window import SlidingMinimum, Windows
from colocation.model import names
from colocation.model.facts import NodeFacts
from colocation.model.phrase import Phrase, phrase


def levers(node: NodeFacts, evaluation: Evaluation, windows: Windows, now: float) -> tuple[Phrase, ...]:
    """The most telling first."""
    if evaluation.withdrawal is not None:
        return (_back(evaluation.withdrawal, node, evaluation),)
    found: list[Phrase] = []
    for budget, window, headroom, allocated in (
        (evaluation.cpu, windows.cpu, evaluation.headroom_cpu, evaluation.allocated.cpu),
        (evaluation.memory, windows.memory, evaluation.headroom_memory, evaluation.allocated.memory),
    ):
        if budget is not None:
            found += _of(budget, window, headroom, allocated, now)
    winner = evaluation.selection.winner
    if winner is not None and not holds(winner.spec.oversell.max_pods, evaluation.allocated):
        found.append(phrase("morePods", atLeastPods=max(evaluation.allocated.pods, 1)))
    if evaluation.silent_at is not None:
        found.append(phrase("silence", leftSeconds=round(max(0.0, evaluation.silent_at - now))))
    return tuple(found)


def _of(budget: Budget, window: SlidingMinimum, headroom: int, allocated: int, now: float) -> Iterator[Phrase]:
    say = partial(phrase, resource=budget.resource)
    if budget.problem:
        yield say("fix", problem=budget.problem)
        return
    if headroom < allocated:
        yield say("opens", missing=allocated - headroom)
    rises = window.rises_at()
    if headroom < budget.result and rises is not None:
        yield say("time", leftSeconds=round(max(0.0, rises - now)), result=budget.result)
    percent = -(-budget.capacity // 100)
    if budget.free > budget.ceiling:
        yield say("moreCeiling", ceiling=budget.ceiling, beyond=budget.free - budget.ceiling)
    elif budget.free < budget.quantum:
        points = -(-(budget.quantum - budget.free) // percent)
        yield say("firstQuantum", missing=budget.quantum - budget.free, morePoints=points)
    else:
        missing = budget.quantum - budget.free % budget.quantum
        yield say("nextQuantum", missing=missing, quantum=budget.quantum, point=percent)


def _back(withdrawal: Withdrawal, node: NodeFacts, evaluation: Evaluation) -> Phrase:
    winner = evaluation.selection.winner
    match withdrawal:
        case Withdrawal.UNLABELLED:
            return phrase("labelIt", node=node.name, label=names.NODE_LABEL)
        case Withdrawal.NO_POLICY:
            return phrase("selectIt")
        case Withdrawal.DISABLED:
            return phrase("enableIt", policy=winner.name if winner else "")
        case Withdrawal.INVALID_REPORT:
            return phrase("readableReport")
        case Withdrawal.NO_REPORT:
            return phrase("firstReport")
        case Withdrawal.STALE_REPORT:
            return phrase("anyReport")
