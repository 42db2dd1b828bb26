"""Accepts connections within `Limits`, and answers each on a thread of its own, by a table of routes."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from colocation.serving.exchange import Exchange, Serves
from colocation.serving.listen import listener, plain
from colocation.serving.routes import Route, Routes
from colocation.serving.table import Connection, Limits, Table
from colocation.serving.tls import server_context

log = logging.getLogger(__name__)
PAUSE_SECONDS: Final = 0.05
"""After `accept` failed (no descriptor or memory left): the connection still waits, so it would fail again at once."""
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 2**20
"""What is still read of a request that was refused: closed with bytes unread, TCP would drop our answer too."""


class Server:
    """Listens from the start; answers from `start` on."""

    def __init__(
        self,
        host: str,
        port: int,
        routes: Sequence[Route],
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        tls: bool = False,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        """``tls``: closes all connections until `use` sets a certificate; ``observe``: called with each answer's code.

        Raises OSError if the address is taken.
        """
        self._limits, self._tls = limits, tls
        self._context: ssl.SSLContext | None = None
        self.table = Table(limits)
        self._serves = Serves(
            Routes(routes), limits, self.table, threading.BoundedSemaphore(limits.answers), observe or (lambda _: None)
        )
        self._listener = listener(host, port)
        self.port = int(self._listener.getsockname()[1])
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def ready(self) -> bool:
        """It has a certificate, or needs none."""
        return not self._tls or self._context is not None

    def use(self, certificate: bytes, key: bytes) -> None:
        """Show this certificate on every connection from now on. Raises ssl.SSLError if it and the key do not fit."""
        self._context = server_context(certificate, key)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and idle connections; what is being answered is answered."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()
        self.table.close()

    def _run(self) -> None:
        while not self._stopped:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                if not self._stopped:
                    time.sleep(PAUSE_SECONDS)
                continue
            self._take(Connection(sock, plain(peer[0])))

    def _take(self, connection: Connection) -> None:
        """Close at once what cannot be served: its client then tries another replica, or again."""
        context = self._context
        if (self._tls and context is None) or not self.table.enter(connection):
            connection.socket.close()
            return
        try:
            threading.Thread(target=self._serve, args=(connection, context), name="http-one", daemon=True).start()
        except RuntimeError as error:  # no memory, or no more threads for this container
            self.table.leave(connection)
            connection.socket.close()
            log.warning("no thread for a connection", extra={"error": str(error)})

    def _serve(self, connection: Connection, context: ssl.SSLContext | None) -> None:
        end = time.monotonic() + self._limits.request_seconds
        try:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._secure(connection, context, end)
            exchange = Exchange(self._serves, connection, end)
            exchange.run()
            if exchange.unread:
                _linger(connection)
        except OSError as error:  # the client went away, was too slow, or speaks no TLS
            log.debug("connection ended", extra={"client": connection.address, "error": repr(error)})
        except Exception:
            log.exception("connection failed")
        finally:
            self.table.leave(connection)
            connection.socket.close()

    @staticmethod
    def _secure(connection: Connection, context: ssl.SSLContext, end: float) -> None:
        """On the connection's own thread, so that a slow handshake holds up no other client."""
        secure = context.wrap_socket(connection.socket, server_side=True, do_handshake_on_connect=False)
        connection.socket = secure
        if not connection.open:
            raise ConnectionAbortedError("closed to make room for a new connection")
        secure.settimeout(max(0.001, end - time.monotonic()))
        secure.do_handshake()


def _linger(connection: Connection) -> None:
    end, left = time.monotonic() + LINGER_SECONDS, LINGER_BYTES
    with contextlib.suppress(OSError):
        if not isinstance(connection.socket, ssl.SSLSocket):
            connection.socket.shutdown(socket.SHUT_WR)
        while left > 0 and (seconds := end - time.monotonic()) > 0:
            connection.socket.settimeout(seconds)
            count = len(connection.socket.recv(65536))
            if not count:
                return
            left -= count
