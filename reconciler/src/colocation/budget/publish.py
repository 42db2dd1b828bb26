"""From room to what stands on the Node: never below what is promised, closed while the room is smaller.

Shrinking below the promise would fail running pods at the next kubelet restart; holding at the promise alone
would let the scheduler refill every gap. Hence the gate: a closed node loses the key that every BE pod asks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from colocation.model.facts import NodeFacts, PodFacts
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
        bound += max(pod.gate, 1 if pod.booked else 0)
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


def unchanged(node: NodeFacts, words: str) -> Decision:
    """What stands on a node stands; ``words``: why."""
    held = node.published
    return Decision(held.cpu, held.memory, held.gate, None, () if held.gate is not None else (words,))


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
    if max_pods < max(owed.pods, 1):
        # A gate below what bound pods ask for would have kubelet fail them at its next restart; without the key it
        # counts none of them: https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/lifecycle/predicate.go
        closed = (*closed, f"maxPods is {max_pods}, and {owed.pods} best-effort pods are bound here")
    if leaving is not None:
        closed = (*closed, leaving.words)
    if held and before.gate is None and not closed:
        closed = ("it was closed, and the agent has not reported since the manager started",)
    return Decision(cpu, memory, None if closed else max_pods, None, closed)
