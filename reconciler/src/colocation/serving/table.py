"""Who is connected: limits in total and for each client address, for connections and for bytes held. No I/O but `cut`.

When the table is full, a newcomer takes the place of a connection of the address that holds the most, if that address
would still hold at least as many as the newcomer's. So neither a probe nor the API server is shut out by clients that
open every connection they may: shutting out an address takes as many other addresses as there are places.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from enum import Enum, auto
from typing import Final

from msgspec import Struct

ENDING: Final = 64
"""Connections that were cut and whose threads have not ended yet; with more of them newcomers are turned away."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one server takes on at most."""

    connections: int = 256
    per_address: int = 16
    """A pod has one address; kubelet's probes, Prometheus and the API server come from others."""
    request_seconds: float = 10.0
    """For a whole request: TLS handshake, head and body together."""
    answer_seconds: float = 10.0
    """For a client to take an answer."""
    idle_seconds: float = 0.0
    """How long a connection may stay open between two requests; 0: it is closed after the first."""
    head_bytes: int = 80 * 2**10
    body_bytes: int = 0
    held_bytes: int = 8 * 2**20
    """Bytes of unanswered requests over all connections; half of it for one address."""
    answers: int = 32
    """Requests answered at a time; probes do not count."""


class Phase(Enum):
    """What a connection is doing."""

    IDLE = auto()
    READING = auto()
    ANSWERING = auto()
    """Its answer is being made: it is not cut."""
    WRITING = auto()


class Connection:
    """One client's connection. `socket` and `phase` belong to its thread."""

    __slots__ = ("address", "held", "open", "phase", "socket")

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.socket, self.address = sock, address
        self.phase = Phase.READING
        self.held = 0
        """Bytes of the request that it is reading or answering."""
        self.open = True
        """False: closed to make room for a new connection."""

    def cut(self) -> None:
        """Make its thread, which may be waiting for the client, come to an end."""
        self.open = False
        with contextlib.suppress(OSError):
            # The plain socket's shutdown: SSLSocket's own drops the TLS state under the thread that is using it.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class Table:
    """All connections of one server; any thread may call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: dict[str, dict[Connection, None]] = {}
        """By address, the oldest first."""
        self._count = self._ending = self._held = 0
        self._held_by: Counter[str] = Counter()
        self.closed = False

    def __len__(self) -> int:
        return self._count

    @property
    def held(self) -> int:
        """Bytes of requests that are not answered yet."""
        return self._held

    def enter(self, connection: Connection) -> bool:
        """Give it a place; False: there is none."""
        with self._lock:
            mine = len(self._open.get(connection.address, ()))
            if mine >= self._limits.per_address or self._ending >= ENDING:
                return False
            if self._count >= self._limits.connections and not self._make_room(mine):
                return False
            self._open.setdefault(connection.address, {})[connection] = None
            self._count += 1
            return True

    def leave(self, connection: Connection) -> None:
        """Take its place and its bytes back; its thread ends, or was never started."""
        with self._lock:
            self._give_back(connection)
            if connection.open:
                self._remove(connection)
            else:
                self._ending -= 1
            connection.open = False

    def hold(self, connection: Connection, count: int) -> bool:
        """Book bytes that were read; False: it holds too many, or all together do."""
        with self._lock:
            connection.held += count
            self._held += count
            self._held_by[connection.address] += count
            most = self._limits.held_bytes
            return self._held <= most and self._held_by[connection.address] <= most // 2

    def give_back(self, connection: Connection) -> None:
        """Its request is answered: its bytes are free."""
        with self._lock:
            self._give_back(connection)

    def close(self) -> None:
        """Cut every connection that waits for its next request; no other is to wait for one."""
        self.closed = True
        with self._lock:
            for connection in [c for group in self._open.values() for c in group if c.phase is Phase.IDLE]:
                self._cut(connection)

    def _make_room(self, mine: int) -> bool:
        most = max(self._open.values(), key=len, default={})
        if len(most) <= mine + 1:
            return False
        able = [connection for connection in most if connection.phase is not Phase.ANSWERING]
        if not able:
            return False
        self._cut(next((connection for connection in able if connection.phase is Phase.IDLE), able[0]))
        return True

    def _cut(self, connection: Connection) -> None:
        self._remove(connection)
        self._ending += 1
        connection.cut()

    def _remove(self, connection: Connection) -> None:
        group = self._open[connection.address]
        del group[connection]
        if not group:
            del self._open[connection.address]
        self._count -= 1

    def _give_back(self, connection: Connection) -> None:
        self._held -= connection.held
        self._held_by[connection.address] -= connection.held
        if not self._held_by[connection.address]:
            del self._held_by[connection.address]
        connection.held = 0
