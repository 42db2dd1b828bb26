"""Prometheus' HTTP API: instant and range queries, in pieces, tried again, kept on disk. Only GET."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec import Struct, field

from colocation.kube.rest import ApiError, Rest

MAX_POINTS: Final = 10_000
"""Prometheus refuses more than 11,000 points per series."""
READ_SECONDS: Final = 150.0
"""Its own limit for a query is 2 minutes by default."""
_TRIES: Final = 5
_AGAIN: Final = frozenset({0, 408, 425, 429, 500, 502, 503, 504})
_TOO_MUCH: Final = ("too many samples", "exceeded maximum resolution", "timed out", "query timeout", "limit")
_LEAST_POINTS: Final = 12


class Series(Struct):
    """One series of an answer."""

    metric: dict[str, str]
    values: list[tuple[float, str]] = field(default_factory=list)
    value: tuple[float, str] | None = None


class _Data(Struct):
    result: list[Series] = field(default_factory=list)


class _Answer(Struct):
    status: str
    data: _Data = field(default_factory=_Data)
    error: str = ""


_DECODER: Final = msgspec.json.Decoder(_Answer)


class PrometheusError(Exception):
    """A query that got no answer, and what to do about it."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Cache(Protocol):
    """Answers about the past, which do not change."""

    def get(self, key: str) -> bytes | None:
        """What was put, if it is still there."""

    def put(self, key: str, body: bytes) -> None:
        """Keep it."""


class Prometheus:
    """One server, or what speaks its API. Safe to use from many threads."""

    def __init__(
        self,
        rest: Rest,
        prefix: str,
        title: str,
        cache: Cache | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``prefix``: of the path, such as the API server's way to a Service; ``title``: for people."""
        self.title = title
        self.bytes_read = 0
        self._rest, self._prefix, self._cache, self._sleep = rest, prefix.rstrip("/"), cache, sleep

    def now(self) -> float:
        """The server's own clock. Raises PrometheusError."""
        body = self._get("query", {"query": "time()"})
        try:
            return float(msgspec.json.decode(body)["data"]["result"][1])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise PrometheusError(f"{self.title}: what answered is no Prometheus: {body[:80]!r}") from error

    def at(self, query: str, at: float) -> list[Series]:
        """An instant query. Raises PrometheusError."""
        return self._decode(self._kept("query", {"query": query, "time": f"{at:.0f}"}))

    def over(self, query: str, start: int, end: int, step: int) -> list[Series]:
        """A range query, both ends included; in as many pieces as limits ask for. Raises PrometheusError."""
        points = (end - start) // step + 1
        if points > MAX_POINTS:
            return self._halves(query, start, end, step)
        asked = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        try:
            return self._decode(self._kept("query_range", asked))
        except PrometheusError as error:
            if points > _LEAST_POINTS and any(sign in str(error) for sign in _TOO_MUCH):
                return self._halves(query, start, end, step)
            raise

    def _halves(self, query: str, start: int, end: int, step: int) -> list[Series]:
        middle = start + (end - start) // step // 2 * step
        whole = {tuple(sorted(s.metric.items())): s for s in self.over(query, start, middle, step)}
        for series in self.over(query, middle + step, end, step):
            key = tuple(sorted(series.metric.items()))
            if key in whole:
                whole[key].values.extend(series.values)
            else:
                whole[key] = series
        return list(whole.values())

    def _kept(self, kind: str, asked: dict[str, str]) -> bytes:
        key = f"{self.title} {kind} {sorted(asked.items())}"
        if self._cache is not None and (body := self._cache.get(key)) is not None:
            return body
        body = self._get(kind, asked)
        if self._cache is not None:
            self._cache.put(key, body)
        return body

    def _get(self, kind: str, asked: dict[str, str]) -> bytes:
        for attempt in range(_TRIES):
            try:
                body = self._rest.send("GET", f"{self._prefix}/api/v1/{kind}", query=asked, read_seconds=READ_SECONDS)
            except ApiError as error:
                heavy = any(sign in error.message for sign in _TOO_MUCH)
                if error.code not in _AGAIN or heavy or attempt == _TRIES - 1:
                    raise PrometheusError(f"{self.title}: {error.message or error}", error.code) from error
                self._sleep(error.retry_after or 0.5 * 2**attempt)
            else:
                self.bytes_read += len(body)
                return body
        raise AssertionError("unreachable")

    def _decode(self, body: bytes) -> list[Series]:
        try:
            answer = _DECODER.decode(body)
        except msgspec.DecodeError as error:
            raise PrometheusError(f"{self.title}: what answered is no Prometheus: {body[:80]!r} ({error})") from error
        if answer.status != "success":
            raise PrometheusError(f"{self.title}: {answer.error}")
        return answer.data.result
