"""GET /healthz (does the loop turn?), /readyz (has it reported, and does it enforce?) and /metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from colocation.agent.loop import Loop
from colocation.agent.reporter import ReportSender
from colocation.node.apply import Applier
from colocation.node.pressure import worst, worst_online
from colocation.node.sampler import Sampler
from colocation.serving import Answer, Limits, Request, Route, Server, address, text_answer

LIMITS: Final = Limits(connections=64, held_bytes=2 * 2**20)
"""Who asks is kubelet, one or two Prometheus, and a person."""
DEAD_SECONDS: Final = 15.0
"""Seconds without a round after which the agent is unhealthy."""


class Metrics(Collector):
    """Reads the loop when it is scraped; costs nothing in between."""

    def __init__(self, loop: Loop, sampler: Sampler, applier: Applier, sender: ReportSender | None) -> None:
        self._loop, self._sampler, self._applier, self._sender = loop, sampler, applier, sender

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        loop, row = self._loop, self._loop.sample
        gauges = {
            "node_cpu_cores": (_cores(row.cpu), "CPU used by the whole node in the last round."),
            "node_memory_unavailable_bytes": (
                None if loop.window.unavailable is None else loop.window.unavailable.amount,
                "Memory in use for eviction: MemTotal - MemAvailable, which evict.memory compares with its marks.",
            ),
            "pods_cpu_cores": (_cores(row.pods_cpu), "CPU used by all pods in the last round."),
            "be_cpu_cores": (_cores(loop.decision.cpu_used), "CPU used by best-effort pods in the last round."),
            "be_memory_bytes": (loop.be_memory(), "Memory of best-effort pods, mean of the last minute."),
            "be_cpu_allowed_cores": (
                _cores(loop.decision.cpu_quota),
                "CPU that best-effort pods may use together now.",
            ),
            "be_cpu_requested_cores": (
                _cores(sum(pod.cpu_request for pod in loop.spec.pods)),
                "CPU that the node's best-effort pods asked for.",
            ),
            "be_pods": (
                sum(self._applier.finds(uid, loop.groups.get(uid)) for uid in loop.decision.pods),
                "Best-effort pods on which values are held.",
            ),
            "be_pods_not_found": (
                len(loop.lookout.missing),
                "Best-effort pods that run here, as the API says, and whose group was not found: they are not limited.",
            ),
            "pods_not_reported": (loop.left_out, "Pods that the report leaves out: it takes no more rows."),
            "be_pods_throttled": (sum(p.throttled for p in row.pods), "Best-effort pods held back in the last round."),
            "values_refused": (len(self._applier.refused), "Wanted values that the kernel or the disk refuses."),
        }
        for name, (value, text) in gauges.items():
            if value is not None:  # what is not known is absent, not 0
                yield GaugeMetricFamily(f"colocation_agent_{name}", text, value=value)
        for name, text, reading in (
            (
                "pressure",
                "Share of time in which a task of the node waited (PSI some avg10).",
                msgspec.to_builtins(self._sampler.pressure()),
            ),
            (
                "online_pressure",
                "The same of the online pod that waits most.",
                worst_online(self._sampler.layout, loop.groups.values()),
            ),
            (
                "be_pressure",
                "The same of the best-effort pod that waits most.",
                worst(self._sampler.layout, [loop.groups[uid] for uid in loop.decision.pods if uid in loop.groups]),
            ),
        ):
            pressure = GaugeMetricFamily(f"colocation_agent_{name}_ratio", text, labels=["resource"])
            for resource, percent in reading.items():
                pressure.add_metric([resource], percent / 100)
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


def _cores(millicores: float | None) -> float | None:
    return None if millicores is None else millicores / 1000


def serve(
    listen: str, loop: Loop, sampler: Sampler, applier: Applier, sender: ReportSender | None, limits: Limits = LIMITS
) -> Server:
    """Answer on "HOST:PORT" from now on. Raises OSError if the port is taken, ValueError for a bad address."""
    registry = CollectorRegistry()
    registry.register(Metrics(loop, sampler, applier, sender))
    ProcessCollector(registry=registry)

    def healthz(_request: Request) -> Answer:
        age = time.monotonic() - loop.beat
        return text_answer(200 if age < DEAD_SECONDS else 503, f"last round {age:.1f} s ago")

    def readyz(_request: Request) -> Answer:
        missing = unready(loop, applier, sender)
        return text_answer(503 if missing else 200, missing or "reports arrive, and best-effort pods are limited")

    def metrics(_request: Request) -> Answer:
        return Answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)

    routes = [
        Route(path="/healthz", handle=healthz, probe=True),
        Route(path="/readyz", handle=readyz, probe=True),
        Route(path="/metrics", handle=metrics),
    ]
    host, port = address(listen)
    server = Server(host, port, routes, limits=limits)
    server.start()
    return server


def unready(loop: Loop, applier: Applier, sender: ReportSender | None) -> str:
    """Why an update of the agents should not go on to the next node; "" if nothing is amiss."""
    if sender is not None and not sender.sent:
        return f"no report has arrived yet{': ' if sender.error else ''}{sender.error}"
    if loop.enforced_at is None:
        return "no spec was enforced yet"
    age = time.monotonic() - loop.enforced_at
    if age >= DEAD_SECONDS:
        return f"the spec was last enforced {age:.1f} s ago"
    if loop.lookout.blind:
        return f"none of the {loop.lookout.running} best-effort pods that run here is found"
    refused = sorted((path, refusal.reason) for path, refusal in applier.refused.items() if not refusal.back)
    if refused and not applier.held:
        return f"none of {len(refused)} wanted values can be written; {': '.join(refused[0])}"
    return ""
