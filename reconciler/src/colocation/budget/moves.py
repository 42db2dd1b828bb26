"""Which best-effort pod of a node that is full should run elsewhere. Pure; `colocation.manager.moves` carries it out.

A node is full while its result, what its last report alone allows, is below what is allocated. A pod moves only while
there is such an excess, one at a time, and only while an open node has room for it; it cannot come back, because less
than it requests becomes free where it was.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import Evict
from colocation.model.wire import Taint

MAX_PLACES = 256
"""More open nodes than these are not looked at for one pod."""


class Excess(Struct, frozen=True, gc=False):
    """What is allocated above the result, where that has lasted: millicores and bytes; 0: none, or not long enough."""

    cpu: int = 0
    memory: int = 0

    @property
    def none(self) -> bool:
        """Nothing has to move."""
        return self.cpu <= 0 and self.memory <= 0


class Full(Struct, frozen=True, gc=False):
    """Since when a node has been full, by resource; None: it is not."""

    cpu: float | None = None
    memory: float | None = None

    @property
    def never(self) -> bool:
        """It is full of neither."""
        return self.cpu is None and self.memory is None


class Place(Struct, frozen=True):
    """An open node, and what is free there."""

    name: str
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    cpu: int
    memory: int
    pods: int

    def holds(self, pod: PodFacts) -> bool:
        """There is room for it, and a ticket of the gate."""
        return self.cpu >= pod.be_cpu and self.memory >= pod.be_memory and self.pods >= max(1, pod.gate)


def full(before: Full, cpu: int, memory: int, now: float) -> Full:
    """Carry on the times; ``cpu``, ``memory``: what is allocated above the result now."""
    return Full(
        None if cpu <= 0 else now if before.cpu is None else before.cpu,
        None if memory <= 0 else now if before.memory is None else before.memory,
    )


def lasting(state: Full, rules: Evict, cpu: int, memory: int, now: float) -> Excess:
    """The excess that has lasted for as long as the policy says; 0 seconds: never."""

    def of(seconds: int, since: float | None, amount: int) -> int:
        return max(0, amount) if seconds and since is not None and now - since >= seconds else 0

    return Excess(of(rules.cpu.closed_seconds, state.cpu, cpu), of(rules.memory.closed_seconds, state.memory, memory))


def patience(rules: Evict) -> int:
    """For how many seconds another node must have been open, as this one was full: else pods go to and fro."""
    return max(rules.cpu.closed_seconds, rules.memory.closed_seconds)


def candidates(pods: Iterable[PodFacts], excess: Excess) -> list[PodFacts]:
    """The pods whose leaving lessens the excess, the first choice first.

    By priority; then those within the excess, the largest first; then the smallest of those that are larger: what is
    moved in all is the excess, or less than one pod more.
    """

    def order(pod: PodFacts) -> tuple[int, bool, int, str]:
        amount, left = (pod.be_cpu, excess.cpu) if excess.cpu > 0 else (pod.be_memory, excess.memory)
        return pod.priority, amount > left, amount if amount > left else -amount, pod.uid

    lessens = [
        pod
        for pod in pods
        if pod.qos is Qos.BE
        and not pod.evicted
        and ((excess.cpu > 0 and pod.be_cpu > 0) or (excess.cpu <= 0 < excess.memory and pod.be_memory > 0))
    ]
    return sorted(lessens, key=order)


def room(pod: PodFacts, places: Iterable[Place]) -> tuple[Place, ...]:
    """The places that hold this pod, the emptiest first."""
    holding = sorted((place for place in places if place.holds(pod)), key=lambda p: (-p.cpu, -p.memory, p.name))
    return tuple(holding[:MAX_PLACES])


def place(node: NodeFacts, cpu: int, memory: int, pods: int) -> Place:
    """An open node with what is free on it."""
    return Place(node.name, node.labels, node.taints, cpu, memory, pods)
