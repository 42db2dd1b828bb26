"""Puts a manager together: threads, signals, and the order in which they end."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct

from colocation import logs
from colocation.kube.backoff import Backoff
from colocation.kube.bucket import Bucket
from colocation.kube.cache import Reflector, WatchState
from colocation.kube.lease import Elector, boottime
from colocation.kube.login import Login
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES, Resource
from colocation.kube.rest import Rest
from colocation.manager.events import Events, EventSender, nobody
from colocation.manager.evictions import Evictions
from colocation.manager.evictor import Evictor
from colocation.manager.evictor import nobody as nobody_leaves
from colocation.manager.loop import Loop, Sees, Stop, Wake, wait_settled
from colocation.manager.metrics import Metrics
from colocation.manager.node import colocation_facts, policy_facts
from colocation.manager.priorities import Priorities
from colocation.manager.proof import REVIEWS, Proof
from colocation.manager.publisher import WRITERS, DryWriter, Outbox, Writer, Writers
from colocation.manager.server import Inside, serve
from colocation.manager.state import WATCHED
from colocation.model import names
from colocation.model.facts import node_facts, pod_facts
from colocation.model.wire import Node, NodeColocation, Pod, StoredPolicy

log = logging.getLogger(__name__)
LEASE_NAME: Final = "colocation-manager"
BOUND_UNFINISHED: Final = "spec.nodeName!=,status.phase!=Failed,status.phase!=Succeeded"
BOUND: Final = "spec.nodeName!=,status.phase!=Succeeded"
"""What is watched: a pod that its kubelet evicts has failed, and says why only then."""
DRAIN_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 5.0
LINGER_SECONDS: Final = 0.25
"""Seconds that a report may wait for others, to be handled with them: at 2,000 nodes this saves a third of its cost."""


class WebhookService(Protocol):
    """What runs in the manager's process whichever replica leads: the webhook."""

    @property
    def settled(self) -> bool:
        """It can answer; until then the manager is not ready."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""


class BackgroundService(Protocol):
    """A thread, or several, that the loop does not wait for."""

    def start(self) -> None:
        """Begin."""

    def stop(self, seconds: float) -> None:
        """End, within that time."""


class ManagerOptions(Struct, frozen=True, kw_only=True):
    """How a manager is run."""

    namespace: str = names.NAMESPACE
    identity: str = ""
    """Who we are in the Lease; empty: the pod's name, else host and process."""
    host: str = ""
    port: int = 8080
    """0: serve nothing."""
    rate: float = 50.0
    burst: float = 100.0
    evictions_per_minute: float = 30.0
    """In the whole cluster; 0: no limit."""
    once: bool = False
    once_seconds: float = 60.0
    dry_run: bool = False
    beside: Callable[[Rest, Callable[[str], None]], WebhookService] | None = None
    """Creates the webhook, which counts each review's outcome. None: admission is by the API server's own policies."""
    default_priority: str | None = None
    """The PriorityClass that admission treats as the cluster's default; None: it is not checked."""
    show: Callable[[str], None] = print
    """Where a dry run's lines go."""


def identity() -> str:
    """The pod's name; outside a pod, something that two processes never share."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}_{os.getpid()}"


def run(login: Login, options: ManagerOptions) -> int:
    """Run until SIGTERM or SIGINT (or, with ``once``, until all is written); the exit status.

    Raises OSError if the port is taken.
    """
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    metrics = Metrics()
    rest = Rest(login, connections=WRITERS + len(WATCHED) + 3 + REVIEWS, observe=metrics.request)
    who = options.identity or identity()
    elector = Elector(rest, options.namespace, LEASE_NAME, who, changed=lambda _: inbox.put(Wake()))
    may_write = _always if options.dry_run else elector.may_write
    answered_at = boottime if options.dry_run else lambda: elector.answered_at
    writers = Writers(rest, may_write, inbox.put)
    writer: Writer = DryWriter(inbox.put, options.show) if options.dry_run else writers
    # Lifted while it catches up: a started manager is late already, and the server says 429 if it is too much for it.
    outbox = Outbox(writer, Bucket(options.rate, options.burst, boottime(), lifted=True))
    sender = EventSender(rest, may_write, lambda outcome: metrics.events.labels(outcome).inc())
    events = Events(nobody if options.dry_run else sender.send, who, boottime)
    evictor = Evictor(rest, may_write, inbox.put)
    leave = nobody_leaves if options.dry_run else evictor.send
    evictions = Evictions(leave, events, metrics, options.evictions_per_minute, boottime())
    loop = Loop(outbox, metrics, events, evictions, boottime, may_write, answered_at, inbox)
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()
        inbox.put(Stop())

    logs.answer_signals()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    with contextlib.ExitStack() as running:
        # Undone from the bottom up: no new write begins and those sent are answered; then another may lead.
        running.callback(log.info, "stopped")
        running.callback(rest.close)
        beside = None if options.beside is None else options.beside(rest, metrics.review)
        if beside is not None:
            beside.start()
            running.callback(beside.stop)
        if options.port:
            ready = None if beside is None else lambda: beside.settled
            proof = Proof(rest, options.namespace)
            sight = Inside(loop, metrics, boottime, lambda: elector.holder, ready)
            server = serve(options.host, options.port, sight, proof.check)
            server.start()
            running.callback(server.stop)
        log.info("starting", extra={"identity": who, "dry_run": options.dry_run, "once": options.once})
        for reflector in _reflectors(rest, inbox):
            reflector.start()
            running.callback(reflector.stop)
        background: list[BackgroundService] = [] if options.dry_run else [writers, evictor, sender]
        if options.default_priority is not None and not options.once:
            background.append(Priorities(rest, options.default_priority, inbox.put))
        for service in background:
            service.start()
            running.callback(service.stop, 1.0)
        if not options.dry_run:
            elector.start()
            running.callback(elector.stop)
        running.callback(loop.drain, DRAIN_SECONDS)
        return _run(loop, options, stopped)


def _run(loop: Loop, options: ManagerOptions, stopped: threading.Event) -> int:
    if not options.once:
        loop.run()
        return 0
    if wait_settled(loop, options.once_seconds, stopped):
        return 0
    why = "not everything was written in time" if loop.leads else "another manager leads"
    log.error(why, extra={"seconds": options.once_seconds})
    return 1


def _always() -> bool:
    return True


def _reflectors(rest: Rest, inbox: queue.SimpleQueue[Any]) -> list[Reflector[Any, Any]]:
    def reflect(
        resource: Resource,
        wire: type[Any],
        project: Callable[[Any], Any],
        query: dict[str, str] | None = None,
        watch_query: dict[str, str] | None = None,
        linger: float = LINGER_SECONDS,
    ) -> Reflector[Any, Any]:
        # There are few managers, and all wait for them: they come back sooner than agents do.
        backoff = Backoff(most=RETRY_SECONDS)
        return Reflector(
            rest,
            resource,
            wire,
            project,
            inbox.put,
            query=query,
            watch_query=watch_query,
            backoff=backoff,
            on_state=result,
            linger=linger,
        )

    def result(resource: Resource, state: WatchState) -> None:
        inbox.put(Sees(resource, state))

    return [
        reflect(NODES, Node, node_facts),
        reflect(PODS, Pod, pod_facts, query={"fieldSelector": BOUND_UNFINISHED}, watch_query={"fieldSelector": BOUND}),
        reflect(POLICIES, StoredPolicy, policy_facts, linger=0.0),  # seldom, and somebody waits for it
        reflect(NODE_COLOCATIONS, NodeColocation, colocation_facts),
    ]
