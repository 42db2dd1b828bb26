# SPDX-License-Identifier: Apache-2.0
"""A real API server on loopback, for component tests: no root, no nodes, seconds.

    from tests.lab.apiserver import ApiServer

    @pytest.fixture(scope="session")
    def api(tmp_path_factory):
        with ApiServer(tmp_path_factory.mktemp("api")) as server:
            yield server

    def test_it(api):
        api.kubectl("apply", "-f", "crds/")            # output, or LabError
        api.url, api.kubeconfig                         # cluster administrator
        api.ca_cert, api.client_cert, api.client_key    # the same, as files
        api.user("system:node:n1", ["system:nodes"])    # kubeconfig of somebody else
        api.kill(); api.start()                         # gone at once; back, same data, same port
        api.pause(); api.resume()                       # connections stay open, nobody answers

It is etcd and kube-apiserver, nothing else: no controller fills in namespaces'
ServiceAccounts, collects garbage or schedules. So the ServiceAccount admission
plugin is off (pods could not be created), and a test writes Nodes and sets
`nodeName` itself. Tokens work: ``api.kubectl("create", "token", NAME)``.

Both processes die with this one, however it ends (PDEATHSIG), so a killed test
run leaves nothing. That signal follows the starting thread: start from the main one.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from . import binaries
from .config import SERVICE_ADDRESS, SERVICE_CIDR
from .errors import LabError
from .pki import Pki
from .process import run, wait_until

T = TypeVar("T")
READY_SECONDS = 60.0
# On SIGTERM the API server waits up to a minute for its clients; a test does not.
STOP_SECONDS = 1.0


class ApiServer:
    """etcd and kube-apiserver in a folder, on free ports of 127.0.0.1."""

    def __init__(self, directory: Path, extra_args: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        """Prepare; `extra_args` are added to kube-apiserver's (the last one of a flag wins).

        `hosts`: more names that its certificate is good for ("IP:..", "DNS:..").
        """
        self.directory = Path(directory).absolute()
        self._hosts = tuple(hosts)
        self.extra_args = tuple(extra_args)
        self.kubeconfig = self.directory / "kubeconfig"
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._etcd_port, self._peer_port, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        binaries.ensure("etcd", "kube")
        self.pki = Pki(self.directory / "pki")
        admin = self.pki.issue("admin", "admin", ["system:masters"])
        self.ca_cert, self.client_cert, self.client_key = self.pki.ca, admin.cert, admin.key
        _write_secret(self.kubeconfig, self.pki.kubeconfig(self.url, admin))

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the API server's process runs."""
        return self._server is not None and self._server.poll() is None

    def start(self, ready_seconds: float = READY_SECONDS) -> None:
        """Start what does not run and wait until it is ready (3 to 5 s; a minute with 300,000 pods in etcd)."""
        if self._etcd is None or self._etcd.poll() is not None:
            self._etcd = self._spawn("etcd", self._etcd_command())
        if not self.alive:
            self._server = self._spawn("kube-apiserver", self._server_command())
        self._wait_ready(ready_seconds)

    def stop(self) -> None:
        """Stop both: asked first, killed a second later. Data stays for a `start`."""
        for child in (self._server, self._etcd):
            _end(child, STOP_SECONDS)
        self._server = self._etcd = None

    def kill(self) -> None:
        """Kill the API server at once; etcd stays, `start` brings it back on the same port."""
        _end(self._server, 0)
        self._server = None

    def restart(self) -> None:
        """Kill the API server and start it again."""
        self.kill()
        self.start()

    def put(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects (key below /registry, JSON) into etcd: far quicker than to create them. Best while killed."""
        for batch in _batches(objects, 100):  # a transaction takes 128
            puts = [
                {"requestPut": {"key": _base64(f"/registry/{key}".encode()), "value": _base64(body)}}
                for key, body in batch
            ]
            self.etcd("txn", {"success": puts})

    def etcd(self, path: str, body: dict[str, Any]) -> Any:
        """Ask etcd, by its JSON gateway."""
        url = f"http://127.0.0.1:{self._etcd_port}/v3/kv/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=60) as answer:
            return json.loads(answer.read())

    def pause(self) -> None:
        """Freeze the API server: connections stay open and nobody answers."""
        if self._server:
            self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        if self._server:
            self._server.send_signal(signal.SIGCONT)

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """Kubeconfig of somebody else, authenticated by a certificate; RBAC decides what they may."""
        file = f"user{next(self._names)}"
        pair = self.pki.issue(file, name, groups)
        path = self.directory / f"{file}.kubeconfig"
        _write_secret(path, self.pki.kubeconfig(self.url, pair))
        return path

    def kubectl(self, *args: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl as the administrator (or with another kubeconfig) and return its output."""
        config = kubeconfig or self.kubeconfig
        return run([binaries.path("kubectl"), f"--kubeconfig={config}", *args], stdin=stdin).stdout

    def _spawn(self, name: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "SIGKILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _etcd_command(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, self._peer_port))
        return etcd_command(self.directory / "etcd", client, peer)

    def _server_command(self) -> list[str]:
        hosts = ["IP:127.0.0.1", f"IP:{SERVICE_ADDRESS}", "DNS:localhost", *self._hosts]
        server = self.pki.issue("apiserver", "kube-apiserver", hosts=hosts)
        return [
            *apiserver_command(self.pki, f"http://127.0.0.1:{self._etcd_port}", "127.0.0.1", self.port),
            f"--tls-cert-file={server.cert}",
            f"--tls-private-key-file={server.key}",
            # Nobody else is there to make the `default` ServiceAccount that plugin insists on.
            "--disable-admission-plugins=ServiceAccount",
            # The kubernetes Service wants an address that is not loopback; nothing dials it.
            "--endpoint-reconciler-type=none",
            *self.extra_args,
        ]

    def _wait_ready(self, seconds: float) -> None:
        context = ssl.create_default_context(cafile=str(self.ca_cert))
        context.load_cert_chain(self.client_cert, self.client_key)

        def ready() -> bool:
            if not self.alive:
                raise LabError(f"kube-apiserver ended at once:\n{_tail(self.directory / 'kube-apiserver.log')}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        if not wait_until(ready, seconds):
            log = self.directory / "kube-apiserver.log"
            raise LabError(f"kube-apiserver not ready after {seconds:.0f} s:\n{_tail(log)}")


def etcd_command(data: Path, client_url: str, peer_url: str) -> list[str]:
    """etcd of one member; without fsync, because nobody's data is at stake."""
    return [
        str(binaries.path("etcd")),
        f"--data-dir={data}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--quota-backend-bytes=8589934592",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
    ]


def apiserver_command(pki: Pki, etcd_url: str, address: str, port: int) -> list[str]:
    """kube-apiserver with what the lab and the component tests have in common."""
    return [
        str(binaries.path("kube-apiserver")),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        f"--client-ca-file={pki.ca}",
        f"--service-account-key-file={pki.service_accounts.cert}",
        f"--service-account-signing-key-file={pki.service_accounts.key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
    ]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports of an address that nobody listens on at this moment; all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((host, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _end(child: subprocess.Popen[bytes] | None, patience: float) -> None:
    if child is None or child.poll() is not None:
        return
    child.send_signal(signal.SIGCONT)
    if patience:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
    child.kill()
    child.wait()


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    each = iter(items)
    while batch := list(itertools.islice(each, size)):
        yield batch


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
