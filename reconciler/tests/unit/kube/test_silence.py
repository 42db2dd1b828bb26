"""NOT the API server: one that lists, accepts watches, and then says nothing, as a connection that hangs does."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest

from colocation.kube import watch
from colocation.kube.backoff import Backoff
from colocation.kube.cache import Event, Reflector, Upsert
from colocation.kube.login import Login
from colocation.kube.resources import NODES
from colocation.kube.rest import Rest
from colocation.model.wire import Node
from tests.lab.waiting import eventually


class Server(http.server.ThreadingHTTPServer):
    """What it lists, and what it does with a watch."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.label = "first"
        self.lists = self.watches = 0
        self.headers_come = True
        self.dribbles = False
        self.ends = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        if "watch=true" not in self.path:
            server.lists += 1
            node = {"metadata": {"name": "n", "resourceVersion": "5", "labels": {"x": server.label}}}
            body = json.dumps({"metadata": {"resourceVersion": "5"}, "items": [node]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        server.watches += 1
        if server.headers_come:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
        while not server.ends.wait(0.05):
            if server.dribbles:
                try:
                    self.wfile.write(b"1\r\n{\r\n")
                except OSError:
                    return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.ends.set()
    made.shutdown()
    made.server_close()


@pytest.fixture
def seen(server: Server) -> Iterator[list[str]]:
    labels: list[str] = []

    def emit(event: Event[str]) -> None:
        if isinstance(event, Upsert):
            labels.append(event.object)

    rest = Rest(Login(f"http://127.0.0.1:{server.server_port}", dict, lambda: None))
    reflector: Reflector[Node, str] = Reflector(
        rest, NODES, Node, lambda node: node.metadata.labels["x"], emit, read_seconds=0.5, backoff=Backoff(0.05, 0.1)
    )
    reflector.start()
    yield labels
    reflector.stop()
    rest.close()


@pytest.mark.parametrize("headers_come", [True, False])
def test_what_a_watch_that_is_silent_for_ever_does_not_tell_is_learnt_from_a_list(
    server: Server,
    seen: list[str],
    headers_come: bool,
) -> None:
    server.headers_come = headers_come
    eventually(lambda: seen == ["first"] and server.watches)
    server.label = "second"
    eventually(lambda: "second" in seen, 5)


def test_a_watch_of_which_no_line_ever_comes_whole_ends_after_its_time(
    server: Server, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colocation.kube.cache.WATCH_SECONDS", (1, 1))
    monkeypatch.setattr(watch, "OVERTIME_SECONDS", 0.2)
    server.dribbles = True
    eventually(lambda: server.watches >= 3, 10)


def test_a_silent_watch_is_not_asked_for_more_often_than_the_silence_lasts(server: Server, seen: list[str]) -> None:
    time.sleep(1.8)
    assert 2 <= server.watches <= 4
    assert server.lists == server.watches


def test_a_fault_in_whoever_is_told_ends_no_watch(server: Server) -> None:
    result: list[str] = []

    def emit(event: Event[str]) -> None:
        if isinstance(event, Upsert):
            result.append(event.object)
            if len(result) == 1:
                raise RuntimeError("odd")

    rest = Rest(Login(f"http://127.0.0.1:{server.server_port}", dict, lambda: None))
    reflector: Reflector[Node, str] = Reflector(
        rest, NODES, Node, lambda node: node.metadata.labels["x"], emit, backoff=Backoff(0.05, 0.1)
    )
    reflector.start()
    try:
        eventually(lambda: result == ["first", "first"] and server.watches, 5)
    finally:
        reflector.stop()
        rest.close()
