"""From headroom to what the Node carries: never below what is allocated; closed while the headroom is smaller.

Publishing less than is allocated would fail running pods at the next kubelet restart; publishing just that
would let the scheduler refill every gap. Hence the gate: a closed node loses the key that every BE pod asks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.fit import cut
from colocation.model.phrase import Phrase, phrase, say
from colocation.model.quantity import saturate
from colocation.model.report import SENTENCE_LENGTH


class Allocated(Struct, frozen=True, gc=False):
    """What the scheduler counts for the node's bound, unfinished pods: millicores and bytes of be-*."""

    cpu: int = 0
    memory: int = 0
    cpu_running: int = 0
    memory_running: int = 0
    pods: int = 0
    """What they ask for of the gate; a best-effort pod that asks for none of it counts as 1."""


class PendingEviction(Struct, frozen=True, gc=False):
    """A pod under eviction: its request leaves the headroom before it goes, so that no other takes its place."""

    cpu: int = 0
    memory: int = 0
    message: str = ""
    """Why it is to leave."""


class Decision(Struct, frozen=True, gc=False):
    """What the Node should carry; None: the key is to be absent."""

    cpu: int | None
    memory: int | None
    gate: int | None
    withdrawn: str | None = None
    closed: tuple[Phrase, ...] = ()
    """Why the gate is closed; empty: open."""


def allocated_to(pods: Iterable[PodFacts]) -> Allocated:
    """Requests of all these pods, and of the Running ones alone (terminating included)."""
    cpu = memory = cpu_running = memory_running = bound = 0
    for pod in pods:
        requests_be = pod.requests_be
        if requests_be or pod.gate or pod.qos is Qos.BE:
            bound += pod.gate or 1
        if requests_be:
            cpu += pod.be_cpu
            memory += pod.be_memory
            if pod.running:
                cpu_running += pod.be_cpu
                memory_running += pod.be_memory
    return Allocated(*(saturate(total) for total in (cpu, memory, cpu_running, memory_running, bound)))


def published(headroom: int, allocated_all: int, allocated_running: int, before: int) -> int:
    """The value of one key: covers what is allocated, which never raises it (a pod may set nodeName itself)."""
    return max(headroom, allocated_running, min(allocated_all, before))


def holds(max_pods: int, allocated: Allocated) -> bool:
    """A gate of ``max_pods`` may be published on a Node that has these pods.

    Below what bound pods ask for, kubelet would fail them at its next restart; without the key it counts none of them:
    https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/lifecycle/predicate.go
    """
    return max_pods >= max(allocated.pods, 1)


def unchanged(node: NodeFacts, allocated: Allocated, why: Phrase) -> Decision:
    """Keep what the node carries, except a gate that is smaller than the number of bound pods."""
    before = node.published
    closed: tuple[Phrase, ...] = ()
    if before.gate is None:
        closed = (why,)
    elif not holds(before.gate, allocated):
        closed = (_full(before.gate, allocated),)
    return Decision(before.cpu, before.memory, None if closed else before.gate, None, closed)


def _full(max_pods: int, allocated: Allocated) -> Phrase:
    return phrase("podsFull", maxPods=max_pods, boundPods=allocated.pods)


def words(withdraw: Phrase) -> str:
    """Why a node is withdrawn, as it is written into an annotation."""
    return cut(say(withdraw), SENTENCE_LENGTH)


def decide(
    node: NodeFacts,
    headroom_cpu: int,
    headroom_memory: int,
    allocated: Allocated,
    max_pods: int,
    withdraw: Phrase | None,
    *,
    held: bool = False,
    evicting: PendingEviction | None = None,
) -> Decision:
    """What this Node should carry now.

    ``withdraw``: why it takes no part (its headroom is 0 then). ``held``: no report since the manager started, so a
    gate that is closed stays closed: its opening would rest on a report of unknown age. ``evicting``: closed, whatever
    the headroom.
    """
    before = node.published
    if withdraw is not None:
        if before.absent and node.withdrawn is None:
            return Decision(None, None, None)  # never published: nothing to take away, nothing to remember
        headroom_cpu = headroom_memory = 0
    cpu = published(headroom_cpu, allocated.cpu, allocated.cpu_running, before.cpu or 0)
    memory = published(headroom_memory, allocated.memory, allocated.memory_running, before.memory or 0)
    if withdraw is not None:
        if allocated.cpu == 0 and allocated.memory == 0:
            return Decision(None, None, None, words(withdraw), (withdraw,))
        return Decision(cpu, memory, None, words(withdraw), (withdraw,))
    closed: tuple[Phrase, ...] = ()
    if headroom_cpu < allocated.cpu or headroom_memory < allocated.memory:
        closed = tuple(
            phrase("headroomBelow", what, headroom=headroom, allocated=requested)
            for what, headroom, requested in (
                ("cpu", headroom_cpu, allocated.cpu),
                ("memory", headroom_memory, allocated.memory),
            )
            if headroom < requested
        )
    if not holds(max_pods, allocated):
        closed = (*closed, _full(max_pods, allocated))
    if evicting is not None:
        closed = (*closed, phrase("evicting", eviction=evicting.message))
    if held and before.gate is None and not closed:
        closed = (phrase("closedBefore"),)
    return Decision(cpu, memory, None if closed else max_pods, None, closed)
