"""From room to what stands on the Node: never below what is promised, closed while the room is smaller.

Shrinking below the promise would fail running pods at the next kubelet restart; holding at the promise alone
would let the scheduler refill every gap. Hence the gate: a closed node loses the key that every BE pod asks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.quantity import saturate


class Promised(Struct, frozen=True, gc=False):
    """What the scheduler counts for the node's bound, unfinished pods: millicores and bytes of be-*."""

    cpu: int = 0
    memory: int = 0
    cpu_running: int = 0
    memory_running: int = 0
    pods: int = 0
    """What they ask for of the gate; a best-effort pod that asks for none of it counts as 1."""


class Leaving(Struct, frozen=True, gc=False):
    """A pod that is being moved off the node: its promise is taken from the room before it goes, and nobody follows."""

    cpu: int = 0
    memory: int = 0
    words: str = ""


class Decision(Struct, frozen=True, gc=False):
    """What the Node should carry; None: the key is to be absent."""

    cpu: int | None
    memory: int | None
    gate: int | None
    withdrawn: str | None = None
    closed: tuple[str, ...] = ()
    """Why the gate is closed, in words; empty: open."""


def promised(pods: Iterable[PodFacts]) -> Promised:
    """Sum of what all these pods were promised, and of the Running ones alone (terminating included)."""
    cpu = memory = cpu_running = memory_running = bound = 0
    for pod in pods:
        bound += max(pod.gate, pod.qos is Qos.BE or pod.booked)
        if pod.booked:
            cpu += pod.be_cpu
            memory += pod.be_memory
            if pod.running:
                cpu_running += pod.be_cpu
                memory_running += pod.be_memory
    return Promised(*(saturate(total) for total in (cpu, memory, cpu_running, memory_running, bound)))


def published(room: int, promised_all: int, promised_running: int, before: int) -> int:
    """The value of one key: a promise is kept but never raises it (a pod with nodeName set by hand promises itself)."""
    return max(room, promised_running, min(promised_all, before))


def holds(max_pods: int, owed: Promised) -> bool:
    """A gate of ``max_pods`` may be published on a Node that has these pods.

    Below what bound pods ask for, kubelet would fail them at its next restart; without the key it counts none of them:
    https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/lifecycle/predicate.go
    """
    return max_pods >= max(owed.pods, 1)


def unchanged(node: NodeFacts, owed: Promised, words: str) -> Decision:
    """What stands on a node stands, but for a gate that does not hold all bound pods; ``words``: why."""
    before = node.published
    closed: tuple[str, ...] = ()
    if before.gate is None:
        closed = (words,)
    elif not holds(before.gate, owed):
        closed = (_full(before.gate, owed),)
    return Decision(before.cpu, before.memory, None if closed else before.gate, None, closed)


def _full(max_pods: int, owed: Promised) -> str:
    return f"maxPods is {max_pods}, and {owed.pods} best-effort pods are bound here"


def decide(
    node: NodeFacts,
    room_cpu: int,
    room_memory: int,
    owed: Promised,
    max_pods: int,
    withdraw: str | None,
    *,
    held: bool = False,
    leaving: Leaving | None = None,
) -> Decision:
    """What this Node should carry now.

    ``withdraw``: why it takes no part (its room is 0 then). ``held``: no report since the manager started, so a
    gate that is closed stays closed: its opening would rest on a report of unknown age. ``leaving``: closed, whatever
    room there is.
    """
    before = node.published
    if withdraw is not None:
        if before.absent and node.withdrawn is None:
            return Decision(None, None, None)  # never published: nothing to take away, nothing to remember
        room_cpu = room_memory = 0
    cpu = published(room_cpu, owed.cpu, owed.cpu_running, before.cpu or 0)
    memory = published(room_memory, owed.memory, owed.memory_running, before.memory or 0)
    if withdraw is not None:
        if owed.cpu == 0 and owed.memory == 0:
            return Decision(None, None, None, withdraw, (withdraw,))
        return Decision(cpu, memory, None, withdraw, (withdraw,))
    closed: tuple[str, ...] = ()
    if room_cpu < owed.cpu or room_memory < owed.memory:
        closed = tuple(
            f"{what} room {room} is below the {promise} promised"
            for what, room, promise in (("cpu", room_cpu, owed.cpu), ("memory", room_memory, owed.memory))
            if room < promise
        )
    if not holds(max_pods, owed):
        closed = (*closed, _full(max_pods, owed))
    if leaving is not None:
        closed = (*closed, leaving.words)
    if held and before.gate is None and not closed:
        closed = ("it was closed, and the agent has not reported since the manager started",)
    return Decision(cpu, memory, None if closed else max_pods, None, closed)
