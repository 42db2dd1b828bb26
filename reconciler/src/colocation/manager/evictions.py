"""Carries out what agents propose: which best-effort pod leaves its node, in which order with the Node's number.

The agent proposes, the manager disposes: only a bound best-effort pod of that very node, one a node at a time, so many
a minute in the whole cluster, by the Eviction API (PDB and grace kept), and only once the Node's room has been lowered
by what the pod was promised, so that nobody else is put into its place.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from colocation.budget import Leaving
from colocation.kube.backoff import Backoff
from colocation.kube.bucket import Bucket
from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError, Rest
from colocation.manager.events import About, Events
from colocation.manager.metrics import Metrics
from colocation.manager.node import NodeState
from colocation.model.facts import PodFacts, Qos
from colocation.model.report import EvictionReason, EvictionRequest

log = logging.getLogger(__name__)
BURST: Final = 5.0
AGAIN_SECONDS: Final = 30.0
"""A pod that is still there so long after its eviction was granted is asked again."""
REFUSED_FIRST: Final = 10.0
REFUSED_MOST: Final = 300.0
"""Between two tries against a PodDisruptionBudget."""


class Eviction(Struct, frozen=True):
    """One pod that is to be evicted, and why."""

    node: str
    pod: PodFacts
    request: EvictionRequest


class Outcome(Struct, frozen=True):
    """What became of it."""

    eviction: Eviction
    error: ApiError | None = None
    skipped: bool = False
    """Never sent: leadership had run out."""


class Evictions:
    """Decides on the loop's thread who is leaving, and when it is asked to."""

    def __init__(
        self, send: Callable[[Eviction], None], events: Events, metrics: Metrics, per_minute: float, now: float
    ) -> None:
        """``send``: takes one eviction; never blocks. ``per_minute``: in the whole cluster; 0: no limit."""
        self._send, self._events, self._metrics = send, events, metrics
        self._bucket = Bucket(per_minute / 60, BURST, now)
        self._out: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._backoff: dict[str, Backoff] = {}

    def leaving(self, node: NodeState) -> Leaving | None:
        """What the Node is to be lowered by: the pod that should leave, until it and the wish for it are gone."""
        request = _request(node)
        if request is None:
            self.forget(node.name)
            return None
        pod = _pod(node, request)
        if pod is None:
            # It has just left; until the agent has looked again nobody is to come.
            return Leaving(words=f"a pod has left ({request.reason}), the agent has not looked again yet")
        return Leaving(pod.be_cpu, pod.be_memory, f"{pod.name} is to leave: {request.message}")

    def step(self, node: NodeState, now: float) -> float | None:
        """The Node says the lower number: ask the pod to leave, if it is time; when to come back, if not."""
        request = _request(node)
        pod = None if request is None else _pod(node, request)
        if request is None or pod is None or pod.evicted or node.name in self._out:
            return None
        until = self._not_before.get(node.name, now)
        if until > now:
            return until
        wait = self._bucket.take(now)
        if wait > 0:
            return now + wait
        self._out.add(node.name)
        self._send(Eviction(node.name, pod, request))
        return None

    def done(self, outcome: Outcome, now: float) -> None:
        """Take the API server's answer."""
        name, pod, request = outcome.eviction.node, outcome.eviction.pod, outcome.eviction.request
        self._out.discard(name)
        if outcome.skipped:
            return
        error = outcome.error
        told = "ok" if error is None else str(error.code)
        known = request.reason if request.reason in get_args(EvictionReason) else "Other"
        self._metrics.evictions.labels(known, told).inc()
        extra = {"pod": pod.name, "node": name, "reason": request.reason, "why": request.message}
        if error is None:
            log.info("evicted", extra=extra)
            self._backoff.pop(name, None)
            self._not_before[name] = now + AGAIN_SECONDS
            self._tell(pod, "Evicted", f"evicted from {name}: {request.message}")
            return
        backoff = self._backoff.setdefault(name, Backoff(REFUSED_FIRST, REFUSED_MOST))
        self._not_before[name] = now + backoff.next(error.retry_after or 0.0)
        if error.code in (404, 409):
            return  # gone, or another of that name: the watch will tell
        log.warning("eviction refused", extra={**extra, "error": str(error)})
        if error.code == 429:
            self._tell(pod, "EvictionRefused", f"should leave {name} ({request.message}), but: {error}")

    def forget(self, name: str) -> None:
        """Nobody has to leave this node."""
        self._not_before.pop(name, None)
        self._backoff.pop(name, None)

    def _tell(self, pod: PodFacts, reason: Literal["Evicted", "EvictionRefused"], words: str) -> None:
        self._events.tell(About("Pod", pod.name, pod.uid), reason, lambda: words, warning=True)


def _request(node: NodeState) -> EvictionRequest | None:
    """What the agent proposes, if its report counts: one from before this manager started may be a day old."""
    report = node.report
    if report.status is None or report.problem is not None or not report.since_start:
        return None
    return report.status.eviction_requests[0] if report.status.eviction_requests else None


def _pod(node: NodeState, request: EvictionRequest) -> PodFacts | None:
    """The best-effort pod of this node that is meant; None: there is none, whatever the agent says."""
    for pod in node.pods.values():
        if pod.cgroup_uid == request.uid:
            return pod if pod.qos is Qos.BE else None
    return None


class Evictor:
    """The thread that asks the API server, one pod at a time."""

    def __init__(self, rest: Rest, may_write: Callable[[], bool], tell: Callable[[Outcome], None]) -> None:
        self._rest, self._may_write, self._tell = rest, may_write, tell
        self._waiting: queue.SimpleQueue[Eviction | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="evictor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Let what is being sent end, for so long."""
        self._waiting.put(None)
        self._thread.join(seconds)

    def send(self, eviction: Eviction) -> None:
        """Take one; never blocks."""
        self._waiting.put(eviction)

    def _run(self) -> None:
        while (eviction := self._waiting.get()) is not None:
            self._tell(self._ask(eviction))

    def _ask(self, eviction: Eviction) -> Outcome:
        if not self._may_write():
            return Outcome(eviction, skipped=True)
        wanted = body(eviction.pod)
        try:
            self._rest.create(PODS.path(**wanted["metadata"], sub="eviction"), wanted, label="pods/eviction")
        except ApiError as error:
            return Outcome(eviction, error)
        except Exception as error:  # the thread must live: the next pod has to leave too
            log.exception("eviction failed", extra={"pod": eviction.pod.name})
            return Outcome(eviction, ApiError(500, "InternalError", repr(error)))
        return Outcome(eviction)


def body(pod: PodFacts) -> dict[str, Any]:
    """A policy/v1 Eviction of that very pod, with its own grace."""
    namespace, _, name = pod.name.partition("/")
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }


def nobody(_: Eviction) -> None:
    """Where a dry run's evictions go."""
