"""Carries out what agents propose: which best-effort pod leaves its node, in which order with the Node's number.

What `colocation.manager.moves` chooses is carried out likewise, while the node's agent asks for nothing.

The agent proposes, the manager disposes: only a bound best-effort pod of that very node, one pod of a node at a time, a
few a minute in the whole cluster, by the Eviction API (PodDisruptionBudgets and grace kept), and only once the Node's
headroom has been lowered by what the pod requests, so that no other is put into its place. A pod that the API server
refuses to evict does not hold up the next one of the agent's list; each pod has a wait of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct, field

from colocation.budget import PendingEviction
from colocation.kube.backoff import Backoff
from colocation.kube.bucket import Bucket
from colocation.manager.events import About, Events
from colocation.manager.evictor import Eviction, EvictionOutcome
from colocation.manager.metrics import REASONS, Metrics
from colocation.manager.node import NodeState
from colocation.model.answers import EvictionExplanation
from colocation.model.facts import PodFacts, Qos
from colocation.model.fit import fit
from colocation.model.report import MAX_EVICTION_REFUSALS, EvictionRefusal, EvictionRequest

log = logging.getLogger(__name__)
BURST: Final = 5.0
AGAIN_SECONDS: Final = 30.0
"""A pod whose eviction was granted, and that is not being deleted after this time, is asked again."""
LEAVE_SECONDS: Final = 90.0
"""A pod that is being deleted has this time to end; then the next one of the list is asked."""
GONE_SECONDS: Final = 5.0
"""The API server says that the pod is gone: the watch has this time to say so too."""
REFUSED_FIRST: Final = 10.0
REFUSED_MOST: Final = 300.0
"""Between two tries to evict a pod that was refused."""
_NEVER: Final = float("-inf")


class _Asked(Struct):
    """What is remembered of a pod that was asked to leave, while that pod exists."""

    name: str
    cgroup_uid: str
    not_before: float = _NEVER
    """When it may be asked again."""
    alone_until: float = _NEVER
    """It is on its way out: until then no other pod of its node is asked."""
    deleted: bool = False
    """It was seen being deleted."""
    refusal: str = ""
    backoff: Backoff = field(default_factory=lambda: Backoff(REFUSED_FIRST, REFUSED_MOST))


class _Turn(Struct, frozen=True):
    """Which pod of a node is to leave now, if any."""

    message: str
    pod: PodFacts | None = None
    request: EvictionRequest | None = None
    """None: it is not the time to ask a pod."""
    at: float | None = None
    """When that may change by itself."""


class Evictions:
    """Decides on the loop's thread who is leaving, and when it is asked to."""

    def __init__(
        self, send: Callable[[Eviction], None], events: Events, metrics: Metrics, per_minute: float, now: float
    ) -> None:
        """``send``: takes one eviction; never blocks. ``per_minute``: in the whole cluster; 0: no limit."""
        self._send, self._events, self._metrics = send, events, metrics
        self._bucket = Bucket(per_minute / 60, BURST, now)
        self._out: set[str] = set()
        """Nodes of which a pod is being asked now."""
        self._asked: dict[str, dict[str, _Asked]] = {}
        """By node and uid."""

    def pending(self, node: NodeState, now: float) -> PendingEviction | None:
        """What the Node is to be lowered by: the pod that should leave, until it and the wish for it are gone."""
        if node.move is not None and node.move.pod.name not in node.pods:
            node.move = None  # it has left
        self._look(node, now)
        turn = self._turn(node, now)
        if turn is None:
            return None
        if turn.pod is None or _asked_by_us(node):
            # A full node is closed already, and its headroom says how much has to leave: lowered, too much would.
            return PendingEviction(message=turn.message)
        return PendingEviction(turn.pod.be_cpu, turn.pod.be_memory, turn.message)

    def step(self, node: NodeState, now: float) -> float | None:
        """The Node says the lower number: ask the pod to leave, if it is time; when to come back, if not."""
        turn = self._turn(node, now)
        if turn is None or node.name in self._out:
            return None
        if turn.pod is None or turn.request is None:
            return turn.at
        wait = self._bucket.take(now)
        if wait > 0:
            return now + wait
        self._out.add(node.name)
        places = node.move.places if node.move is not None and _asked_by_us(node) else None
        self._send(Eviction(node.name, turn.pod, turn.request, places))
        return None

    def busy(self, node: str, now: float) -> bool:
        """A pod of this node is being asked, or is on its way out."""
        return node in self._out or any(now < asked.alone_until for asked in self._asked.get(node, {}).values())

    def may_ask(self, node: str, pod: PodFacts, now: float) -> bool:
        """Tell whether it is time to ask this pod: not while a refusal of it is recent."""
        asked = self._asked.get(node, {}).get(pod.uid)
        return asked is None or asked.not_before <= now

    def done(self, outcome: EvictionOutcome, now: float) -> None:
        """Take the API server's answer."""
        name, pod, request = outcome.eviction.node, outcome.eviction.pod, outcome.eviction.request
        self._out.discard(name)
        if outcome.skipped:
            return
        if outcome.kept:
            self._bucket.give_back()
            return
        error = outcome.error
        result = "ok" if error is None else str(error.code)
        known = request.reason if request.reason in REASONS else "Other"
        self._metrics.evictions.labels(known, result).inc()
        extra = {"pod": pod.name, "node": name, "reason": request.reason, "why": request.message}
        asked = self._of(name, pod)
        if error is None:
            log.info("evicted", extra=extra)
            asked.refusal = ""
            asked.backoff.reset()
            asked.not_before = asked.alone_until = now + AGAIN_SECONDS
            self._tell(pod, "Evicted", f"evicted from {name}: {request.message}")
            return
        log.warning("eviction refused", extra={**extra, "error": str(error)})
        asked.not_before = now + asked.backoff.next(error.retry_after or 0.0)
        if error.code == 0:  # no answer: it says nothing of this pod, and another pod would get none either
            asked.alone_until = asked.not_before
            return
        asked.refusal = str(error)
        if error.code in (404, 409) and asked.backoff.failures == 1:
            # Gone, or another pod of that name: the watch is about to say so, and the node must look again.
            asked.alone_until = now + GONE_SECONDS
            return
        self._tell(pod, "EvictionRefused", f"should leave {name} ({request.message}), but: {error}")

    def forget(self, name: str) -> None:
        """The node is gone."""
        for asked in self._asked.pop(name, {}).values():
            self._events.forget("Pod", asked.name)

    def explanations(self, node: NodeState, now: float) -> tuple[EvictionExplanation, ...]:
        """The agent's list, and how it stands with each pod of it."""
        turn, known = self._turn(node, now), self._asked.get(node.name, {})
        rows = []
        for request in _requests(node):
            pod = _pod(node, request)
            asked = known.get(pod.uid) if pod is not None else None
            rows.append(
                EvictionExplanation(
                    pod=pod.name if pod is not None else request.uid,
                    reason=request.reason,
                    message=request.message,
                    next=pod is not None and turn is not None and turn.pod is pod,
                    refused=asked.refusal if asked is not None and asked.refusal else None,
                )
            )
        return tuple(rows)

    def _look(self, node: NodeState, now: float) -> None:
        """Forget pods that are gone, note those that are being deleted, and keep the spec's refusals up to date."""
        requests = _requests(node)
        for pod in (_pod(node, request) for request in requests):
            if pod is not None and pod.evicted:
                asked = self._of(node.name, pod)
                if not asked.deleted:
                    asked.deleted, asked.alone_until = True, now + LEAVE_SECONDS
        known = self._asked.get(node.name)
        if known is None:
            return
        for uid in known.keys() - {pod.uid for pod in node.pods.values()}:
            self._events.forget("Pod", known.pop(uid).name)
        if not known:
            del self._asked[node.name]
        for asked in known.values():
            if not requests and asked.not_before <= now:  # no pod has to leave: the next time is another story
                asked.refusal = ""
                asked.backoff.reset()
        refused = sorted((asked.cgroup_uid, asked.refusal) for asked in known.values() if asked.refusal)
        rows = tuple(fit(EvictionRefusal(uid=uid, message=message)) for uid, message in refused[:MAX_EVICTION_REFUSALS])
        if rows != node.refusals:
            node.refusals = rows

    def _of(self, node: str, pod: PodFacts) -> _Asked:
        return self._asked.setdefault(node, {}).setdefault(pod.uid, _Asked(pod.name, pod.cgroup_uid))

    def _turn(self, node: NodeState, now: float) -> _Turn | None:
        """Whose turn it is; None: the agent asks for no pod."""
        requests = _requests(node)
        if not requests:
            return None
        known = self._asked.get(node.name, {})
        rows: list[tuple[PodFacts, EvictionRequest, _Asked | None]] = []
        for request in requests:
            pod = _pod(node, request)
            if pod is not None:
                rows.append((pod, request, known.get(pod.uid)))
            elif request.uid in node.gone_be:
                return _Turn(f"a pod has left ({request.reason}), the agent has not measured again yet")
        for pod, request, asked in rows:
            if asked is not None and now < asked.alone_until:
                return _Turn(_message(pod, request), pod, at=asked.alone_until)
        for pod, request, asked in rows:
            if not pod.evicted and (asked is None or asked.not_before <= now):
                return _Turn(_message(pod, request), pod, request)
        if not rows:
            return _Turn(
                f"the agent asks for a pod to leave ({requests[0].reason}) that is no best-effort pod of this node"
            )
        pod, request, _ = rows[0]
        waits = [asked.not_before for pod, _, asked in rows if asked is not None and not pod.evicted]
        message = f"{_message(pod, request)}; no pod of the agent's list can be evicted now"
        return _Turn(message, pod, at=min(waits, default=None))

    def _tell(self, pod: PodFacts, reason: Literal["Evicted", "EvictionRefused"], message: str) -> None:
        self._events.tell(About("Pod", pod.name, pod.uid), reason, lambda: message, warning=True)


def _message(pod: PodFacts, request: EvictionRequest) -> str:
    return f"{pod.name} is to leave: {request.message}"


def _requests(node: NodeState) -> tuple[EvictionRequest, ...]:
    """What the agent proposes; without that, the pod that is to move."""
    if asked := _of_agent(node):
        return asked
    return () if node.move is None else (node.move.request,)


def _of_agent(node: NodeState) -> tuple[EvictionRequest, ...]:
    """What the agent proposes, if its report counts: one from before this manager started may be a day old."""
    report = node.report
    if report.status is None or report.problem is not None or not report.since_start:
        return ()
    return report.status.eviction_requests


def _asked_by_us(node: NodeState) -> bool:
    return node.move is not None and not _of_agent(node)


def _pod(node: NodeState, request: EvictionRequest) -> PodFacts | None:
    """The best-effort pod of this node that is meant; None: there is none, whatever the agent says."""
    for pod in node.pods.values():
        if pod.cgroup_uid == request.uid:
            return pod if pod.qos is Qos.BE else None
    return None
