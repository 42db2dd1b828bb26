"""Server-sent events: each message is computed once, for everybody who looks."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation.console import common, policies, problems
from colocation.console.app import App, Ask
from colocation.console.gate import report_right
from colocation.console.model import NodeRow
from colocation.console.problems import Trouble
from colocation.console.snapshot import Seen, Snapshot
from colocation.serving import Answer, Write

log = logging.getLogger(__name__)
COMMENT_SECONDS: Final = 15.0
RIGHTS_SECONDS: Final = 30.0
POLICY_SECONDS: Final = 2.0
MOST: Final = 192
"""Of the connections that the server has; the others are for pages."""
MOST_EACH: Final = 8
"""Of one person."""
MOST_NAMES: Final = 200
KEPT: Final = 64
"""Messages that a stream may be behind."""
RETRY_MS: Final = 2000


class Message(Struct, frozen=True):
    """One of them, ready to be sent."""

    number: int
    text: bytes


def text(event: str, data: Any) -> bytes:
    """As the wire has it; JSON has no line breaks."""
    return b"event: " + event.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


class Hub:
    """Fed by the snapshot's thread; streams wait for what is new."""

    def __init__(self) -> None:
        self._new = threading.Condition()
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._number = 0
        self._before: dict[str, tuple[Any, ...]] = {}
        self._summary = b""
        self._open: Counter[bytes] = Counter()
        self._closed = False

    @property
    def streams(self) -> int:
        """How many there are."""
        return self._open.total()

    @property
    def closed(self) -> bool:
        """The console ends."""
        return self._closed

    def take(self, seen: Seen) -> None:
        """A report has come."""
        now = {row.node: _shown(row) for row in seen.rows}
        changed = [name for name in now.keys() | self._before.keys() if now.get(name) != self._before.get(name)]
        self._before = now
        summary = text("summary", _summary(seen))
        if summary != self._summary:
            self._summary = summary
            self._send(summary)
        if changed:
            more = {"more": True} if len(changed) > MOST_NAMES else {}
            self._send(text("changed", {"nodes": sorted(changed)[:MOST_NAMES], **more}))

    def away(self, since: float | None) -> None:
        """The manager went away, or (None) came back."""
        self._send(text("away", {"what": "manager", "since": None if since is None else problems.rfc3339(since)}))

    def close(self) -> None:
        """End all streams."""
        with self._new:
            self._closed = True
            self._new.notify_all()

    def enter(self, person: bytes) -> None:
        """Take a place. Raises Trouble."""
        with self._new:
            if self._open.total() >= MOST:
                raise problems.too_many("as many streams as there may be are open", 30)
            if self._open[person] >= MOST_EACH:
                raise problems.too_many(f"{MOST_EACH} streams of yours are open", 30)
            self._open[person] += 1

    def leave(self, person: bytes) -> None:
        """Give it back."""
        with self._new:
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]

    def newest(self) -> tuple[int, bytes]:
        """The number of the last message, and the last summary: what a new stream begins with."""
        return self._number, self._summary

    def after(self, number: int, seconds: float) -> list[Message]:
        """What is newer; waits for it at most that many seconds."""
        with self._new:
            self._new.wait_for(lambda: self._closed or self._number > number, seconds)
            return [one for one in self._kept if one.number > number]

    def _send(self, message: bytes) -> None:
        with self._new:
            self._number += 1
            self._kept.append(Message(self._number, message))
            self._new.notify_all()


def stream(app: App, ask: Ask) -> Answer:
    """GET /stream. The right to the report was checked, and is checked again each half minute."""
    hub = app.service(Hub)
    person = hashlib.sha256(ask.token.encode()).digest()
    hub.enter(person)

    def run(write: Write) -> None:
        try:
            _Stream(app, ask, hub, write).run()
        finally:
            hub.leave(person)

    head = (("X-Accel-Buffering", "no"), ("Cache-Control", "no-store, no-transform"))
    return Answer(200, f"retry: {RETRY_MS}\n\n".encode(), "text/event-stream; charset=utf-8", head, run)


class _Stream:
    """One person's. Its thread does nothing but wait and write."""

    def __init__(self, app: App, ask: Ask, hub: Hub, write: Write, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._ask, self._hub, self._write, self._clock = app, ask, hub, write, clock
        self._policy = ask.query.policy if ask.query else ""
        self._seen_policy = ""

    def run(self) -> None:
        number, summary = self._hub.newest()
        if summary:
            self._write(summary)
        away = self._app.service(Snapshot).away_since
        if away is not None:
            self._write(text("away", {"what": "manager", "since": problems.rfc3339(away)}))
        checked = written = self._clock()
        looked = float("-inf")
        while not self._hub.closed:
            now = self._clock()
            session = self._ask.person.session if self._ask.person else None
            if session is not None and self._app.wall() >= session.expires:
                self._write(text("bye", {"why": "expired"}))
                return
            if now - checked >= RIGHTS_SECONDS:
                checked = now
                if not self._still_may():
                    self._write(text("bye", {"why": "denied"}))
                    return
            if self._policy and now - looked >= POLICY_SECONDS:
                looked = now
                self._look()
            if now - written >= COMMENT_SECONDS:
                self._write(b": here\n\n")
                written = now
            wait = POLICY_SECONDS if self._policy else COMMENT_SECONDS
            for one in self._hub.after(number, wait):
                self._write(one.text)
                number, written = one.number, self._clock()

    def _still_may(self) -> bool:
        """Unknown means no: the browser asks again, and gets the reason."""
        try:
            return self._app.may(self._ask, report_right(self._app.options.namespace))
        except Trouble:
            return False

    def _look(self) -> None:
        try:
            stored = common.one_policy(self._app, self._ask, self._policy)
        except Trouble as trouble:
            found = {"name": self._policy, "problem": trouble.problem.status}
        else:
            view = policies.view(stored)
            found = {
                "name": view.name,
                "version": view.version,
                "conditions": view.conditions,
                "nodes": view.nodes,
                "reportingNodes": view.reporting_nodes,
                "updatedNodes": view.updated_nodes,
                "rolloutStopped": view.rollout_stopped,
            }
        message = text("policy", found).decode()
        if message != self._seen_policy:
            self._seen_policy = message
            self._write(message.encode())


def _summary(seen: Seen) -> dict[str, Any]:
    return {"asOf": problems.rfc3339(seen.at), "cpu": seen.cpu, "memory": seen.memory, "nodes": seen.counts}


def _shown(row: NodeRow) -> tuple[Any, ...]:
    """What of a row is worth a message."""
    cpu, memory = row.cpu, row.memory
    amounts = (cpu.published, cpu.allocated, memory.published, memory.allocated)
    return (row.policy, row.states, row.be_pods, row.reason, *amounts)
