"""Whoever opens connections and says nothing keeps nobody else from being answered."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from colocation.web import MOST, MOST_OF_ONE, BoundedServer


class Handler(BaseHTTPRequestHandler):
    timeout = 60

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[BoundedServer]:
    made = BoundedServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def asked(server: BoundedServer, source: str) -> int:
    """The status that a client of that address gets; 0: it was turned away."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5, source_address=(source, 0))
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def answers(server: BoundedServer, source: str, code: int) -> None:
    end = time.monotonic() + 5
    while (last := asked(server, source)) != code:
        assert time.monotonic() < end, last
        time.sleep(0.02)


def test_an_address_with_all_its_connections_open_shuts_out_itself_only(server: BoundedServer) -> None:
    idle = [
        socket.create_connection(("127.0.0.1", server.server_port), source_address=("127.0.0.2", 0))
        for _ in range(4 * MOST_OF_ONE)
    ]
    try:
        answers(server, "127.0.0.2", 0)
        assert asked(server, "127.0.0.1") == 204
        assert sum(thread.name.startswith("Thread") for thread in threading.enumerate()) < 2 * MOST_OF_ONE + 4
    finally:
        for one in idle:
            one.close()
    answers(server, "127.0.0.2", 204)


def test_all_addresses_together_are_bounded_too(server: BoundedServer) -> None:
    with server._lock:
        server._open.update({f"10.0.0.{number}": 1 for number in range(MOST)})
    assert asked(server, "127.0.0.1") == 0
