"""Moves best-effort pods off nodes that stay full to open nodes with room: one pod in the whole cluster at a time.

Chosen here, on the loop's thread; read, checked against the open nodes and evicted by `colocation.manager.evictor`; and
asked for like any other eviction, by `colocation.manager.evictions`, whose rate limit, refusals and Events hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from colocation.budget.evaluate import Evaluation
from colocation.budget.moves import Excess, Full, Place, candidates, full, lasting, patience, place, room
from colocation.manager.evictions import Evictions
from colocation.manager.evictor import EvictionOutcome
from colocation.manager.node import Move, NodeState
from colocation.model.answers import EvictionExplanation
from colocation.model.facts import PodFacts
from colocation.model.fit import cut
from colocation.model.quantity import human_bytes, human_millicores
from colocation.model.report import EVICTION_MESSAGE, NODE_FULL, EvictionRequest

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 10.0
"""Between two looks for a pod that should move."""
KEPT_SECONDS: Final = 600.0
"""A pod that may not be moved, that no open node takes or that was refused is not tried again before this time."""
RESERVED_SECONDS: Final = 60.0
"""Room that a moved pod was meant for is not given away again until it has been gone for this time."""


class _Kept(Struct, frozen=True):
    """A pod that was looked at and stays."""

    pod: str
    words: str
    until: float


class _Reserved(Struct):
    """What a pod that was moved will need where it was meant to go."""

    place: str
    source: str
    pod: PodFacts
    until: float


class Moves:
    """Decides on the loop's thread. ``nodes``: the loop's own, as they are."""

    def __init__(self, nodes: dict[str, NodeState], evictions: Evictions) -> None:
        self._nodes, self._evictions = nodes, evictions
        self._full: dict[str, Full] = {}
        self._open: dict[str, float] = {}
        """Since when a node has been open."""
        self._kept: dict[str, dict[str, _Kept]] = {}
        """By node and uid."""
        self._nowhere: dict[str, tuple[str, str]] = {}
        """Nodes that have been full for long enough, of which no pod can move: the first choice, and why it stays."""
        self._reserved: list[_Reserved] = []
        self._moving: str | None = None
        self.due = float("-inf")

    def note(self, node: NodeState, made: Evaluation, now: float) -> None:
        """Take what was decided for a node: since when it has been full, or open."""
        state = full(self._full.get(node.name, Full()), *_over(node, made), now)
        if state.never:
            for known in (self._full, self._kept, self._nowhere):
                known.pop(node.name, None)
        else:
            self._full[node.name] = state
        if _is_open(node, made):
            self._open.setdefault(node.name, now)
        else:
            self._open.pop(node.name, None)

    def look(self, now: float) -> set[str]:
        """Choose the pod to move now, if any; the nodes that are to be decided again for it."""
        self.due = now + LOOK_SECONDS
        self._nowhere.clear()
        again: set[str] = set()
        if self._moving is not None:
            if self._evictions.busy(self._moving, now):
                return again
            again.add(self._moving)
            self._stop()
        places: dict[int, list[Place]] = {}
        for source in sorted(self._full, key=lambda name: (min(_times(self._full[name])), name)):
            node = self._nodes.get(source)
            if node is not None and self._choose(node, places, now):
                self._moving = source
                return {source, *again}
        return again

    def done(self, outcome: EvictionOutcome, now: float) -> None:
        """Take what became of an eviction; those that are no moves are none of ours."""
        pod, name = outcome.eviction.pod, outcome.eviction.node
        if outcome.eviction.places is None or outcome.skipped:
            return
        if not outcome.kept and outcome.error is None:
            self._reserved.append(_Reserved(outcome.place, name, pod, now + RESERVED_SECONDS))
            return
        self._stop()
        if outcome.error is not None and outcome.error.code == 0:
            return  # no answer says nothing of this pod
        words = outcome.kept or f"refused: {outcome.error}"
        log.info("pod stays", extra={"pod": pod.name, "node": name, "why": words})
        self._kept.setdefault(name, {})[pod.uid] = _Kept(pod.name, words, now + KEPT_SECONDS)
        self.due = now  # the next pod may be able to

    def explanations(self, node: NodeState) -> tuple[EvictionExplanation, ...]:
        """The pods that stay on a full node, and why."""
        rows = {kept.pod: kept.words for kept in self._kept.get(node.name, {}).values()}
        if node.name in self._nowhere:
            rows.setdefault(*self._nowhere[node.name])
        return tuple(
            EvictionExplanation(
                pod=pod,
                reason=NODE_FULL,
                message="the node has been full for long",
                next=False,
                refused=None,
                stays=words,
            )
            for pod, words in sorted(rows.items())
        )

    def forget(self, name: str) -> None:
        """The node is gone."""
        for known in (self._full, self._open, self._kept, self._nowhere):
            known.pop(name, None)
        if self._moving == name:
            self._moving = None

    def _stop(self) -> None:
        node = self._nodes.get(self._moving or "")
        if node is not None:
            node.move = None
        self._moving = None

    def _choose(self, node: NodeState, known: dict[int, list[Place]], now: float) -> bool:
        """Choose one of this node's pods; ``known``: the open nodes of this look, by how long they have been open."""
        made = node.evaluation
        if made is None or made.selection.winner is None or self._evictions.busy(node.name, now):
            return False
        rules = made.selection.winner.spec.evict
        excess = lasting(self._full[node.name], rules, *_over(node, made), now)
        if excess.none:
            return False
        seconds = patience(rules)
        if seconds not in known:
            known[seconds] = list(self._places(seconds, now))
        kept = self._kept.get(node.name, {})
        waiting = [
            pod for pod in candidates(node.pods.values(), excess) if pod.uid not in kept or kept[pod.uid].until <= now
        ]
        for pod in waiting:
            where = room(pod, known[seconds])
            if where and self._evictions.may_ask(node.name, pod, now):
                message = cut(_words(excess, where[0]), EVICTION_MESSAGE)
                request = EvictionRequest(uid=pod.cgroup_uid, reason=NODE_FULL, message=message)
                node.move = Move(pod, request, where)
                return True
        if waiting:
            words = f"no other node that has been open for {seconds} s has room for it"
            self._nowhere[node.name] = (waiting[0].name, words)
        return False

    def _places(self, seconds: int, now: float) -> Iterator[Place]:
        """Nodes that have been open for that long, with what is free there and not meant for a pod on its way."""
        self._reserved = [r for r in self._reserved if self._still(r, now)]
        taken: dict[str, list[PodFacts]] = {}
        for reserved in self._reserved:
            taken.setdefault(reserved.place, []).append(reserved.pod)
        for name, since in self._open.items():
            node = self._nodes.get(name)
            if node is None or node.facts is None or node.evaluation is None or now - since < seconds:
                continue
            published, allocated, coming = node.facts.published, node.evaluation.allocated, taken.get(name, ())
            yield place(
                node.facts,
                min(published.cpu or 0, node.evaluation.headroom_cpu) - allocated.cpu - sum(p.be_cpu for p in coming),
                min(published.memory or 0, node.evaluation.headroom_memory)
                - allocated.memory
                - sum(p.be_memory for p in coming),
                (published.gate or 0) - allocated.pods - len(coming),
            )

    def _still(self, reserved: _Reserved, now: float) -> bool:
        source = self._nodes.get(reserved.source)
        if source is not None and reserved.pod.name in source.pods:
            reserved.until = now + RESERVED_SECONDS
        return now < reserved.until


def _over(node: NodeState, made: Evaluation) -> tuple[int, int]:
    """What is allocated above the result, without pods on their way out; nothing where no fresh report says so."""
    if made.withdrawal is not None or not made.report.since_start or made.cpu is None or made.memory is None:
        return 0, 0
    cpu, memory = made.allocated.cpu - made.cpu.result, made.allocated.memory - made.memory.result
    if cpu <= 0 and memory <= 0:
        return 0, 0
    leaving = [pod for pod in node.pods.values() if pod.evicted]
    return cpu - sum(pod.be_cpu for pod in leaving), memory - sum(pod.be_memory for pod in leaving)


def _is_open(node: NodeState, made: Evaluation) -> bool:
    """It takes best-effort pods now, by what the Node carries and by what was decided."""
    facts = node.facts
    return (
        facts is not None
        and not facts.cordoned
        and facts.published.gate is not None
        and made.decision.gate is not None
        and made.withdrawal is None
        and made.cpu is not None
    )


def _times(state: Full) -> list[float]:
    return [since for since in (state.cpu, state.memory) if since is not None]


def _words(excess: Excess, where: Place) -> str:
    amounts = [human_millicores(excess.cpu)] if excess.cpu > 0 else []
    amounts += [human_bytes(excess.memory)] if excess.memory > 0 else []
    return f"{' and '.join(amounts)} more allocated than the node has for long; {where.name} has room"
