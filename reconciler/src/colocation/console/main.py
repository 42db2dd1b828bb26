"""Puts a console together: its parts, threads, signals, and the order in which they end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Final

from msgspec import Struct, structs
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from colocation import logs
from colocation.console import pages, routes
from colocation.console.app import App
from colocation.console.gate import Gate
from colocation.console.labels import Turns
from colocation.console.live import Hub
from colocation.console.metrics import Metrics
from colocation.console.place import Options
from colocation.console.prometheus import Prometheus, Source
from colocation.console.ring import Ring
from colocation.console.router import Router
from colocation.console.series import Charts
from colocation.console.session import KEY_BYTES, Sessions
from colocation.console.snapshot import Snapshot
from colocation.console.tries import Tries
from colocation.kube.login import anonymous
from colocation.kube.rest import Rest
from colocation.serving import Answer, Limits, Request, Route, Server, json_answer

log = logging.getLogger(__name__)
LIMITS: Final = Limits(
    per_address=64,  # a browser keeps six, and a stream for each window
    idle_seconds=30.0,
    body_bytes=256 * 2**10,
    held_bytes=16 * 2**20,
)
LOOK_SECONDS: Final = 60.0
BEHIND_PROXY: Final = 240
"""Connections of one address where a trusted proxy brings everybody's."""
CONNECTIONS: Final = 16
"""To the API server, kept open."""


class Running(Struct, frozen=True, kw_only=True):
    """Where a console listens, which servers it asks, and its key."""

    options: Options = Options()
    host: str = ""
    port: int = 8443
    probes_host: str = ""
    probes_port: int = 9103
    """Probes and metrics, never on the port that people reach; 0: none."""
    api_server: str = ""
    api_ca: str | None = None
    manager: str = ""
    manager_token: Path | None = None
    session_key: Path | None = None
    """32 bytes, as they are or in hex or base64; None: made at the start, so a restart signs everybody out."""
    prometheus: Source | None = None
    tls: Path | None = None
    """Folder with tls.crt and tls.key, which may be replaced; None: plain HTTP."""
    limits: Limits = LIMITS


class Console:
    """One console; `start` and `stop` once each. Raises OSError if an address is taken, ValueError for a bad key."""

    def __init__(self, running: Running) -> None:
        self.snapshot = Snapshot(running.manager, running.manager_token)
        self._source = Prometheus(running.prometheus) if running.prometheus else None
        ring, self.hub = Ring(time.time()), Hub()
        charts = Charts(ring, self.snapshot, self._source)
        self._metrics = metrics = Metrics(self.snapshot, self.hub, charts)
        login = anonymous(running.api_server, running.api_ca)
        self._api = Rest(login, connections=CONNECTIONS, observe=metrics.request)
        self.snapshot.listen(ring.take)
        self.snapshot.listen(self.hub.take, self.hub.away)
        self.app = App(
            options=running.options,
            api=self._api,
            gate=Gate(),
            sessions=Sessions(session_key(running.session_key)),
            router=Router(routes.ALL),
            render=pages.render,
            services={
                Snapshot: self.snapshot,
                Ring: ring,
                Hub: self.hub,
                Charts: charts,
                Tries: Tries(),
                Turns: Turns(),
            },
        )
        everything = Route(path="/", method="", handle=self._handle, hint="/")
        self.server = Server(
            running.host,
            running.port,
            [everything],
            limits=_limits(running),
            tls=running.tls is not None,
            observe=metrics.answer,
        )
        self._keeper = None if running.tls is None else Certificate(running.tls, self.server)
        self._probes: Server | None = None
        if running.probes_port:
            probes = [
                Route(path="/healthz", handle=self._healthz, probe=True),
                Route(path="/readyz", handle=self._readyz, probe=True),
                Route(path="/metrics", handle=self._scraped),
            ]
            self._probes = Server(running.probes_host, running.probes_port, probes)

    def start(self) -> None:
        """Begin to fetch and to answer."""
        if self._keeper is not None:
            self._keeper.start()
        self.snapshot.start()
        self.server.start()
        if self._probes is not None:
            self._probes.start()

    def stop(self) -> None:
        """End."""
        if self._probes is not None:
            self._probes.stop()
        self.hub.close()
        if self._keeper is not None:
            self._keeper.stop()
        self.server.stop()
        self.snapshot.stop()
        if self._source is not None:
            self._source.close()
        self._api.close()

    def _handle(self, request: Request) -> Answer:
        with self._metrics.answered.time():
            return self.app.handle(request)

    def _healthz(self, _request: Request) -> Answer:
        return json_answer(200, {"ok": True})

    def _readyz(self, _request: Request) -> Answer:
        """It answers also while the manager is away: it then says so to people."""
        return json_answer(200, {"report": self.snapshot.seen is not None})

    def _scraped(self, _request: Request) -> Answer:
        return Answer(200, generate_latest(self._metrics.registry), CONTENT_TYPE_LATEST)


class Certificate:
    """Shows the certificate of a folder, and looks each minute whether it was replaced (a Secret's volume is)."""

    def __init__(self, folder: Path, server: Server) -> None:
        """Raises OSError, ssl.SSLError."""
        self._folder, self._server = folder, server
        self._shown = b""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificate", daemon=True)
        self._look()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._look()
            except (OSError, ssl.SSLError) as error:  # in the middle of being replaced: the old one stays in use
                log.warning("certificate not taken", extra={"error": str(error)})

    def _look(self) -> None:
        certificate, key = ((self._folder / name).read_bytes() for name in ("tls.crt", "tls.key"))
        if certificate + key != self._shown:
            self._server.use(certificate, key)
            self._shown = certificate + key


def _limits(running: Running) -> Limits:
    if not running.options.trusted_proxies:
        return running.limits
    return structs.replace(running.limits, per_address=BEHIND_PROXY)


def session_key(path: Path | None) -> bytes:
    """The key of a file, or one of its own. Raises ValueError, OSError."""
    if path is None:
        return os.urandom(KEY_BYTES)
    raw = path.read_bytes()
    if len(raw) == KEY_BYTES:
        return raw
    text = raw.strip()
    if len(text) == 2 * KEY_BYTES:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(text.decode())
    raise ValueError(f"{path}: a session key is {KEY_BYTES} bytes, or those in hex: openssl rand -hex {KEY_BYTES}")


def run(running: Running) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises OSError, ValueError."""
    stopped = threading.Event()
    logs.answer_signals()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopped.set())
    console = Console(running)
    console.start()
    log.info("starting", extra={"manager": running.manager, "mode": running.options.mode})
    stopped.wait()
    console.stop()
    log.info("stopped")
    return 0
