"""Requests and answers on one connection. HTTP's grammar is the standard library's; limits and deadlines are ours."""

from __future__ import annotations

import contextlib
import io
import logging
import mmap
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from colocation.serving.routes import Answer, Body, Refused, Request, Route, Routes, json_answer
from colocation.serving.table import Connection, Limits, Phase, Table

log = logging.getLogger(__name__)
PIECE: Final = 64 * 2**10
"""Bytes read or written at a time: a connection may exceed its share of bytes by this before it is noticed."""


class Serves(Struct, frozen=True):
    """What all connections of a server share."""

    routes: Routes
    limits: Limits
    table: Table
    slots: threading.BoundedSemaphore
    observe: Callable[[int], None]


class Exchange(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after another."""

    server_version, sys_version = "colocation", ""

    def __init__(self, serves: Serves, connection: Connection, end: float) -> None:
        """``end``: by when the first request must be there (time.monotonic)."""
        self._serves, self._connection = serves, connection
        self.client_address = (connection.address, 0)
        self._wire = _Wire(serves, connection, end)
        self.rfile = io.BufferedReader(self._wire)
        self.wfile = _Out(self._wire)  # type: ignore[assignment]
        self.protocol_version = "HTTP/1.1" if serves.limits.idle_seconds else "HTTP/1.0"
        self.unread = False
        """Bytes of a request may have come that were not read."""

    def run(self) -> None:
        """Until the connection is to be closed. Raises OSError when the client is gone or too slow."""
        try:
            self.handle()
        except Refused as refused:  # in the middle of a head: the rest of it is not read
            self.requestline = self.request_version = self.command = ""
            self.send_error(refused.code, str(refused))
            self.wfile.flush()

    def do_GET(self) -> None:
        """See BaseHTTPRequestHandler."""
        self._answer(read=False)

    def do_POST(self) -> None:
        """See BaseHTTPRequestHandler."""
        self._answer(read=True)

    do_PUT = do_POST  # noqa: N815 (http.server's)

    def do_DELETE(self) -> None:
        """See BaseHTTPRequestHandler."""
        self._answer(read="Content-Length" in self.headers)

    def _answer(self, *, read: bool) -> None:
        asked = urlsplit(self.path)
        try:
            route = self._serves.routes.find(self.command, unquote(asked.path))
            if not read and not {"Content-Length", "Transfer-Encoding"}.isdisjoint(self.headers):
                self._stop_reading()  # else the body would be taken for the next request
            body = self._body() if read else b""
            answer = self._respond(route, asked.query, body)
        except Refused as refused:
            self._stop_reading()
            answer = json_answer(refused.code, {"error": str(refused)})
        self._send(answer)
        self._wire.next()
        self.close_connection |= self._serves.table.closed

    def _respond(self, route: Route, query: str, body: Body) -> Answer:
        """Raises Refused."""
        slots = self._serves.slots
        if not route.probe and not slots.acquire(blocking=False):
            raise Refused(503, "too many requests at once")
        self._connection.phase = Phase.ANSWERING
        try:
            path = unquote(urlsplit(self.path).path)
            end = time.monotonic() + self._serves.limits.answer_seconds
            connection = self._connection
            request = Request(
                path,
                path.removeprefix(route.path),
                query,
                self.headers,
                body,
                end,
                self.command,
                connection.address,
                isinstance(connection.socket, ssl.SSLSocket),
            )
            if route.guard is not None:
                route.guard(request)
            return route.handle(request)
        except TimeoutError as error:
            raise Refused(503, str(error)) from error
        except Refused:
            raise
        except Exception as error:
            log.exception("request failed", extra={"path": self.path[:200]})
            raise Refused(500, f"{type(error).__name__}: {error}") from error
        finally:
            self._connection.phase = Phase.WRITING
            if not route.probe:
                slots.release()

    def _body(self) -> Body:
        """Raises Refused."""
        declared, most = self.headers.get("Content-Length", ""), self._serves.limits.body_bytes
        if "Transfer-Encoding" in self.headers or not (declared.isascii() and declared.isdigit()):
            raise Refused(411, f"give Content-Length, at most {most}")
        if len(declared) > 15 or int(declared) > most:
            raise Refused(413, f"a body may have {most} bytes")
        if not int(declared):
            return b""
        # Pages of its own: only those that something was received into take memory, and all go back at once.
        body = mmap.mmap(-1, int(declared))
        self._wire.allow += len(body)
        if self.rfile.readinto(body) < len(body):
            raise ConnectionResetError("the client ended in the middle of a request")
        return body

    def _send(self, answer: Answer) -> None:
        self._wire.begin_answer()
        self.send_response(answer.code)
        if answer.code != HTTPStatus.NOT_MODIFIED:  # it has no body to speak of
            self.send_header("Content-Type", answer.kind)
        if answer.stream is not None:
            self.close_connection = True
        elif answer.code != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.close_connection and self._serves.limits.idle_seconds:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()
        self._serves.observe(answer.code)
        if answer.stream is not None:
            answer.stream(self._write)

    def _write(self, piece: bytes) -> None:
        """Of a stream. A client that has closed its end is noticed now, not when TCP refuses the piece after next."""
        sock = self._connection.socket
        if not isinstance(sock, ssl.SSLSocket):
            sock.settimeout(0)  # `send` sets what is left; with a time limit this would wait for it
            with contextlib.suppress(BlockingIOError):
                if not sock.recv(1, socket.MSG_PEEK):
                    raise ConnectionResetError("the client is gone")
        self._wire.begin_answer()
        self._wire.send(piece)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 (http.server's)
        """What the standard library finds wrong with a head."""
        self._stop_reading()
        self._send(json_answer(code, {"error": message or self.responses[code][0]}))

    def handle_expect_100(self) -> bool:
        """Tell a client that waits for it to send its body."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's)
        """Say nothing: probes come every few seconds, and metrics count the rest."""

    def _stop_reading(self) -> None:
        self.close_connection = self.unread = True


class _Out:
    """What is written to an answer; head and a short body leave in one packet."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def flush(self) -> None:
        parts, self._parts = self._parts, []
        if sum(map(len, parts)) <= PIECE:
            parts = [b"".join(parts)]
        for part in parts:
            self._wire.send(part)


class _Wire(io.RawIOBase):
    """The socket, with one deadline for the whole request and one for the whole answer, and bytes that are counted."""

    def __init__(self, serves: Serves, connection: Connection, end: float) -> None:
        super().__init__()
        self._serves, self._connection, self._end = serves, connection, end
        self.allow = serves.limits.head_bytes
        """Bytes that may still come of this request."""

    def readable(self) -> bool:
        return True

    def next(self) -> None:
        """A request is answered: its bytes are given back, and the wait for the next one begins."""
        limits = self._serves.limits
        self._serves.table.give_back(self._connection)
        self.allow = limits.head_bytes
        self._connection.phase = Phase.IDLE
        self._end = time.monotonic() + limits.idle_seconds

    def begin_answer(self) -> None:
        """From now on it is the client's turn to read."""
        self._connection.phase = Phase.WRITING
        self._end = time.monotonic() + self._serves.limits.answer_seconds

    def readinto(self, buffer: Any) -> int:
        connection, limits = self._connection, self._serves.limits
        connection.socket.settimeout(self._left())
        count = connection.socket.recv_into(memoryview(buffer)[:PIECE])
        if connection.phase is Phase.IDLE and count:
            connection.phase, self._end = Phase.READING, time.monotonic() + limits.request_seconds
        self.allow -= count
        if not self._serves.table.hold(connection, count):
            raise Refused(503, "too many bytes of requests are being read; try again")
        if self.allow < 0:
            raise Refused(431, f"a request's head may have {limits.head_bytes} bytes")
        return count

    def send(self, data: bytes) -> None:
        """All of it, in pieces: TLS's own `sendall` has a time limit for each piece only."""
        rest = memoryview(data)
        while rest:
            self._connection.socket.settimeout(self._left())
            rest = rest[self._connection.socket.send(rest[:PIECE]) :]

    def _left(self) -> float:
        if not self._connection.open:
            raise ConnectionAbortedError("closed to make room for a new connection")
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        return left
