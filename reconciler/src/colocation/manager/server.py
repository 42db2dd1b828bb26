"""HTTP: health, metrics, explanations. Read-only, bounded, with a time limit on every connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from colocation.budget import Candidate
from colocation.decoding import decode
from colocation.manager import views
from colocation.manager.loop import Loop, ask
from colocation.manager.metrics import Metrics
from colocation.model.wire import ColocationPolicy
from colocation.web import BoundedServer

ANSWER_SECONDS: Final = 5.0
CONNECTION_SECONDS: Final = 10
BEAT_SECONDS: Final = 30.0
"""A loop that has not come round for so long is stuck: restart it."""
MOST_AT_ONCE: Final = 32
SLICE: Final = 200
"""Nodes simulated at once: some 20 ms in which the loop does nothing else."""


class Server:
    """Serves on a thread; each connection on one of its own, at most `MOST_AT_ONCE` answers at a time."""

    def __init__(
        self,
        host: str,
        port: int,
        loop: Loop,
        metrics: Metrics,
        clock: Callable[[], float],
        holder: Callable[[], str],
        webhook: Callable[[], bool] | None = None,
    ) -> None:
        """``holder``: who leads, as we know; ``webhook``: it can answer. Raises OSError if the address is taken."""
        slots = threading.BoundedSemaphore(MOST_AT_ONCE)

        class Handler(_Handler):
            timeout = CONNECTION_SECONDS
            context = (loop, metrics, clock, holder, slots, webhook)

        self._http = BoundedServer((host, port), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "colocation", ""
    context: tuple[
        Loop, Metrics, Callable[[], float], Callable[[], str], threading.BoundedSemaphore, Callable[[], bool] | None
    ]

    def do_GET(self) -> None:
        slots = self.context[4]
        if not slots.acquire(blocking=False):
            self._json(503, {"error": "too many requests at once"})
            return
        try:
            asked = urlsplit(self.path)
            self._answer(unquote(asked.path), asked.query)
        except msgspec.DecodeError as error:
            self._json(400, {"error": str(error)})
        except TimeoutError as error:
            self._json(503, {"error": str(error)})
        finally:
            slots.release()

    def _answer(self, path: str, query: str) -> None:
        loop, metrics, clock, holder, _, webhook = self.context
        if path == "/healthz":
            age = clock() - loop.beat
            self._json(200 if age < BEAT_SECONDS else 503, {"loopAgeSeconds": round(age, 3)})
        elif path == "/readyz":
            said = {"synced": loop.state.synced} | ({} if webhook is None else {"webhook": webhook()})
            code = 200 if all(said.values()) else 503
            self._json(code, {**said, "leader": loop.leads, "holder": holder()})
        elif path == "/metrics":
            self._send(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
        elif not path.startswith("/v1/"):
            self._json(404, {"error": "try /healthz, /readyz, /metrics, /v1/report, /v1/explain/NODE or /v1/simulate"})
        elif not loop.state.synced:
            self._json(503, {"error": "still reading the cluster; try again in a moment"})
        elif path == "/v1/report":
            self._json(200, ask(loop, views.report, ANSWER_SECONDS))
        elif path == "/v1/simulate":
            self._json(200, _simulate(loop, query))
        elif path.startswith("/v1/explain/"):
            name = path.removeprefix("/v1/explain/")
            told = ask(loop, lambda inner, now: views.explain(inner, name, now), ANSWER_SECONDS)
            missing = {"error": f"no node {name!r} with a known capacity"}
            self._json(200 if told else 404, told or missing)
        else:
            self._json(404, {"error": f"no {path}; try /v1/report, /v1/explain/NODE or /v1/simulate?policies="})

    def _json(self, code: int, body: dict[str, Any]) -> None:
        self._send(code, "application/json", msgspec.json.encode(body) + b"\n")

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server uses)
        """Say nothing: probes come every few seconds, and metrics count the rest."""


def _simulate(loop: Loop, query: str) -> dict[str, Any]:
    """``policies``: JSON list of ColocationPolicies; ``delete``: names. In slices: the loop has other work."""
    given = parse_qs(query)
    wires = decode(given.get("policies", ["[]"])[0], list[ColocationPolicy])
    wanted = [Candidate(wire.metadata.name, wire.metadata.generation, wire.spec) for wire in wires]
    gone = given.get("delete", [])
    names = ask(loop, views.names_of, ANSWER_SECONDS)
    rows: list[Any] = []
    for at in range(0, len(names), SLICE):
        part = names[at : at + SLICE]
        rows += ask(loop, partial(views.simulate, wanted=wanted, gone=gone, nodes=part), ANSWER_SECONDS)
    return {"schema": views.SIMULATE_SCHEMA, "leader": loop.leads, "nodes": rows}
