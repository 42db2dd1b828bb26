"""From Prometheus to node traces: a few nodes at a time, so that memory does not grow with the cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from colocation.assess import queries
from colocation.assess.inventory import Cluster, SeenNode
from colocation.assess.prometheus import Prometheus, PrometheusError, Series
from colocation.assess.queries import Dialect
from colocation.assess.shape import HOUR, STEP, VERSION, Header, NodeTrace, PodTrace, Values
from colocation.assess.workloads import owner_of
from colocation.model.facts import PodFacts, Qos, pod_facts
from colocation.model.quantity import millicores, parse
from colocation.model.wire import Pod

GROUP: Final = 25
"""Nodes per query."""
_SKEW: Final = 60
_FETCHERS: Final = 4


class NoHistoryError(Exception):
    """Prometheus has too little to assess."""


class Collector:
    """One assessment's way through Prometheus."""

    def __init__(
        self,
        server: Prometheus,
        cluster: Cluster,
        days: float,
        end: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``end``: Unix seconds, a full hour; None: the last full hour. Raises PrometheusError, NoHistoryError."""
        self.server, self._cluster = server, cluster
        self.notes: list[str] = []
        now = server.now()
        if abs(now - clock()) > _SKEW:
            self.notes.append(
                f"Prometheus' clock differs from this machine's by {now - clock():+.0f} s; its own counts."
            )
        self._end = min(end or math.inf, math.floor(now / HOUR) * HOUR)
        self.dialect, self._names = self._learn_dialect()
        start = self._history(int(self._end - days * 86400))
        seconds = self._scrape_seconds()
        self.header = Header(
            version=VERSION,
            source=server.title,
            start=start,
            steps=(int(self._end) - start) // STEP,
            nodes=len(self._names),
            scrape_seconds=seconds,
            inventory=cluster.inventory,
        )

    def groups(self) -> Iterator[list[NodeTrace]]:
        """Every node of the cluster that Prometheus knows, some at a time. Raises PrometheusError."""
        order = [(value, node) for value, node in self._names.items()]
        with ThreadPoolExecutor(_FETCHERS) as pool:
            for at in range(0, len(order), GROUP):
                yield self._group(order[at : at + GROUP], pool)

    def _group(self, nodes: Sequence[tuple[str, SeenNode]], pool: ThreadPoolExecutor) -> list[NodeTrace]:
        matcher = self.dialect.nodes(value for value, _ in nodes)
        label, header = self.dialect.label, self.header
        first, last = header.start, header.end
        cpu, memory = (make(self.dialect, matcher) for make in (queries.pods_cpu, queries.pods_memory))
        by_step = {
            "pods_cpu": queries.all_pods(self.dialect, cpu),
            "pods_memory": queries.all_pods(self.dialect, memory),
        }
        if self.dialect.root:
            by_step["cpu"] = queries.node_cpu(self.dialect, matcher)
            by_step["memory"] = queries.node_memory(self.dialect, matcher)
        by_hour = {
            "cpu": queries.hourly("avg", cpu),
            "cpu_peak": queries.hourly("max", cpu),
            "memory": queries.hourly("avg", memory),
            "memory_peak": queries.hourly("max", memory),
        }
        asked = {
            name: pool.submit(self.server.over, query, first + step, last, step)
            for every, step in ((by_step, STEP), (by_hour, HOUR))
            for name, query in (every.items())
            for name in (f"{name}/{step}",)
        }
        answers = {name: future.result() for name, future in asked.items()}
        traces = {value: node.trace() for value, node in nodes}
        for name in by_step:
            for series in answers[f"{name}/{STEP}"]:
                trace = traces.get(series.metric.get(label, ""))
                if trace is not None:
                    setattr(trace, name, values(series, first, STEP, header.steps, cpu="cpu" in name))
        for trace in traces.values():
            if not self.dialect.root:  # nothing outside pods was measured: reserved is all that is known of the system
                trace.cpu, trace.memory = trace.pods_cpu, trace.pods_memory
        pods: dict[tuple[str, str, str], dict[str, Values]] = {}
        for name in by_hour:
            for series in answers[f"{name}/{HOUR}"]:
                key = (series.metric.get(label, ""), series.metric.get("namespace", ""), series.metric.get("pod", ""))
                pods.setdefault(key, {})[name] = values(series, first, HOUR, header.hours, cpu="cpu" in name)
        self._add_pods(traces, pods)
        return list(traces.values())

    def _add_pods(self, traces: dict[str, NodeTrace], pods: dict[tuple[str, str, str], dict[str, Values]]) -> None:
        gone: list[tuple[PodTrace, NodeTrace]] = []
        for (value, namespace, name), rows in pods.items():
            trace = traces.get(value)
            if trace is None:
                continue
            live = self._cluster.pods.get((namespace, name))
            if live is not None and live.spec.node_name != trace.name:
                live = None
            for one in lives(namespace, name, rows, self.header.hours):
                trace.pods.append(one)
                if live is None or not described(one, live):
                    one.live = False
                    gone.append((one, trace))
        if gone:
            self._ask_requests(gone)

    def _ask_requests(self, gone: list[tuple[PodTrace, NodeTrace]]) -> None:
        """Of pods that are no longer there."""
        nodes = sorted({trace.name for _, trace in gone})
        known: dict[tuple[str, str], dict[str, float]] = {}
        try:
            for series in self.server.at(queries.requests(nodes, self.header.hours), self.header.end):
                if series.value is not None:
                    key = (series.metric.get("namespace", ""), series.metric.get("pod", ""))
                    known.setdefault(key, {})[series.metric.get("resource", "")] = float(series.value[1])
        except PrometheusError as error:
            self.notes.append(f"Requests of pods that are gone could not be read: {error}")
        for one, _ in gone:
            found = known.get((one.namespace, one.name))
            if found is None:
                one.requests_known = False
                continue
            one.cpu_request = round(found.get("cpu", 0) * 1000)
            one.memory_request = round(found.get("memory", 0))
            if found.get("kubernetes_io_be_cpu"):
                one.qos = Qos.BE

    def _learn_dialect(self) -> tuple[Dialect, dict[str, SeenNode]]:
        """Which labels and series are there; by the label's values, the nodes of the cluster."""
        end = float(self._end)
        labels = ", ".join(queries.NODE_LABELS)
        root = self.server.at(f'group by ({labels}) ({queries.CPU}{{id="/"}})', end)
        series = root or self.server.at(f'group by ({labels}) ({queries.CPU}{{pod!=""}})', end)
        if not series:
            raise NoHistoryError(
                f"{self.server.title} has no {queries.CPU} at {_when(end)}: it does not scrape the kubelets' cAdvisor"
            )
        names = {value: node for node in self._cluster.nodes for value in node.names}
        label, found = "node", dict[str, SeenNode]()
        for each in queries.NODE_LABELS:
            values = {one.metric[each] for one in series if each in one.metric}
            matched = {value: names[plain] for value in values if (plain := _without_port(value)) in names}
            if len({node.facts.name for node in matched.values()}) > len(found):
                label, found = each, matched
        self._say_missing(series, label, found)
        containers = self.server.at(f'count({queries.CPU}{{pod!="",container!="",container!="POD"}})', end)
        scrape = self.server.at(f"max(count_over_time({queries.CPU}[1h]))", end)
        seconds = round(HOUR / float(scrape[0].value[1])) if scrape and scrape[0].value else 0
        window = queries.window_for(seconds)
        rule = window == STEP and label == "node" and self._rule_covers(end)
        if not root:
            self.notes.append(
                'There are no series of whole nodes (cAdvisor\'s id="/"): use outside pods is not known, and only what '
                "Kubernetes reserves counts for it. More would be published here than on the cluster."
            )
        if window > STEP:
            self.notes.append(
                f"Scraped each {seconds} s: rates are means of {window // 60} minutes, so short peaks are not seen."
            )
        self._seconds = seconds
        return Dialect(label=label, pod_level=not containers, rule=rule, window=window, root=bool(root)), found

    def _rule_covers(self, end: float) -> bool:
        counts = [self.server.at(f"count({queries.CPU_RULE})", at) for at in (end, end - 86400)]
        return all(counts)

    def _say_missing(self, series: Iterable[Series], label: str, found: dict[str, SeenNode]) -> None:
        if not found:
            seen = sorted({one.metric.get(label, "?") for one in series})[:5]
            raise NoHistoryError(
                f"{self.server.title} knows nodes such as {', '.join(seen)}, and none of this cluster's: is it the "
                "Prometheus of another cluster?"
            )
        missing = len({n.facts.name for n in self._cluster.nodes} - {n.facts.name for n in found.values()})
        gone = len({one.metric.get(label) for one in series} - set(found))
        if missing:
            self.notes.append(f"{missing} nodes of the cluster have no series: they are left out.")
        if gone:
            self.notes.append(f"{gone} nodes with series are not in the cluster: they are left out.")

    def _history(self, wanted: int) -> int:
        """The first full hour for which there is something."""
        end = int(self._end)
        wanted = wanted // HOUR * HOUR
        query = f"count({queries.CPU})"
        seen = [t for one in self.server.over(query, wanted, end, HOUR) for t, _ in one.values]
        first = max(wanted, int(min(seen, default=end)) // HOUR * HOUR)
        if end - first < 2 * HOUR:
            raise NoHistoryError(
                f"{self.server.title} has {(end - first) // 60} minutes of history up to {_when(end)}: two hours are "
                "the least that can be replayed. Come back later, or sample with --metrics-server"
            )
        return first

    def _scrape_seconds(self) -> int:
        return self._seconds


def values(series: Series, start: int, step: int, count: int, *, cpu: bool) -> Values:
    """By position; None where there is none. CPU in millicores, memory in bytes."""
    found: Values = [None] * count
    scale = 1000 if cpu else 1
    for at, text in series.values:
        number = float(text)
        index = round((at - start) / step) - 1
        if 0 <= index < count and 0 <= number < 1e18:  # NaN is neither
            found[index] = round(number * scale)
    return found


def lives(namespace: str, name: str, rows: dict[str, Values], hours: int) -> Iterator[PodTrace]:
    """One trace per stretch of hours without a gap: after an hour of absence a pod is another one."""
    empty: Values = [None] * hours
    columns = [rows.get(column, empty) for column in ("cpu", "cpu_peak", "memory", "memory_peak")]
    first: int | None = None
    for hour in range(hours + 1):
        there = hour < hours and (columns[0][hour] is not None or columns[2][hour] is not None)
        if there and first is None:
            first = hour
        elif not there and first is not None:
            part = [column[first:hour] for column in columns]
            yield PodTrace(
                namespace=namespace, name=name, first=first, cpu=part[0], cpu_peak=part[1], memory=part[2],
                memory_peak=part[3], live=hour >= hours - 1,
            )  # fmt: skip
            first = None


def described(one: PodTrace, pod: Pod) -> bool:
    """Take over what the Pod says; False: it is finished or cannot be read, and says nothing."""
    facts = pod_facts(pod)
    if not isinstance(facts, PodFacts):
        return False
    one.qos, one.priority = facts.qos, facts.priority
    one.cpu_request, one.memory_request = facts.cpu, facts.memory
    one.owner = owner_of(pod)
    containers = pod.spec.containers
    cpus = [c.resources.limits.get("cpu") for c in containers]
    memories = [c.resources.limits.get("memory") for c in containers]
    one.cpu_limit = sum(millicores(v) for v in cpus if v is not None) if all(v is not None for v in cpus) else None
    one.memory_limit = (
        sum(parse(v) for v in memories if v is not None) if all(v is not None for v in memories) else None
    )
    return True


def _without_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    return host.strip("[]") if colon and port.isdigit() else value


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
