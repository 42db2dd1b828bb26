"""One watch connection: lines in, typed lines out, and a way to cut it from another thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import msgspec
import urllib3
from msgspec import Raw, Struct

from colocation.decoding import decode, decoder
from colocation.kube.resources import Resource
from colocation.kube.rest import ApiError, Rest

READ_SECONDS: Final = 150.0
"""Seconds without a message that mean a dead peer: the API server sends a bookmark about once a minute (KEP-956,
https://github.com/kubernetes/enhancements/issues/956)."""
OVERTIME_SECONDS: Final = 30.0
"""Seconds past its end after which we end a watch that the server has not ended."""
_CHUNK: Final = 65536
_SILENCE: Final = 0.005
"""What comes sooner than this was there already, or comes in a burst."""


class Line(Struct):
    """One line of a watch; its object not decoded yet."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: Raw


class _ErrorStatus(Struct):
    code: int = 500
    reason: str = "Unknown"
    message: str = ""


class Watch:
    """A watch that ``cut()`` ends at once, from any thread, also while it waits for the next line."""

    def __init__(self, rest: Rest, resource: Resource, linger: float = 0.0) -> None:
        """``linger``: seconds to wait after a silence for more to come: waking up costs as much as what it is for."""
        self._rest, self._resource, self._linger = rest, resource, linger
        self._lock = threading.Lock()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._cut = False
        self._decoder = decoder(Line)

    def lines(
        self, query: Mapping[str, str], read_seconds: float = READ_SECONDS, opened: Callable[[], None] | None = None
    ) -> Iterator[Line]:
        """Yield lines until the server ends the watch. Raises ApiError: 410 when the version is too old."""
        response = self._rest.stream(self._resource, query, read_seconds)
        ends = time.monotonic() + float(query.get("timeoutSeconds", "inf")) + OVERTIME_SECONDS
        with self._lock:
            self._response = response
            if self._cut:
                response.close()
                self._response = None
                return
        if opened is not None:
            opened()
        try:
            rest: list[bytes] = []
            waited = time.monotonic()
            for chunk in response.stream(_CHUNK):
                if self._linger and time.monotonic() - waited > _SILENCE:
                    time.sleep(self._linger)
                *whole, tail = chunk.split(b"\n")
                for piece in whole:
                    yield self._decode(b"".join((*rest, piece)))
                    rest.clear()
                if tail:
                    rest.append(tail)
                waited = time.monotonic()
                if waited > ends:  # it should have ended: data that arrives may never be a whole line
                    return
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # A socket that is cut while TLS reads from it fails in whatever way it can.
            if not self._cut:
                raise ApiError(0, "Unreachable", f"watch broke off: {type(error).__name__}: {error}") from error
        finally:
            with self._lock:
                self._response = None
            response.close()

    def cut(self) -> None:
        """End this watch, and every later one, now."""
        with self._lock:
            self._cut = True
            if self._response is not None:
                with contextlib.suppress(Exception):
                    self._response.shutdown()

    def _decode(self, line: bytes) -> Line:
        try:
            decoded = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            raise ApiError(0, "Unreachable", f"watch sent half a line: {error}") from error
        if decoded.type == "ERROR":
            status = decode(decoded.object, _ErrorStatus)
            raise ApiError(status.code, status.reason, status.message)
        return decoded
