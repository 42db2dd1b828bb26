"""What would change a node's number: the nearest lever of each resource, and what time alone will do."""

from __future__ import annotations

from collections.abc import Iterator

from colocation.budget.compute import Budget
from colocation.budget.evaluate import Evaluation, Withdrawal
from colocation.budget.publish import holds
from colocation.budget.sums import Resource
from colocation.budget.window import SlidingMinimum, Windows
from colocation.model import names
from colocation.model.facts import NodeFacts
from colocation.model.quantity import human_bytes, human_millicores


def levers(node: NodeFacts, evaluation: Evaluation, windows: Windows, now: float) -> tuple[str, ...]:
    """In words, the most telling first."""
    if evaluation.withdrawal is not None:
        return (_back(evaluation.withdrawal, node, evaluation),)
    messages: list[str] = []
    for budget, window, headroom, allocated in (
        (evaluation.cpu, windows.cpu, evaluation.headroom_cpu, evaluation.allocated.cpu),
        (evaluation.memory, windows.memory, evaluation.headroom_memory, evaluation.allocated.memory),
    ):
        if budget is not None:
            messages += (f"{budget.resource}: {message}" for message in _of(budget, window, headroom, allocated, now))
    winner = evaluation.selection.winner
    if winner is not None and not holds(winner.spec.oversell.max_pods, evaluation.allocated):
        messages.append(
            f"maxPods: at least {max(evaluation.allocated.pods, 1)}, or fewer best-effort pods, before new ones may "
            "come"
        )
    if evaluation.silent_at is not None:
        left = max(0.0, evaluation.silent_at - now)
        messages.append(f"silence: without a report within {left:.0f} s everything is withdrawn")
    return tuple(messages)


def _of(budget: Budget, window: SlidingMinimum, headroom: int, allocated: int, now: float) -> Iterator[str]:
    say = human_millicores if budget.resource is Resource.CPU else human_bytes
    if budget.problem:
        yield f"nothing can be published until this is fixed: {budget.problem}"
        return
    if headroom < allocated:
        yield f"the node opens when {say(allocated - headroom)} less are allocated, or as much more is free"
    rises = window.rises_at()
    if headroom < budget.result and rises is not None:
        yield f"time: in {max(0.0, rises - now):.0f} s it grows, to at most {say(budget.result)}, if nothing changes"
    percent = -(-budget.capacity // 100)
    if budget.free > budget.ceiling:
        yield f"maxPercent: beyond its {say(budget.ceiling)} another {say(budget.free - budget.ceiling)} are free"
    elif budget.free < budget.quantum:
        points = -(-(budget.quantum - budget.free) // percent)
        yield (
            f"{say(budget.quantum - budget.free)} less of online or system use, or {points} more points of "
            "reclaimPercent, before the first quantum is published"
        )
    else:
        missing = budget.quantum - budget.free % budget.quantum
        yield (
            f"{say(missing)} less use publishes {say(budget.quantum)} more; a point of reclaimPercent is {say(percent)}"
        )


def _back(withdrawal: Withdrawal, node: NodeFacts, evaluation: Evaluation) -> str:
    winner = evaluation.selection.winner
    return {
        Withdrawal.UNLABELLED: f"kubectl label node {node.name} {names.NODE_LABEL}=true",
        Withdrawal.NO_POLICY: "a ColocationPolicy whose nodeSelector matches the node's labels",
        Withdrawal.DISABLED: f"spec.enabled: true in the policy {winner.name if winner else ''}",
        Withdrawal.INVALID_REPORT: "a report that can be read: see the agent's log on that node, and its version",
        Withdrawal.NO_REPORT: "the first report: is the agent's pod running there?",
        Withdrawal.STALE_REPORT: "a report: is the agent's pod running there, and does it reach the API server?",
    }[withdrawal]
