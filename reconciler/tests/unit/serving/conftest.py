"""The four servers, each as its process starts it, on a free port."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from colocation.admission import Settings
from colocation.agent import server as agent
from colocation.agent.loop import Loop as AgentLoop
from colocation.agent.specs import Specs
from colocation.console import main as console
from colocation.manager import server as manager
from colocation.model.report import Capabilities
from colocation.node.apply import Applier
from colocation.node.journal import Journal
from colocation.node.sampler import Sampler
from colocation.serving import Limits, Refused, Server
from colocation.webhook import certificates
from colocation.webhook import server as webhook
from colocation.webhook.kept import StoredCertificates
from reconciler.tests.unit.manager.bench import Bench


@cache
def certificate(name: str = "localhost") -> StoredCertificates:
    return certificates.renewed(StoredCertificates(), [name], datetime.now(UTC))


class Served:
    """One server, and its clients from as many addresses of this machine as a test likes."""

    def __init__(self, server: Server, limits: Limits, path: str, *, tls: bool, probe: str) -> None:
        self.server, self.limits, self.path, self.tls, self.probe = server, limits, path, tls, probe
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._open: list[socket.socket] = []

    def plain(self, source: str = "127.0.0.1", target: str = "127.0.0.1") -> socket.socket:
        """A connection on which nothing was sent."""
        made = socket.create_connection((target, self.server.port), timeout=5, source_address=(source, 0))
        self._open.append(made)
        return made

    def connect(self, source: str = "127.0.0.1", target: str = "127.0.0.1") -> socket.socket:
        """A connection on which a request may be sent. Raises OSError if it is turned away."""
        made = self.plain(source, target)
        if not self.tls:
            return made
        secure = self._context.wrap_socket(made)
        self._open.append(secure)
        return secure

    def asked(self, source: str = "127.0.0.1", target: str = "127.0.0.1", path: str = "") -> int:
        """The status that a client of that address gets for a probe, or for a whole request; 0: turned away."""
        try:
            one = self.connect(source, target)
            if self.tls:
                body = b'{"request":{"uid":"u","object":{}}}'
                one.sendall(b"POST /mutate HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            else:
                one.sendall(f"GET {path or self.probe} HTTP/1.1\r\n\r\n".encode())
            return status(one)
        except OSError:
            return 0

    def close(self) -> None:
        for one in self._open:
            one.close()
        self.server.stop()


def status(one: socket.socket) -> int:
    """Of the answer; 0: closed without one."""
    head = one.recv(1000)
    return int(head.split()[1]) if head else 0


def _manager(limits: Limits, _folder: Path, host: str) -> Server:
    bench = Bench()
    bench.publish()

    def guard(_: object) -> None:
        raise Refused(401, "no token")

    inside = manager.Inside(bench.loop, bench.loop._metrics, lambda: bench.now, lambda: "me")
    server = manager.serve(host, 0, inside, guard, limits)
    server.start()
    return server


def _agent(limits: Limits, folder: Path, host: str) -> Server:
    (folder / "cgroup.controllers").write_text("cpu memory\n")
    sampler = Sampler(str(folder), "/proc")
    applier = Applier(sampler.layout, Journal(str(folder / "journal"), str(folder)))
    found = Capabilities(kernel="k", cgroup_version=2)
    loop = AgentLoop(sampler=sampler, applier=applier, specs=Specs(folder / "spec"), capabilities=found)
    return agent.serve(f"[{host}]:0" if ":" in host else f"{host}:0", loop, sampler, applier, None, limits)


def _webhook(limits: Limits, _folder: Path, host: str) -> Server:
    server = webhook.serve(host, 0, Settings(), limits=limits)
    server.use(certificate().certificate, certificate().key)
    server.start()
    return server


def _console(limits: Limits, _folder: Path, host: str) -> Server:
    nowhere = "http://127.0.0.1:1"
    running = console.Running(host=host, port=0, probes_port=0, api_server=nowhere, manager=nowhere, limits=limits)
    made = console.Console(running)
    made.server.start()
    return made.server


SERVERS: dict[str, tuple[Callable[[Limits, Path, str], Server], Limits, str, bool]] = {
    "manager": (_manager, manager.LIMITS, "/v1/simulate", False),
    "agent": (_agent, agent.LIMITS, "/metrics", False),
    "webhook": (_webhook, webhook.LIMITS, "/mutate", True),
    "console": (_console, console.LIMITS, "/api/v1/openapi.json", False),
}
Start = Callable[..., Served]


@pytest.fixture(params=SERVERS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts the server, its limits changed as a test says."""
    make, limits, path, tls = SERVERS[request.param]
    running: list[Served] = []

    def started(host: str = "::", **changed: Any) -> Served:
        mine = Limits(**{name: changed.get(name, getattr(limits, name)) for name in Limits.__struct_fields__})
        probe = path if request.param in ("webhook", "console") else "/healthz"
        running.append(Served(make(mine, tmp_path, host), mine, path, tls=tls, probe=probe))
        return running[-1]

    yield started
    for one in running:
        one.close()


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A fault: while `on`, no thread can be started for a connection."""
    fault = SimpleNamespace(on=True, tried=0)
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if fault.on and thread.name == "http-one":
            fault.tried += 1
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    return fault
