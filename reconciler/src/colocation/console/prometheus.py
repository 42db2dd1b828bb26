"""Range queries to Prometheus: only those of our own charts, a few at a time, each answer kept for one step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from colocation.decoding import decode
from colocation.kube.login import Login, token_file, trust
from colocation.kube.rest import ApiError, Rest

READ_SECONDS: Final = 8.0
AT_ONCE: Final = 4
POINTS: Final = 300
LEAST_STEP: Final = 15
MOST_KEPT: Final = 256
MOST_LINES: Final = 20


class Source(Struct, frozen=True, kw_only=True):
    """Where it is."""

    url: str
    token: Path | None = None
    ca: str | None = None


class Away(Exception):  # noqa: N818 (an answer, not a fault)
    """It does not answer; the sentence says why."""


class Found(Struct, frozen=True):
    """One line."""

    labels: dict[str, str]
    values: dict[int, float]


class _Line(Struct):
    metric: dict[str, str] = field(default_factory=dict)
    values: tuple[tuple[float, str], ...] = ()


class _Data(Struct):
    result: tuple[_Line, ...] = ()


class _Answer(Struct):
    status: str = ""
    data: _Data = field(default_factory=_Data)
    error: str = ""


class Prometheus:
    """Any thread may ask."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        token = token_file(source.token) if source.token else None
        context = trust(source.ca) if source.url.startswith("https") else None
        login = Login(
            source.url.rstrip("/"), token.headers if token else dict, token.refresh if token else None, context
        )
        self._rest, self._clock = Rest(login, connections=AT_ONCE), clock
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int, int, int], tuple[float, tuple[Found, ...]]] = {}

    def lines(self, expression: str, start: int, end: int, step: int) -> tuple[Found, ...]:
        """Raises Away."""
        key = (expression, start, end, step)
        with self._lock:
            until, lines = self._kept.get(key, (0.0, ()))
        if self._clock() < until:
            return lines
        if not self._slots.acquire(timeout=READ_SECONDS):
            raise Away("Prometheus is asked too much at once")
        try:
            lines = self._ask(expression, start, end, step)
        finally:
            self._slots.release()
        with self._lock:
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (self._clock() + step, lines)
        return lines

    def close(self) -> None:
        """Close its connections."""
        self._rest.close()

    def _ask(self, expression: str, start: int, end: int, step: int) -> tuple[Found, ...]:
        query = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        text = urlencode({**query, "timeout": f"{READ_SECONDS:.0f}s"})
        try:
            answer = decode(
                self._rest.send("GET", f"/api/v1/query_range?{text}", label="prometheus", read_seconds=READ_SECONDS),
                _Answer,
            )
        except ApiError as error:
            raise Away(f"Prometheus does not answer: {error.message or error}") from error
        except msgspec.DecodeError as error:
            raise Away(f"what answers is no Prometheus: {error}") from error
        if answer.status != "success":
            raise Away(f"Prometheus refuses: {answer.error[:200]}")
        return tuple(
            Found(line.metric, {round(at): float(value) for at, value in line.values if value != "NaN"})
            for line in answer.data.result[:MOST_LINES]
        )
