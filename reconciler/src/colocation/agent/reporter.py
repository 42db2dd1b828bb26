"""When to report, and the patch: early when something moved, else as a heartbeat, and never too often."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from colocation.agent.specs import Api, ApiError
from colocation.kube.backoff import Backoff
from colocation.model.policy import Report
from colocation.model.report import Capacity, NodeColocationStatus, PodUsage, Usage

log = logging.getLogger(__name__)
FIRST_SECONDS: Final = 5.0
"""Seconds that a window must cover before it is reported."""
BACKOFF_SECONDS: Final = 30.0
"""The longest wait after a report that did not arrive; `colocation.model.report.RETRY_SECONDS` counts on it."""
_PARTS: Final = ("node", "system", "forecasts", "scores", "pressure", "capabilities", "engine")
_EMPTY: Final = ("observedGeneration", "observedAt", "windowSeconds", "agentVersion", *_PARTS)


def patch_body(status: NodeColocationStatus) -> dict[str, object]:
    """The status as a merge patch. What is not known now is null in it: left out, the old value would stay."""
    body: dict[str, Any] = msgspec.to_builtins(status)
    for name in _EMPTY:
        body.setdefault(name, None)
    for name in _PARTS:
        if body[name] is not None:
            for key in getattr(type(getattr(status, name)), "__struct_encode_fields__", ()):
                body[name].setdefault(key, None)
    body.setdefault("pods", [])
    body.setdefault("evictionRequests", [])
    body.setdefault("conditions", [])
    return {"status": body}


def moved(before: NodeColocationStatus, now: NodeColocationStatus, capacity: Capacity, percent: int) -> bool:
    """A pod came, went or should go, a use moved by ``percent`` of capacity, or what is enforced is of another kind."""
    old = {row.uid: row for row in before.pods}
    if old.keys() != {row.uid for row in now.pods}:
        return True
    if _leaving(before) != _leaving(now):
        return True
    if [(c.type, c.status, c.reason) for c in before.conditions] != [
        (c.type, c.status, c.reason) for c in now.conditions
    ]:
        return True
    if (before.engine.mode if before.engine else "") != (now.engine.mode if now.engine else ""):
        return True
    cpu, memory = capacity.cpu * percent // 100, capacity.memory * percent // 100
    pairs = [(before.node or Usage(), now.node or Usage()), (before.system or Usage(), now.system or Usage())]
    for a, b in pairs:
        if _far(a.cpu_peak, b.cpu_peak, cpu) or _far(a.memory_peak, b.memory_peak, memory):
            return True
    rows: list[tuple[Usage | PodUsage, Usage | PodUsage]] = [*pairs, *((old[row.uid], row) for row in now.pods)]
    return any(_far(a.cpu, b.cpu, cpu) or _far(a.memory, b.memory, memory) for a, b in rows)


def _leaving(status: NodeColocationStatus) -> tuple[list[str], set[str]]:
    """The pod that should leave, and those that could in its place: in which order is worth no report of its own."""
    uids = [request.uid for request in status.eviction_requests]
    return uids[:1], set(uids)


def _far(a: int | None, b: int | None, step: int) -> bool:
    if a is None or b is None:
        return (a is None) != (b is None)
    return abs(a - b) >= max(1, step)


class Schedule:
    """Decides when; belongs to the loop. All times in seconds on the caller's clock."""

    def __init__(self, rand: Callable[[], float] = random.random) -> None:
        self._rand = rand
        self._last: NodeColocationStatus | None = None
        self._sent_at = 0.0
        self._jitter = 1.0
        self._not_before = 0.0

    def may(self, now: float, rules: Report, covered: float) -> bool:
        """Cheap: False while no report could be due, so that none need be put together."""
        if now < self._not_before or covered < FIRST_SECONDS:
            return False
        return self._last is None or now - self._sent_at >= rules.min_interval_seconds

    def due(self, now: float, rules: Report, status: NodeColocationStatus, capacity: Capacity) -> bool:
        """True if this status should be sent."""
        if self._last is None or now - self._sent_at >= rules.interval_seconds * self._jitter:
            return True
        return moved(self._last, status, capacity, rules.change_percent)

    def sent(self, now: float, status: NodeColocationStatus) -> None:
        """It was handed to the sender."""
        self._last, self._sent_at = status, now
        self._jitter = 0.85 + 0.15 * self._rand()  # never later than the interval: staleness is counted in it

    def failed(self, now: float, wait: float) -> None:
        """The report did not arrive: send it again after ``wait`` seconds."""
        self._last, self._not_before = None, now + wait


class ReportSender:
    """Patches on a thread of its own: an API server that hangs does not hold up protection."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Condition()
        self._waiting: NodeColocationStatus | None = None
        self._busy = False
        self._wait: float | None = None
        self._backoff = Backoff(first=1.0, most=BACKOFF_SECONDS)
        self.sent = self.failures = 0
        self.error = ""

    def start(self) -> None:
        """Begin, on a daemon thread."""
        threading.Thread(target=self._run, name="report", daemon=True).start()

    @property
    def busy(self) -> bool:
        """A report is on its way."""
        return self._busy

    def submit(self, status: NodeColocationStatus) -> None:
        """Send this; only while not busy."""
        with self._lock:
            self._waiting, self._busy = status, True
            self._lock.notify()

    def failure(self) -> float | None:
        """Seconds to wait if the last report did not arrive. Clears the value."""
        wait, self._wait = self._wait, None
        return wait

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._waiting is None:
                    self._lock.wait()
                status, self._waiting = self._waiting, None
            self.send(status)
            self._busy = False

    def send(self, status: NodeColocationStatus) -> None:
        """One patch; what goes wrong is kept for ``failure``."""
        try:
            self._api.patch_status(patch_body(status))
        except ApiError as error:
            self._failed(str(error), error.retry_after or 0.0)
        except Exception as error:  # the thread must live: without reports the node is withdrawn
            log.exception("report failed")
            self._failed(str(error), 0.0)
        else:
            if self.error:
                log.info("reports arrive again")
            self.sent, self.error = self.sent + 1, ""
            self._backoff.reset()

    def _failed(self, why: str, at_least: float) -> None:
        self.failures += 1
        self._wait = self._backoff.next(at_least)
        if why != self.error:  # logged once, not at every try
            log.warning("report did not arrive", extra={"error": why, "retry_seconds": round(self._wait, 1)})
        self.error = why
