"""The loop: events in, dirty nodes evaluated, jobs out. One thread owns all of it; `step` runs without any."""

from __future__ import annotations

import heapq
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation.budget import (
    NONE_KNOWN,
    Evaluation,
    ReportView,
    Withdrawal,
    add_up,
    direction,
    evaluate,
    log_fields,
    moved,
    one_line,
    top_pods,
)
from colocation.kube.cache import Bad, Delete, Event, Synced, Upsert, WatchState
from colocation.kube.resources import NODE_COLOCATIONS, Resource
from colocation.manager.events import About, Events
from colocation.manager.evictions import Evictions
from colocation.manager.evictor import EvictionOutcome
from colocation.manager.fleet import Fleet
from colocation.manager.hearing import Ear
from colocation.manager.metrics import Metrics
from colocation.manager.moves import Moves
from colocation.manager.node import NodeState, colocation_facts
from colocation.manager.patches import NODE, POLICY, SPEC, node_job, spec_job
from colocation.manager.policies import Policies
from colocation.manager.priorities import Default
from colocation.manager.publisher import Done, Outbox
from colocation.manager.state import State
from colocation.manager.watch_health import WatchHealth
from colocation.model.facts import NodeFacts, node_facts
from colocation.model.wire import Node, NodeColocation
from colocation.nesting import Deep

log = logging.getLogger(__name__)
IDLE_SECONDS: Final = 1.0
"""Seconds of the longest round of the loop: its heartbeat, and the lease, are checked each round."""
AGAIN_SECONDS: Final = 5.0
"""A node whose deciding failed is tried again after this time: not at once, or the fault fills loop and log."""
AWAIT_SECONDS: Final = 180.0
"""After a start the rate limit stays lifted until every node has reported once, or no new node has for this long."""
TAKE_SECONDS: Final = 0.05
"""How long messages are taken before what they have changed is decided and published."""
_SLACK: Final = 64
"""Timers that were replaced are swept out when they are more than the nodes, and these."""
_TOP: Final = 3
"""Pods named when a number has moved."""
_NODE: Final = Deep(msgspec.json.Decoder(Node))
_COLOCATION: Final = Deep(msgspec.json.Decoder(NodeColocation))


class Stop(Struct, frozen=True):
    """Message: end the loop."""


class Wake(Struct, frozen=True):
    """Message: look again (leadership has changed)."""


class Sees(Struct, frozen=True):
    """Message: a watch was interrupted, or is open again."""

    resource: Resource
    state: WatchState


class Ask(Struct):
    """Message: a question from another thread, answered on the loop's."""

    question: Callable[[Loop, float], Any]
    answer: queue.SimpleQueue[Any]
    cancelled: bool = False
    """Its asker has stopped waiting: it is skipped."""


class Loop:
    """Decides and publishes. ``may_write``: do we lead, now."""

    def __init__(
        self,
        outbox: Outbox,
        metrics: Metrics,
        events: Events,
        evictions: Evictions,
        clock: Callable[[], float],
        may_write: Callable[[], bool],
        answered_at: Callable[[], float],
        inbox: queue.SimpleQueue[Any],
    ) -> None:
        self.state = State()
        self.inbox, self.beat = inbox, clock()
        self._outbox, self._metrics, self._clock, self._may_write = outbox, metrics, clock, may_write
        self._answered_at = answered_at
        self._events, self._policies = events, Policies(self.state, events)
        self.evictions, self.moves, self._fleet = evictions, Moves(self.state.nodes, evictions), Fleet()
        self._timers: list[tuple[float, str]] = []
        self._watch_health, self._ear = WatchHealth(), Ear()
        self._led = self._caught_up = False
        self._began = clock()

    @property
    def leads(self) -> bool:
        """May write, as of the last step."""
        return self._led

    @property
    def settled(self) -> bool:
        """Everything is decided and written."""
        return self.state.synced and not self.state.dirty and len(self._outbox) == 0

    def run(self) -> None:
        """Until a `Stop`."""
        while self.round():
            pass

    def round(self) -> bool:
        """Do what is due, then wait for the next message or timer; False after a `Stop`."""
        now = self._clock()
        self._ear.awake(now)
        try:
            until = self.step(now)
            self.beat = now  # only now: a loop that fails again and again is not alive
        except Exception:  # one node's fault must not end the publishing of the others
            log.exception("step failed")
            until = now + IDLE_SECONDS
        wait = IDLE_SECONDS if until is None else min(IDLE_SECONDS, max(0.0, until - self._clock()))
        return self._receive(wait)

    def drain(self, seconds: float) -> None:
        """Wait for the answers to what has been sent; send nothing more."""
        self._outbox.clear()
        end = time.monotonic() + seconds
        while self._outbox.out and (left := end - time.monotonic()) > 0:
            self._receive(left)

    def handle(self, message: object, now: float) -> None:
        """Take one message."""
        match message:
            case Upsert() | Delete() | Synced() | Bad():
                self._watched(message)
                self.state.apply(message, now)
            case Done():
                self._done(message, now)
            case EvictionOutcome():
                self.evictions.done(message, now)
                self.moves.done(message, now)
                if message.eviction.node in self.state.nodes:
                    self.state.dirty.add(message.eviction.node)
                else:
                    self.evictions.forget(message.eviction.node)
            case Sees():
                self._watch_health.changed(message.resource.plural, message.state, now)
                self._metrics.watch(message.resource.plural, is_open=message.state is WatchState.AGAIN)
                if message.resource == NODE_COLOCATIONS:
                    self._ear.watch_changed(message.state, now)
                    self._hear(now)
            case Default():
                self._metrics.default_priority.set(bool(message.why))
                self._policies.refuses(message.why, now)
            case Ask(cancelled=False):
                self._answer(message, now)

    def _watched(self, event: Event[Any]) -> None:
        if isinstance(event, Synced):
            self._metrics.watch(event.resource.plural, is_open=True)
        elif isinstance(event, Bad):
            self._metrics.bad_objects.labels(event.resource.plural).inc()

    def _answer(self, asked: Ask, now: float) -> None:
        try:
            asked.answer.put(asked.question(self, now))
        except Exception as error:  # returned to the client, whose fault it may be
            log.exception("question failed")
            asked.answer.put(error)

    def step(self, now: float) -> float | None:
        """Evaluate what is dirty or due, hand out what may be written; when to come back at the latest."""
        if not self.state.synced:
            return None
        leads = self._lead(now)
        self._hear(now)
        if self.state.edited:  # somebody waits for what follows from it
            self._outbox.lift()
            self._caught_up = False
        look_at = self._policies.step(now, leads=leads)
        self._fleet.step(self.state, now)
        self._expire(now)
        if leads and now >= self.moves.due and not self._ear.deaf and self._watch_health.clear_at(now) <= now:
            self.state.dirty |= self.moves.look(now) & self.state.nodes.keys()
        if self.state.dirty:
            began = time.perf_counter()
            for name in self._take_dirty():
                self._evaluate_alone(name, now)
            self._metrics.recompute.observe(time.perf_counter() - began)
        if self._ear.deaf:  # how nodes were before says nothing of how they are
            look_at = now + IDLE_SECONDS
        elif now >= look_at:
            for job in self._policies.look(now):
                if not self._outbox.busy(job.key):
                    self._outbox.put(job, now)
            look_at = now if self.state.dirty else self._policies.due
        self._metrics.outbox.set(len(self._outbox))
        self._metrics.oldest.set(self._outbox.oldest(now))
        self._metrics.inbox.set(self.inbox.qsize())
        self._metrics.decided_on(self.state.seen)
        times = [self._write(now) if leads else None, self._timers[0][0] if self._timers else None, look_at]
        return min(t for t in times if t is not None)

    def _expire(self, now: float) -> None:
        """Nodes whose time has come are dirty."""
        while self._timers and self._timers[0][0] <= now:
            at, name = heapq.heappop(self._timers)
            node = self.state.nodes.get(name)
            if node is not None and node.due == at:
                self.state.dirty.add(name)

    def _hear(self, now: float) -> None:
        self.state.hearing = self._ear.look(now, self._answered_at())

    def _lead(self, now: float) -> bool:
        leads = self._may_write()
        if leads != self._led:
            self._led = leads
            self._metrics.leads(leads=leads)
            self._outbox.clear()
            if leads:
                self._watch_health.reached(now)
                self.state.dirty.update(self.state.nodes)
        return leads

    def _write(self, now: float) -> float | None:
        clear_at = self._watch_health.clear_at(now)
        if clear_at > now:
            return clear_at
        until = self._outbox.step(now)
        patience = max(self._began, self.state.joined_at) + AWAIT_SECONDS
        if not self._caught_up and self.settled and (now >= patience or not self._awaits()):
            self._caught_up = True
            self._outbox.caught_up(now)
        return until

    def _awaits(self) -> bool:
        """A node has a spec, but has not reported yet."""
        return any(
            node.evaluation is not None and node.evaluation.withdrawal is Withdrawal.NO_REPORT
            for node in self.state.nodes.values()
        )

    def _take_dirty(self) -> set[str]:
        dirty, self.state.dirty = self.state.dirty, set()
        return dirty

    def _evaluate_alone(self, name: str, now: float) -> None:
        """A node's fault, whatever it is, leaves the others decided, and the node itself still to be decided."""
        try:
            self._evaluate(name, now)
        except Exception:
            log.exception("node cannot be decided", extra={"node": name})
            self._metrics.failures.inc()
            if (node := self.state.nodes.get(name)) is not None:
                self._wake_at(node, now + AGAIN_SECONDS)

    def _evaluate(self, name: str, now: float) -> None:
        node = self.state.nodes.get(name)
        if node is None:
            return
        if node.facts is None:
            self._gone(node)
            return
        offered = node.evaluation.withdraw is None if node.evaluation else node.facts.withdrawn is None
        answers = None if node.evaluation is None or node.evaluation.report is node.report else node.report.arrived
        evaluation = node.evaluation = self._compute(node, node.facts, now)
        self._wake_at(node, evaluation.next_at)
        self.moves.note(node, evaluation, now)
        self._metrics.node(node, now)
        if not self._led:
            return
        if evaluation.withdrawal is not None and offered and not node.facts.published.absent:
            self._metrics.withdrawals.labels(evaluation.withdrawal).inc()
        for key, job in (
            ((NODE, name), node_job(node.facts, evaluation, answers)),
            ((SPEC, name), spec_job(node, node.facts)),
        ):
            if self._outbox.busy(key):
                continue  # its answer makes the node dirty again
            if job is None:
                self._outbox.drop(key)
                if key[0] == NODE and (again := self.evictions.step(node, now)) is not None:
                    self._wake_at(node, again if evaluation.next_at is None else min(again, evaluation.next_at))
            else:
                self._outbox.put(job, now)
        self._metrics.left_out(name, len(node.left_out))

    def _wake_at(self, node: NodeState, at: float | None) -> None:
        if at != node.due:
            node.due = at
            if at is not None:
                heapq.heappush(self._timers, (at, node.name))
            if len(self._timers) > 2 * len(self.state.nodes) + _SLACK:
                # Each report sets another time, and what it replaces may be a day off.
                self._timers = [(n.due, n.name) for n in self.state.nodes.values() if n.due is not None]
                heapq.heapify(self._timers)

    def _compute(self, node: NodeState, facts: NodeFacts, now: float) -> Evaluation:
        selection = self.state.select(node)
        try:
            sums, evicting = node.summed(selection, self.state.workloads), self.evictions.pending(node, now)
            return evaluate(
                facts,
                selection,
                node.report,
                sums,
                node.windows,
                now,
                node.evaluation,
                evicting,
                foreign=node.foreign,
                hearing=self.state.hearing,
            )
        except Exception as error:  # a fault of ours costs that node alone, and on the safe side
            log.exception("node cannot be evaluated", extra={"node": node.name})
            self._metrics.failures.inc()
            problem = ReportView(problem=f"{type(error).__name__}: {error}")
            return evaluate(facts, selection, problem, add_up(node.pods.values()), node.windows, now)

    def _gone(self, node: NodeState) -> None:
        node.evaluation = node.due = None
        self._outbox.drop((NODE, node.name))
        self._outbox.drop((SPEC, node.name))  # garbage-collected by its owner, the Node
        self._outbox.forget(node.name)
        self._metrics.forget(node.name)
        self.moves.forget(node.name)
        self._events.forget("Node", node.name)
        self.evictions.forget(node.name)
        if node.empty:
            del self.state.nodes[node.name]

    def _done(self, done: Done, now: float) -> None:
        self._outbox.done(done, now)
        kind, name = done.job.key
        if done.skipped:
            return
        outcome = "ok" if done.error is None else str(done.error.code)
        self._metrics.writes.labels(kind, outcome).inc()
        if kind != POLICY and name in self.state.nodes:
            self.state.dirty.add(name)
        elif kind == POLICY and name not in self.state.policies:
            self._outbox.forget(name)
        if done.error is not None:
            self._refused(done, done.error.code)
        elif kind == NODE:
            after = node_facts(_NODE.decode(done.answer))
            self.state.wrote_node(name, after, now)
            self._metrics.published(name)
            if done.job.since is not None:
                self._metrics.answered.observe(now - done.job.since)
            self._say(done, after, now)
        elif kind == SPEC:
            wrote = None
            if done.job.method != "DELETE":
                wrote = msgspec.structs.replace(colocation_facts(_COLOCATION.decode(done.answer)), status=None)
            self.state.wrote_colocation(name, wrote)

    def _refused(self, done: Done, code: int) -> None:
        kind, name = done.job.key
        if code == 404 and kind == SPEC:
            self.state.wrote_colocation(name, None)
        elif code in (404, 409):
            log.debug("decided on an old version", extra={"object": name, "kind": kind, "code": code})
        else:
            what = "policy" if kind == POLICY else "node"
            log.warning("write refused", extra={what: name, "kind": kind, "error": str(done.error)})

    def _say(self, done: Done, after: NodeFacts, now: float) -> None:
        """Log what was written; after a large change also the reasons, and an Event."""
        name, before, evaluation = after.name, done.job.before, done.job.evaluation
        extra: dict[str, Any] = {
            "be_cpu": after.published.cpu,
            "be_memory": after.published.memory,
            "gate": after.published.gate,
        }
        node = self.state.nodes.get(name)
        if evaluation is not None and node is not None and moved(before, after.published):
            first = before.absent  # of thousands of nodes at once, and nothing has changed for anybody
            siblings = node.sums.siblings if node.sums is not None else NONE_KNOWN
            top = (
                ()
                if first
                else top_pods(after, node.pods.values(), evaluation.report, evaluation.selection, _TOP, siblings)
            )
            age = None if evaluation.report.arrived is None else now - evaluation.report.arrived
            extra |= {"before": {"be_cpu": before.cpu, "be_memory": before.memory}, **log_fields(evaluation, age, top)}
            if not first:
                self._events.tell(
                    About("Node", name, after.uid),
                    direction(before, after.published, evaluation),
                    lambda: one_line(before, after.published, evaluation, age, top),
                    warning=evaluation.withdraw is not None,
                )
        log.info("published", extra={"node": name, **extra, "why": done.job.summary})

    def _receive(self, wait: float) -> bool:
        """Wait for a message, then take what is there for `TAKE_SECONDS`; False after a `Stop`."""
        end: float | None = None
        while end is None or time.monotonic() < end:
            try:
                message = self.inbox.get(block=end is None and wait > 0, timeout=wait or None)
            except queue.Empty:
                break
            if end is None:
                end = time.monotonic() + TAKE_SECONDS
                self._ear.awake(self._clock())
                self._hear(self._clock())
            if isinstance(message, Stop):
                return False
            try:
                self.handle(message, self._clock())
            except Exception:  # one message's fault must not cost the others
                log.exception("message failed")
        return True


def ask(loop: Loop, question: Callable[[Loop, float], Any], seconds: float) -> Any:
    """Have a question answered on the loop's thread. Raises TimeoutError, or what the question raised."""
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
    asked = Ask(question, answer)
    loop.inbox.put(asked)
    try:
        given = answer.get(timeout=seconds)
    except queue.Empty:
        asked.cancelled = True
        raise TimeoutError("the manager's loop is busy") from None
    if isinstance(given, Exception):
        raise given
    return given


def wait_settled(loop: Loop, seconds: float, stopped: threading.Event) -> bool:
    """Run the loop until nothing is left to do; False if that took too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stopped.is_set():
        if not loop.round():
            return False
        if loop.leads and loop.settled and loop.inbox.empty():
            return True
    return False
