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
    assert limits.body_bytes == (3 * 2**20 if name == "webhook" else 0)
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


def test_a_client_that_does_not_take_its_answer_is_ended_in_time(start: Start) -> None:
    served = start(answer_seconds=0.5)
    route = served.server._serves.routes._exact[served.path]
    big = b"x" * 2**24
    answer = SimpleNamespace(code=200, kind="text/plain", body=big)
    changed = SimpleNamespace(**{name: getattr(route, name) for name in ("method", "probe")}, path=route.path)
    changed.guard, changed.handle = None, lambda _: answer
    served.server._serves.routes._exact[served.path] = changed
    one = served.connect()
    one.sendall(f"{route.method} {served.path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
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
    if served.tls:
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
    assert status(one) == (413 if served.tls else 404)
    assert ended(one, 3)


@pytest.mark.parametrize("head", ["Transfer-Encoding: chunked", "Content-Length: -1", "Content-Length: 9e9", "A: b"])
def test_a_body_without_a_length_is_refused(start: Start, head: str) -> None:
    served = start()
    one = served.connect()
    one.sendall(f"POST /mutate HTTP/1.1\r\n{head}\r\n\r\n".encode())
    assert status(one) == (411 if served.tls else 404)
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
    assert status(one) == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_refused(start: Start, method: str) -> None:
    served = start()
    one = served.connect()
    one.sendall(f"{method} {served.path} HTTP/1.1\r\n\r\n".encode())
    assert status(one) == 501


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
