"""Impossible or wrong values in a report: they are shown, not acted on.

What a lie can do to the number is bounded by `compute`.

Thresholds are generous: a suspicion should mean a broken or hostile agent and not an unlucky second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from colocation.model.facts import NodeFacts
from colocation.model.quantity import human_bytes, human_millicores
from colocation.model.report import NodeColocationStatus, Usage

CLOCK_SECONDS: Final = 300.0
BEHIND_SECONDS: Final = 60.0
"""An agent hears of a change within a second or two, and follows it in its next round."""
NODE_TIMES: Final = (5, 4)
"""The node or its system part cannot use more than 5/4 of what kubelet says there is."""
PODS_TIMES: Final = 2
"""Nor its pods twice of it: each mean is over the pod's own life in the window, so they may add up to more than one."""


class Suspicion(StrEnum):
    """What is impossible in a report, in one word: a metric label with few values."""

    IMPOSSIBLE_USE = "ImpossibleUse"
    INCONSISTENT = "Inconsistent"
    UNKNOWN_PODS = "UnknownPods"
    CLOCK = "Clock"
    BEHIND = "Behind"
    """The agent reports, and does not follow its spec: new best-effort pods are not limited."""


def suspicions(
    node: NodeFacts,
    status: NodeColocationStatus,
    unknown_pods: Collection[str],
    wall: float,
    behind: tuple[int, float] | None = None,
) -> Mapping[Suspicion, str]:
    """Look at a report that has just arrived, at ``wall`` (Unix time); a sentence for each suspicion.

    ``unknown_pods``: uids in this report and in the one before that belong to no pod of this node.
    ``behind``: the generation of its spec that the agent does not follow yet, and for how many seconds it could have.
    """
    suspicions: dict[Suspicion, str] = {}
    if message := _too_much(node, status):
        suspicions[Suspicion.IMPOSSIBLE_USE] = message
    if message := _contradiction(status):
        suspicions[Suspicion.INCONSISTENT] = message
    if unknown_pods:
        suspicions[Suspicion.UNKNOWN_PODS] = (
            f"{len(unknown_pods)} of {len(status.pods)} rows are of pods that this node does not have"
        )
    if message := _clock(status.observed_at, wall):
        suspicions[Suspicion.CLOCK] = message
    if behind is not None and behind[1] >= BEHIND_SECONDS:
        suspicions[Suspicion.BEHIND] = (
            f"its agent follows generation {status.observed_generation} of its spec, and not {behind[0]}, "
            f"which it could have for {behind[1]:,.0f} s"
        )
    return suspicions


def unknown_pods(status: NodeColocationStatus, before: NodeColocationStatus | None, known: Collection[str]) -> set[str]:
    """Uids in two consecutive reports that belong to no pod: in one alone a pod may just have come or gone."""
    unknown = {row.uid for row in status.pods if row.uid not in known}
    return unknown & {row.uid for row in before.pods} if unknown and before is not None else set()


def _too_much(node: NodeFacts, status: NodeColocationStatus) -> str:
    times, of = NODE_TIMES
    for name, usage in (("node", status.node), ("system", status.system)):
        if usage is None:
            continue
        if (usage.cpu or 0) * of > node.cpu_capacity * times:
            return f"the {name} uses {human_millicores(usage.cpu or 0)} of {human_millicores(node.cpu_capacity)} cpu"
        if (usage.memory or 0) * of > node.memory_capacity * times:
            return f"the {name} uses {human_bytes(usage.memory or 0)} of {human_bytes(node.memory_capacity)} memory"
    cpu = sum(row.cpu or 0 for row in status.pods)
    if cpu > node.cpu_capacity * PODS_TIMES:
        return f"the pods use {human_millicores(cpu)} of {human_millicores(node.cpu_capacity)} cpu"
    memory = sum(row.memory or 0 for row in status.pods)
    if memory > node.memory_capacity * PODS_TIMES:
        return f"the pods use {human_bytes(memory)} of {human_bytes(node.memory_capacity)} memory"
    return ""


def _contradiction(status: NodeColocationStatus) -> str:
    if len({row.uid for row in status.pods}) != len(status.pods):
        return "a pod has several rows"
    whole: list[tuple[str, Usage | None]] = [("node", status.node), ("system", status.system)]
    for name, usage in whole:
        if usage is not None and (_below(usage.cpu_peak, usage.cpu) or _below(usage.memory_peak, usage.memory)):
            return f"the {name}'s peak is below its mean"
    if any(_below(row.cpu_peak, row.cpu) or _below(row.memory_peak, row.memory) for row in status.pods):
        return "a pod's peak is below its mean"
    return ""


def _below(peak: int | None, mean: int | None) -> bool:
    return peak is not None and mean is not None and peak < mean


def _clock(observed_at: str, wall: float) -> str:
    try:
        at = datetime.fromisoformat(observed_at)
        ahead = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - wall
    except (ValueError, OverflowError):
        return "observedAt is no time"
    if abs(ahead) <= CLOCK_SECONDS:
        return ""
    return f"its clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the manager's"
