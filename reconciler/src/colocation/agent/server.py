"""GET /healthz (does the loop turn?) and /metrics."""

from __future__ import annotations

import http.server
import logging
import threading
import time
from collections.abc import Iterable
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from colocation.agent.loop import Loop
from colocation.agent.reporter import Sender
from colocation.node.apply import Applier
from colocation.node.pressure import worst, worst_online
from colocation.node.sampler import Sampler
from colocation.web import BoundedServer

log = logging.getLogger(__name__)
DEAD_SECONDS: Final = 15.0
"""Without a round for so long the agent is not healthy."""


class Metrics(Collector):
    """Reads the loop when it is scraped; costs nothing in between."""

    def __init__(self, loop: Loop, sampler: Sampler, applier: Applier, sender: Sender | None) -> None:
        self._loop, self._sampler, self._applier, self._sender = loop, sampler, applier, sender

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        loop, row = self._loop, self._loop.sample
        gauges = {
            "node_cpu_millicores": (row.cpu, "CPU used by the whole node in the last round."),
            "pods_cpu_millicores": (row.pods_cpu, "CPU used by all pods in the last round."),
            "be_cpu_millicores": (loop.decision.cpu_used, "CPU used by best-effort pods in the last round."),
            "be_memory_bytes": (loop.be_memory(), "Memory of best-effort pods, mean of the last minute."),
            "be_cpu_allowed_millicores": (loop.decision.cpu_total, "CPU that best-effort pods may use together now."),
            "be_cpu_requested_millicores": (
                sum(pod.cpu_request for pod in loop.spec.pods),
                "CPU that the node's best-effort pods asked for.",
            ),
            "be_pods": (len(loop.decision.pods), "Best-effort pods on which values are held."),
            "be_pods_throttled": (sum(p.throttled for p in row.pods), "Best-effort pods held back in the last round."),
            "values_refused": (len(self._applier.refused), "Wanted values that the kernel or the disk refuses."),
        }
        for name, (value, text) in gauges.items():
            if value is not None:  # what is not known is absent, not 0
                yield GaugeMetricFamily(f"colocation_agent_{name}", text, value=value)
        for name, text, found in (
            ("pressure", "PSI some avg10 of the node.", msgspec.to_builtins(self._sampler.pressure())),
            (
                "online_pressure",
                "Largest PSI some avg10 among pods with requests.",
                worst_online(self._sampler.layout, loop.groups.values()),
            ),
            (
                "be_pressure",
                "Largest PSI some avg10 among best-effort pods: the load that waits.",
                worst(self._sampler.layout, [loop.groups[uid] for uid in loop.decision.pods if uid in loop.groups]),
            ),
        ):
            pressure = GaugeMetricFamily(f"colocation_agent_{name}_percent", text, labels=["resource"])
            for resource, percent in found.items():
                pressure.add_metric([resource], percent)
            yield pressure
        counters = {
            "rounds": (loop.rounds, "Rounds of the loop."),
            "overruns": (loop.overruns, "Rounds that took longer than the interval."),
            "faults": (loop.faults, "Rounds that failed."),
            "writes": (self._applier.writes, "Values written to cgroups."),
            "reports": (self._sender.sent if self._sender else 0, "Reports that arrived."),
            "report_failures": (self._sender.failures if self._sender else 0, "Reports that did not arrive."),
        }
        for name, (count, text) in counters.items():
            yield CounterMetricFamily(f"colocation_agent_{name}", text, value=count)


def serve(address: str, loop: Loop, sampler: Sampler, applier: Applier, sender: Sender | None) -> BoundedServer:
    """Listen on "host:port" on a daemon thread. Raises OSError if the port is taken, ValueError for a bad address."""
    registry = CollectorRegistry()
    registry.register(Metrics(loop, sampler, applier, sender))
    ProcessCollector(registry=registry)

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/healthz":
                age = time.monotonic() - loop.beat
                self._answer(200 if age < DEAD_SECONDS else 503, f"last round {age:.1f} s ago\n".encode())
            elif self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            else:
                self._answer(404, b"/healthz /metrics\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
            """Probes every few seconds are not worth a line."""

        def _answer(self, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"--listen wants HOST:PORT, not {address!r}")
    server = BoundedServer((host.strip("[]"), int(port)), Handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
