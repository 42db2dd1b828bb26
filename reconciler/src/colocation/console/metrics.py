"""What the console counts. No series names a person, a node or a policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from colocation.console.live import Hub
from colocation.console.series import Charts
from colocation.console.snapshot import Snapshot

_ANSWERED: Final = (0.005, 0.02, 0.06, 0.15, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """One registry, made once a console."""

    def __init__(self, snapshot: Snapshot, hub: Hub, charts: Charts) -> None:
        self.registry = r = CollectorRegistry()
        ProcessCollector(registry=r)
        self._answers = Counter("colocation_console_answers_total", "Answers by status code.", ["code"], registry=r)
        self.answered = Histogram(
            "colocation_console_answer_seconds",
            "Time to make an answer, what the API server takes for it included; of a stream, its beginning.",
            buckets=_ANSWERED,
            registry=r,
        )
        self._requests = Counter(
            "colocation_console_api_requests_total",
            "Requests to the API server in people's names; code 0: no answer.",
            ["verb", "resource", "code"],
            registry=r,
        )
        self._latency = Histogram(
            "colocation_console_api_request_seconds", "Their latency.", ["verb", "resource"], registry=r
        )
        r.register(_State(snapshot, hub, charts))

    def answer(self, code: int) -> None:
        """One answer (the hook of `colocation.serving`)."""
        self._answers.labels(str(code)).inc()

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """One API request (the hook of `colocation.kube.rest`)."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._latency.labels(verb, resource).observe(seconds)


class _State(Collector):
    """Looks at the console's parts when it is scraped."""

    def __init__(self, snapshot: Snapshot, hub: Hub, charts: Charts) -> None:
        self._snapshot, self._hub, self._charts = snapshot, hub, charts

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        seen = self._snapshot.seen
        yield _gauge("streams", "Streams of events that are open.", self._hub.streams)
        yield _gauge("manager_up", "1 while the manager answers.", self._snapshot.away_since is None)
        if seen is not None:
            yield _gauge("report_timestamp_seconds", "When the report that is shown was given.", seen.at)
        if self._charts.prometheus:
            yield _gauge("prometheus_up", "1 unless the last question to Prometheus failed.", not self._charts.away)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"colocation_console_{name}", about, value=float(value))
