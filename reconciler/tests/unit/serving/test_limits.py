"""What no client can do to the manager's, the agent's and the webhook's server: one test holds all three."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from colocation.serving import Answer, Route, Write

from .conftest import SERVERS, Served, Start, certificate, status

SCALE = 1 / 20
"""Deadlines are this much shorter than they are served with: a byte each 8 s becomes one each 0.4 s."""


def eventually(claim: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(one: socket.socket, seconds: float) -> bool:
    """The server closes the connection within that time, with or without an answer."""
    one.settimeout(seconds)
    try:
        while one.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def trickle(one: socket.socket, text: bytes, pause: float, stop: threading.Event) -> None:
    try:
        for byte in text:
            one.sendall(bytes([byte]))
            if stop.wait(pause):
                return
    except OSError:
        pass


def scaled(start: Start) -> Served:
    return start(request_seconds=10 * SCALE, idle_seconds=0)


@pytest.mark.parametrize("name", SERVERS)
def test_a_request_has_ten_seconds_and_the_webhook_takes_three_mebibytes(name: str) -> None:
    limits = SERVERS[name][1]
    assert limits.request_seconds <= 10
    assert limits.body_bytes == {"webhook": 3 * 2**20, "console": 256 * 2**10}.get(name, 0)
    assert limits.per_address * 4 <= limits.connections <= 256
    assert limits.held_bytes <= 32 * 2**20


@pytest.mark.parametrize("what", ["handshake", "head", "body"])
def test_a_request_that_comes_a_byte_each_eight_seconds_is_ended_in_ten(start: Start, what: str) -> None:
    served = scaled(start)
    if what == "handshake":
        one, text = served.plain(), b"\x16\x03\x01\x02\x00\x01" if served.tls else b"GET / "
    else:
        one, text = served.connect(), b"GET / HTTP/1.1\r\n"
    if what == "body":
        one.sendall(b"POST /mutate HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        text = b"x" * 1000
    stop = threading.Event()
    began = time.monotonic()
    threading.Thread(target=trickle, args=(one, text * 100, 8 * SCALE, stop), daemon=True).start()
    assert ended(one, 30 * SCALE)
    assert time.monotonic() - began < 20 * SCALE
    stop.set()
    eventually(lambda: len(served.server.table) == 0)


@pytest.mark.parametrize(
    "text", [b"", b"GET / HTTP/1.1\r\nA: b\r\n", b"POST /mutate HTTP/1.1\r\nContent-Length: 9\r\n\r\n12"]
)
def test_a_request_that_stops_in_the_middle_is_ended_in_time(start: Start, text: bytes) -> None:
    served = scaled(start)
    one = served.connect()
    one.sendall(text)
    assert ended(one, 20 * SCALE)
    eventually(lambda: len(served.server.table) == 0)


def test_a_client_that_does_not_take_its_answer_is_ended_in_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    served = start(answer_seconds=0.5)
    method = "POST" if served.tls else "GET"
    answer = Answer(200, b"x" * 2**24, "text/plain")
    changed = Route(path=served.path, method=method, handle=lambda _: answer)
    monkeypatch.setattr(served.server._serves.routes, "find", lambda *_: changed)
    one = served.connect()
    one.sendall(f"{method} {served.path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    eventually(lambda: len(served.server.table) == 1)
    eventually(lambda: len(served.server.table) == 0, 3)


def test_an_address_may_open_so_many_connections_and_shuts_out_itself_only(start: Start) -> None:
    served = start()
    most = served.limits.per_address
    idle = [served.plain("127.0.0.2") for _ in range(2 * most)]
    eventually(lambda: len(served.server.table) == most)
    assert served.asked("127.0.0.2") == 0
    assert served.asked("127.0.0.1") == 200
    assert sum(thread.name == "http-one" for thread in threading.enumerate()) <= most + 2
    for one in idle:
        one.close()
    eventually(lambda: served.asked("127.0.0.2") == 200)


def test_clients_that_hold_every_connection_do_not_shut_out_a_newcomer(start: Start) -> None:
    """16 addresses with 16 connections each, all in the middle of a request: kubelet's probe is answered at once."""
    served = start()
    addresses = served.limits.connections // served.limits.per_address
    for number in range(addresses):
        for _ in range(served.limits.per_address):
            served.plain(f"127.0.1.{number + 1}").sendall(b"G")
    eventually(lambda: len(served.server.table) == served.limits.connections)
    for _ in range(40):
        began = time.monotonic()
        assert served.asked("127.0.0.1") == 200
        assert time.monotonic() - began < 2
    # One that has as many as the others takes no place from them.
    assert len(served.server.table) <= served.limits.connections


def test_probes_are_answered_while_as_many_others_as_may_be_are(start: Start) -> None:
    served = start(answers=1)
    assert served.server._serves.slots.acquire(blocking=False)
    if served.probe != "/healthz":
        assert served.asked() == 503
    else:
        assert served.asked(path="/healthz") == 200
        assert served.asked(path="/metrics") == 503


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("size", [8 * 2**20, 3 * 2**20])
def test_bodies_that_never_end_cost_less_memory_than_their_budget(start: Start, size: int) -> None:
    served = start()
    piece = b"x" * 2**16
    before = resident()
    codes = []
    for number in range(24):
        one = served.connect(f"127.0.2.{number + 1}")
        one.settimeout(2)
        try:
            one.sendall(b"POST /mutate HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(3 * 2**20 // len(piece) - 1):
                one.sendall(piece)
        except OSError:
            codes.append(0)  # ended by the server in the middle
    time.sleep(0.2)
    assert resident() - before < served.limits.held_bytes
    assert served.server.table.held <= served.limits.held_bytes + 24 * 2**16
    assert served.asked() == 200, "small requests are answered meanwhile"


def test_a_body_above_the_limit_is_refused_with_a_sentence_before_it_is_read(start: Start) -> None:
    served = start()
    one = served.connect()
    one.sendall(b"POST /mutate HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (8 * 2**20))
    assert status(one) == (413 if served.limits.body_bytes else 404)
    assert ended(one, 3)


@pytest.mark.parametrize("head", ["Transfer-Encoding: chunked", "Content-Length: -1", "Content-Length: 9e9", "A: b"])
def test_a_body_without_a_length_is_refused(start: Start, head: str) -> None:
    served = start()
    one = served.connect()
    one.sendall(f"POST /mutate HTTP/1.1\r\n{head}\r\n\r\n".encode())
    assert status(one) == (411 if served.limits.body_bytes else 404)
    assert ended(one, 3)


@pytest.mark.parametrize("line", [b"A: %s\r\n" % (b"x" * 1000), b"%s" % (b"x" * 70000)])
def test_a_head_that_does_not_end_is_refused(start: Start, line: bytes) -> None:
    served = start()
    one = served.connect()
    one.sendall(b"GET /healthz HTTP/1.1\r\n")
    try:
        for _ in range(200):
            one.sendall(line)
    except OSError:
        return
    assert status(one) in (0, 431, 400)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1", "/mutate/", "//evil/healthz"])
def test_what_is_not_in_the_table_is_not_found(start: Start, path: str) -> None:
    served = start()
    one = served.connect()
    one.sendall(f"{'POST' if served.tls else 'GET'} {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    to_login = path == "/" and served.path.startswith("/api/")  # a console's page for those who are signed in
    assert status(one) == (303 if to_login else 404)


@pytest.mark.parametrize(("method", "code"), [("PUT", 405), ("DELETE", 405), ("OPTIONS", 501), ("BREW", 501)])
def test_other_methods_are_refused(start: Start, method: str, code: int) -> None:
    served = start()
    one = served.connect()
    one.sendall(f"{method} {served.path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    assert status(one) == code


def test_a_connection_that_gets_no_thread_gives_its_place_back(start: Start, no_thread: SimpleNamespace) -> None:
    served = start()
    for _ in range(served.limits.per_address + 4):
        assert served.asked() == 0
    assert no_thread.tried == served.limits.per_address + 4
    assert len(served.server.table) == 0
    no_thread.on = False
    assert served.asked() == 200


def test_ipv6_and_ipv4_are_answered_and_an_ipv4_client_is_one_client_either_way(start: Start) -> None:
    served = start("::")
    assert served.asked("::1", "::1") == 200
    assert served.asked("127.0.0.1", "127.0.0.1") == 200
    served.plain("127.0.0.1", "127.0.0.1")
    eventually(lambda: "127.0.0.1" in served.server.table._open)
    assert set(served.server.table._open) <= {"127.0.0.1", "::1"}


def test_a_server_of_one_address_answers_at_that_address_only(start: Start) -> None:
    served = start("::1")
    assert served.asked("::1", "::1") == 200
    with pytest.raises(ConnectionRefusedError):
        served.plain("127.0.0.1", "127.0.0.1")


def test_without_ipv6_in_the_kernel_ipv4_is_served(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that is made here: this kernel has IPv6."""
    made = socket.create_server

    def without(address: Any, *, family: int = socket.AF_INET, **more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return made(address, family=family, **more)

    monkeypatch.setattr(socket, "create_server", without)
    served = start("::")
    assert served.asked() == 200
    with pytest.raises(ConnectionRefusedError):
        served.plain("::1", "::1")


def test_an_address_that_is_taken_is_said(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            type(start().server)("127.0.0.1", port, [])


def test_a_certificate_is_replaced_while_it_is_served(start: Start) -> None:
    served = start()
    if not served.tls:
        assert served.server.ready
        return

    def shown() -> bytes:
        one = served.connect()
        assert isinstance(one, ssl.SSLSocket)
        return one.getpeercert(binary_form=True) or b""

    open_before = served.connect()
    first, other = shown(), certificate("other")
    served.server.use(other.certificate, other.key)
    assert ssl.PEM_cert_to_DER_cert(other.certificate.decode()) == shown() != first
    body = b'{"request":{"uid":"u","object":{}}}'
    for _ in range(2):  # and its connection stays open
        open_before.sendall(b"POST /mutate HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert status(open_before) == 200


def test_until_there_is_a_certificate_connections_are_closed(start: Start) -> None:
    served = start()
    if served.tls:
        served.server._context = None
        assert not served.server.ready
        assert served.asked() == 0


def test_stopping_ends_idle_connections_and_frees_the_port(start: Start) -> None:
    served = start()
    one = served.connect()
    if served.tls:
        body = b'{"request":{"uid":"u","object":{}}}'
        one.sendall(b"POST /mutate HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert status(one) == 200
        served.server.stop()
        assert ended(one, 2)
    else:
        served.server.stop()
    with pytest.raises(ConnectionRefusedError):
        served.plain()


def test_a_stream_ends_when_its_client_does_not_take_it_and_gives_its_place_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start(answer_seconds=0.5)
    ended_by: list[type[BaseException]] = []

    def stream(write: Write) -> None:
        try:
            while True:
                write(b"x" * 2**20)
        except OSError as error:
            ended_by.append(type(error))
            raise

    method = "POST" if served.tls else "GET"
    route = Route(path=served.path, method=method, handle=lambda _: Answer(200, b"", "text/plain", stream=stream))
    monkeypatch.setattr(served.server._serves.routes, "find", lambda *_: route)
    one = served.connect()
    one.sendall(f"{method} {served.path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    eventually(lambda: len(served.server.table) == 1)
    assert served.server._serves.slots._value == served.limits.answers, "a stream takes no turn of those who ask"
    eventually(lambda: len(served.server.table) == 0, 3)
    assert ended_by == [TimeoutError]


def test_a_stream_is_not_held_up_by_a_client_that_only_listens_and_ends_when_it_goes(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start(answer_seconds=5)
    gone: list[BaseException] = []

    def stream(write: Write) -> None:
        try:
            for _ in range(1000):
                write(b"tick")
                time.sleep(0.02)
        except OSError as error:
            gone.append(error)
            raise

    method = "POST" if served.tls else "GET"
    route = Route(path=served.path, method=method, handle=lambda _: Answer(200, b"", "text/plain", stream=stream))
    monkeypatch.setattr(served.server._serves.routes, "find", lambda *_: route)
    one = served.connect()
    one.sendall(f"{method} {served.path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    began, text = time.monotonic(), b""
    while text.count(b"tick") < 10:
        text += one.recv(4096)
    assert time.monotonic() - began < 4, "ten pieces take a fifth of a second, not ten time limits"
    one.close()
    eventually(lambda: bool(gone) and len(served.server.table) == 0, 4)
