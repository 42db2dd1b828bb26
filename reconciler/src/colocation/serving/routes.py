"""What is answered where: a table of routes, and the requests and answers that they take and give."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Sequence
from email.message import Message
from typing import Any

import msgspec
from msgspec import Struct

Body = bytes | mmap.mmap


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """Answer with this status and sentence instead."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Request(Struct, frozen=True):
    """One request, read to its end."""

    path: str
    """Decoded, without the query."""
    rest: str
    """What follows the route's own path."""
    query: str
    headers: Message
    body: Body
    end: float
    """When it should be answered (time.monotonic)."""
    method: str = "GET"
    address: str = ""
    """The address at the other end of the connection: the client, or its proxy."""
    secure: bool = False
    """It came by TLS that ends here."""

    def left(self) -> float:
        """Seconds until then. Raises TimeoutError after it."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long to answer; ask for less, or later")
        return left


Write = Callable[[bytes], None]
"""Sends a piece of a stream. Raises OSError when the client is gone, or did not take it within `answer_seconds`."""


class Answer(Struct, frozen=True):
    """One answer."""

    code: int
    body: bytes
    kind: str
    headers: tuple[tuple[str, str], ...] = ()
    """Beside Content-Type and Content-Length."""
    stream: Callable[[Write], None] | None = None
    """Sends what follows ``body``, until it returns; then the connection is closed."""


def json_answer(code: int, body: Any) -> Answer:
    """As JSON: encoded here, on the thread of the connection."""
    return Answer(code, msgspec.json.encode(body) + b"\n", "application/json")


def text_answer(code: int, text: str) -> Answer:
    """As plain text."""
    return Answer(code, text.encode() + b"\n", "text/plain; charset=utf-8")


Handle = Callable[[Request], Answer]
Guard = Callable[[Request], None]
"""Raises Refused for a request that may not be answered."""


class Route(Struct, frozen=True, kw_only=True):
    """Where something is answered. A `path` that ends in "/" stands for everything below it."""

    path: str
    handle: Handle
    method: str = "GET"
    """"": its handler takes every method."""
    guard: Guard | None = None
    probe: bool = False
    """Answered also while `Limits.answers` others are being answered."""
    hint: str = ""
    """How the path is named to somebody who asked for another."""


class Routes:
    """All routes of a server."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact = {route.path: route for route in routes if not route.path.endswith("/")}
        self._below = [route for route in routes if route.path.endswith("/")]
        self._hint = ", ".join(route.hint or route.path for route in routes)

    def find(self, method: str, path: str) -> Route:
        """Raises Refused where there is none."""
        route = self._exact.get(path) or next((r for r in self._below if path.startswith(r.path)), None)
        if route is None:
            raise Refused(404, f"no {path}; try {self._hint}")
        if route.method not in ("", method):
            raise Refused(405, f"{route.hint or route.path} takes {route.method} only")
        return route
