"""Outbox and writers: what is to be written, in which order, how fast, and what a refusal means."""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from colocation.kube.backoff import Backoff
from colocation.kube.bucket import Bucket
from colocation.kube.rest import MERGE_PATCH, ApiError, Rest
from colocation.manager.patches import Job

log = logging.getLogger(__name__)
Key = tuple[str, str]
WRITERS: Final = 8
_SLACK: Final = 64
"""Places in the order that no longer count are swept out when they are more than the jobs, and these."""


class Done(Struct, frozen=True):
    """The outcome of a job: the changed object, or why not."""

    job: Job
    answer: bytes = b""
    error: ApiError | None = None
    skipped: bool = False
    """Never sent: leadership had run out."""


class Writer(Protocol):
    """Carries jobs out on other threads, and returns a `Done` to the loop."""

    def submit(self, job: Job) -> None:
        """Take one job; never blocks."""


class Outbox:
    """At most one job per key waits; at most ``parallel`` are out; shrinks go before grows."""

    def __init__(self, writer: Writer, bucket: Bucket, parallel: int = WRITERS) -> None:
        self._writer, self._bucket, self._parallel = writer, bucket, parallel
        self._waiting: dict[Key, Job] = {}
        self._since: dict[Key, float] = {}
        """When each key began to wait, oldest first."""
        self._order: list[tuple[int, int, Key]] = []
        self._sequence = itertools.count()
        self._out: dict[Key, int] = {}
        """What is out, and during which period it was sent."""
        self._period = 0
        """How often the server has been in trouble."""
        self._not_before: dict[Key, float] = {}
        self._failures: dict[Key, Backoff] = {}
        self._server = Backoff(0.5, 30)
        self._held: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        """Jobs waiting or out."""
        return len(self._waiting) + len(self._out)

    @property
    def out(self) -> int:
        """Jobs sent and not answered."""
        return len(self._out)

    def busy(self, key: Key) -> bool:
        """A job for this key is out: what to write next is decided on its answer."""
        return key in self._out

    def oldest(self, now: float) -> float:
        """Seconds for which the job that waits longest has waited; 0: none waits."""
        return max(0.0, now - next(iter(self._since.values()), now))

    def put(self, job: Job, now: float) -> None:
        """Write this, instead of what may still be waiting for the same key."""
        before = self._waiting.get(job.key)
        if before is not None and before.since is not None:
            job = msgspec.structs.replace(job, since=before.since)  # what was to answer that report still has not
        self._waiting[job.key] = job
        self._since.setdefault(job.key, now)
        if before is None or before.urgency != job.urgency:
            heapq.heappush(self._order, (job.urgency, next(self._sequence), job.key))
            if len(self._order) > 2 * len(self._waiting) + _SLACK:
                self._sweep()

    def _sweep(self) -> None:
        """Leave one place in the order for each key: jobs are replaced and dropped while none may go."""
        places: dict[Key, tuple[int, int, Key]] = {}
        for place in sorted(self._order):
            job = self._waiting.get(place[2])
            if job is not None and job.urgency == place[0]:
                places.setdefault(place[2], place)
        self._order = list(places.values())  # sorted, which is a heap
        self._held = sorted({key: (at, key) for at, key in self._held if key in self._waiting}.values())

    def drop(self, key: Key) -> None:
        """Nothing is to be written for this key any more."""
        self._waiting.pop(key, None)
        self._since.pop(key, None)

    def clear(self) -> None:
        """Nothing is to be written at all: another leads."""
        self._waiting.clear()
        self._since.clear()
        self._order.clear()
        self._held.clear()

    def forget(self, name: str) -> None:
        """The node is gone: no memory of its failures."""
        for key in [k for k in self._failures if k[1] == name]:
            del self._failures[key]
            self._not_before.pop(key, None)

    def step(self, now: float) -> float | None:
        """Send what may go now; when to come back, or None if only an answer can change anything."""
        while self._held and self._held[0][0] <= now:
            _, key = heapq.heappop(self._held)
            if key in self._waiting:
                heapq.heappush(self._order, (self._waiting[key].urgency, next(self._sequence), key))
        while self._order and len(self._out) < self._parallel:
            urgency, _, key = self._order[0]
            job = self._waiting.get(key)
            if job is None or job.urgency != urgency or key in self._out:
                heapq.heappop(self._order)  # replaced or withdrawn meanwhile
                continue
            until = self._not_before.get(key, now)
            if until > now:
                heapq.heappop(self._order)
                heapq.heappush(self._held, (until, key))
                continue
            wait = self._bucket.take(now)
            if wait > 0:
                return now + wait
            heapq.heappop(self._order)
            del self._waiting[key]
            self._since.pop(key, None)
            self._out[key] = self._period
            self._writer.submit(job)
        return self._held[0][0] if self._held else None

    def lift(self) -> None:
        """There is something that everybody waits for: no limit until it has been written."""
        self._bucket.lift()

    def caught_up(self, now: float) -> None:
        """Everything there was to write when we began has been written: from now on the rate holds."""
        self._bucket.impose(now)

    def done(self, done: Done, now: float) -> None:
        """Take a job's outcome; failures delay this key, and where the server is in trouble, everything."""
        key, error = done.job.key, done.error
        sent_in = self._out.pop(key, self._period)
        if error is None:
            self._failures.pop(key, None)
            self._not_before.pop(key, None)
            if not done.skipped:
                self._server.reset()
            return
        if error.code in (0, 429):
            if sent_in < self._period:  # sent before the trouble that we know of: the same one, not another
                self._bucket.close(now + (error.retry_after or 0.0))
                return
            self._period += 1
            self._bucket.close(now + self._server.next(error.retry_after or 0.0))
            return
        backoff = self._failures.setdefault(key, Backoff(0.1, 30))
        self._not_before[key] = now + backoff.next(error.retry_after or 0.0)


class Writers:
    """A few threads that send jobs; none begins once ``may_write`` says no."""

    def __init__(
        self, rest: Rest, may_write: Callable[[], bool], tell: Callable[[Done], None], count: int = WRITERS
    ) -> None:
        self._rest, self._may_write, self._tell = rest, may_write, tell
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"writer-{i}", daemon=True) for i in range(count)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the requests that are being sent."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(seconds)

    def submit(self, job: Job) -> None:
        """Queue one job."""
        self._jobs.put(job)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._tell(self._send(job))

    def _send(self, job: Job) -> Done:
        if not self._may_write():
            return Done(job, skipped=True)
        kind = MERGE_PATCH if job.method == "PATCH" else "application/json"
        try:
            return Done(job, self._rest.send(job.method, job.path, body=job.body, kind=kind, label=job.label))
        except ApiError as error:
            return Done(job, error=error)
        except Exception as error:  # a writer must not die, and its job must not stay pending forever
            log.exception("write failed", extra={"path": job.path})
            return Done(job, error=ApiError(500, "InternalError", repr(error)))


class DryWriter:
    """Writes nothing: shows each job once, as a JSON line."""

    def __init__(self, tell: Callable[[Done], None], show: Callable[[str], None]) -> None:
        self._tell, self._show = tell, show
        self._shown: dict[Key, str] = {}

    def submit(self, job: Job) -> None:
        """Show it, unless it is what was shown last for this key."""
        line = {"method": job.method, "path": job.path, "body": _without_version(job.body), "why": job.summary}
        text = msgspec.json.encode(line).decode()
        if self._shown.get(job.key) != text:
            self._shown[job.key] = text
            self._show(text)
        self._tell(Done(job, skipped=True))


def _without_version(text: bytes) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(text)
    body.get("metadata", {}).pop("resourceVersion", None)
    return body
