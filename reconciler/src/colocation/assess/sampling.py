"""Use sampled from metrics.k8s.io, where there is no Prometheus: for as long as it is left running, and resumable.

One line of a file per step of five minutes: what each node and pod used, CPU as the mean of its samples, memory as the
largest. A later run adds lines; what was not sampled in between is a gap.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct, field

from colocation.assess.collect import NoHistoryError, described, lives
from colocation.assess.inventory import Cluster
from colocation.assess.shape import HOUR, STEP, STEPS_AN_HOUR, VERSION, Header, NodeTrace, Values
from colocation.decoding import decode
from colocation.kube.resources import PODS, Resource
from colocation.kube.rest import ApiError, Rest
from colocation.model.quantity import millicores, parse
from colocation.model.wire import Metadata, Pod

NODE_METRICS: Final = Resource("metrics.k8s.io/v1beta1", "nodes")
POD_METRICS: Final = Resource("metrics.k8s.io/v1beta1", "pods", namespaced=True)
EVERY_SECONDS: Final = 60.0
T = TypeVar("T")
Use = tuple[int, int]
"""Millicores and bytes."""


class _Usage(Struct):
    cpu: str = "0"
    memory: str = "0"


class _NodeMetrics(Struct):
    metadata: Metadata
    usage: _Usage


class _ContainerMetrics(Struct):
    usage: _Usage


class _PodMetrics(Struct):
    metadata: Metadata
    containers: tuple[_ContainerMetrics, ...] = ()


class Step(Struct):
    """Five minutes."""

    at: int
    """Unix seconds at which they end."""
    nodes: dict[str, Use] = field(default_factory=dict)
    pods: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """By namespace/name: node, millicores, bytes."""


_STEP: Final = msgspec.json.Decoder(Step)


class Sampler:
    """Samples until it is stopped; each whole step is written at once."""

    def __init__(
        self,
        rest: Rest,
        path: Path,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``path``: where steps are added."""
        self._rest, self._path, self._clock, self._sleep = rest, path, clock, sleep

    def run(self, until: float, progress: Callable[[int], None] = lambda _steps: None) -> None:
        """Until this moment, or KeyboardInterrupt. Raises ApiError where the first sample fails."""
        samples: list[tuple[dict[str, Use], dict[str, tuple[str, int, int]]]] = []
        steps, end = 0, self._next()
        first = True
        while (now := self._clock()) < until:
            if now >= end:
                if samples:
                    self._write(end, samples)
                    steps += 1
                    progress(steps)
                samples, end = [], self._next()
            try:
                samples.append(self.sample())
            except ApiError:
                if first:
                    raise
            first = False
            self._sleep(max(0.0, min(EVERY_SECONDS, end - self._clock())))
        if samples and self._clock() >= end:
            self._write(end, samples)

    def sample(self) -> tuple[dict[str, Use], dict[str, tuple[str, int, int]]]:
        """What is used now. Raises ApiError."""
        where = {
            f"{pod.metadata.namespace}/{pod.metadata.name}": pod.spec.node_name
            for pod in _list(self._rest, PODS, Pod)
            if pod.spec.node_name
        }
        nodes = {one.metadata.name: _use(one.usage) for one in _list(self._rest, NODE_METRICS, _NodeMetrics)}
        pods: dict[str, tuple[str, int, int]] = {}
        for one in _list(self._rest, POD_METRICS, _PodMetrics):
            name = f"{one.metadata.namespace}/{one.metadata.name}"
            if name in where:
                used = [_use(container.usage) for container in one.containers]
                pods[name] = (where[name], sum(cpu for cpu, _ in used), sum(memory for _, memory in used))
        return nodes, pods

    def _next(self) -> int:
        return (int(self._clock()) // STEP + 1) * STEP

    def _write(self, end: int, samples: list[tuple[dict[str, Use], dict[str, tuple[str, int, int]]]]) -> None:
        step = Step(end)
        for name in {name for nodes, _ in samples for name in nodes}:
            seen = [nodes[name] for nodes, _ in samples if name in nodes]
            step.nodes[name] = (sum(cpu for cpu, _ in seen) // len(seen), max(memory for _, memory in seen))
        for name in {name for _, pods in samples for name in pods}:
            rows = [pods[name] for _, pods in samples if name in pods]
            step.pods[name] = (rows[-1][0], sum(row[1] for row in rows) // len(rows), max(row[2] for row in rows))
        with gzip.open(self._path, "ab") as file:  # a member of its own: a torn end costs one step
            file.write(msgspec.json.encode(step) + b"\n")


def read(path: Path) -> Iterator[Step]:
    """All whole steps; a torn end is left out."""
    try:
        with gzip.open(path) as file:
            for line in file:
                yield _STEP.decode(line)
    except FileNotFoundError:
        return
    except (EOFError, zlib.error, gzip.BadGzipFile, msgspec.DecodeError):
        return


def as_traces(path: Path, cluster: Cluster) -> tuple[Header, list[NodeTrace]]:
    """What was sampled, as an assessment wants it. Raises NoHistoryError."""
    steps = list(read(path))
    if not steps:
        raise NoHistoryError(f"{path}: nothing was sampled yet")
    start = (steps[0].at - STEP) // HOUR * HOUR
    count = -(-(steps[-1].at - start) // HOUR) * STEPS_AN_HOUR
    header = Header(
        version=VERSION, source="metrics.k8s.io", start=start, steps=count, scrape_seconds=int(EVERY_SECONDS),
        nodes=len(cluster.nodes), inventory=cluster.inventory,
        notes=["metrics.k8s.io has one value a minute at most, and no past: peaks between two samples are not seen."],
    )  # fmt: skip
    by_node = {node.facts.name: node.trace() for node in cluster.nodes}
    for trace in by_node.values():
        for name in ("cpu", "memory", "pods_cpu", "pods_memory"):
            setattr(trace, name, [None] * count)
    pods: dict[tuple[str, str], list[Use | None]] = {}
    for step in steps:
        at = (step.at - start) // STEP - 1
        _fill(by_node, step, at)
        for name, (node, cpu, memory) in step.pods.items():
            pods.setdefault((node, name), [None] * count)[at] = (cpu, memory)
    for (node, name), series in pods.items():
        if node in by_node:
            namespace, _, plain = name.partition("/")
            live = cluster.pods.get((namespace, plain))
            for one in lives(namespace, plain, _hours(series), count // STEPS_AN_HOUR):
                one.live = live is not None and described(one, live)
                one.requests_known = one.live
                by_node[node].pods.append(one)
    return header, list(by_node.values())


def _fill(by_node: dict[str, NodeTrace], step: Step, at: int) -> None:
    sums: dict[str, list[int]] = {}
    for node, cpu, memory in step.pods.values():
        total = sums.setdefault(node, [0, 0])
        total[0] += cpu
        total[1] += memory
    for name, (cpu, memory) in step.nodes.items():
        trace = by_node.get(name)
        if trace is not None:
            trace.cpu[at], trace.memory[at] = cpu, memory
            trace.pods_cpu[at], trace.pods_memory[at] = sums.get(name, [0, 0])


def _hours(series: list[Use | None]) -> dict[str, Values]:
    rows: dict[str, Values] = {name: [] for name in ("cpu", "cpu_peak", "memory", "memory_peak")}
    for at in range(0, len(series), STEPS_AN_HOUR):
        seen = [use for use in series[at : at + STEPS_AN_HOUR] if use is not None]
        for column, name in enumerate(("cpu", "memory")):
            used = [use[column] for use in seen]
            rows[name].append(sum(used) // len(used) if used else None)
            rows[f"{name}_peak"].append(max(used) if used else None)
    return rows


def _use(usage: _Usage) -> Use:
    return millicores(usage.cpu), parse(usage.memory)


def _list(rest: Rest, resource: Resource, kind: type[T]) -> Iterator[T]:
    for page in rest.pages(resource, {}):
        for raw in page.items or []:
            yield decode(raw, kind)
