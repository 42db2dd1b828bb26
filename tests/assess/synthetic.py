# SPDX-License-Identifier: Apache-2.0
"""A synthetic cluster: as OpenMetrics for a real Prometheus, as objects for a real API server, and as the traces that
`colocation assess` should read from the two.

Use is constant within five minutes, so a rate over them is that use, whatever the scrape interval; and every amount is
a multiple of 12, so the mean of an hour is a whole number. Pods begin and end at full hours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from colocation.assess.shape import HOUR, STEP, STEPS_AN_HOUR, NodeTrace, PodTrace
from colocation.model.facts import Qos

GI = 2**30
UNIT = 12 * 4096


class PodSeries(Struct):
    """One pod; hours from the beginning of the window."""

    namespace: str
    name: str
    first: int
    last: int
    """The hour after its last."""
    cpu_request: int
    memory_request: int
    cpu: list[list[int]]
    """By container: millicores per step."""
    memory: list[list[int]]
    live: bool = True
    qos: str = ""

    def total(self, series: list[list[int]]) -> list[int]:
        return [sum(parts) for parts in zip(*series, strict=True)]


class NodeSeries(Struct):
    """One node."""

    name: str
    cores: int
    memory_gib: int
    pool: str
    pods: list[PodSeries]
    system_cpu: list[int]
    system_memory: list[int]


class Synthetic(Struct):
    """The cluster."""

    start: int
    """Unix seconds, a full hour."""
    hours: int
    nodes: list[NodeSeries]

    @property
    def steps(self) -> int:
        return self.hours * STEPS_AN_HOUR


def synthesize(start: int, hours: int, nodes: int = 4, pods: int = 4, seed: int = 1) -> Synthetic:
    """Nodes of two pools; in each fourth pod's place several come and go, one of them under the name of another."""
    dice = random.Random(seed)
    steps = hours * STEPS_AN_HOUR
    cluster = []
    for at in range(nodes):
        there: list[PodSeries] = []
        for number in range(pods):
            if number == 3 and hours > 60:
                third = hours // 3
                lives = [
                    (f"job-{at}-0", 0, third),
                    (f"again-{at}", third, 2 * third - 4),
                    (f"again-{at}", 2 * third, hours),
                ]
            else:
                lives = [(f"web-{at}-{number}", 0, hours)]
            cpu, memory = dice.randint(1, 3) * 1000, dice.randint(4, 8) * GI
            there += [
                _pod(dice, name, (first, last), (cpu, memory), live=last == hours, containers=2 if number == 1 else 1)
                for name, first, last in lives
            ]
        cluster.append(
            NodeSeries(
                f"node-{at}", 16, 64, "web" if at % 2 else "batch", there,
                _wave(dice, steps, 400, 200, 12), _wave(dice, steps, 2 * GI, GI // 4, UNIT),
            )
        )  # fmt: skip
    return Synthetic(start, hours, cluster)


def _pod(
    dice: random.Random, name: str, when: tuple[int, int], requests: tuple[int, int], *, live: bool, containers: int
) -> PodSeries:
    first, last = when
    steps = (last - first) * STEPS_AN_HOUR
    cpu = [_wave(dice, steps, dice.randint(150, 900), dice.randint(50, 700), 12) for _ in range(containers)]
    memory = [_wave(dice, steps, dice.randint(1, 4) * GI, GI // 2, UNIT) for _ in range(containers)]
    return PodSeries("shop", name, first, last, *requests, cpu, memory, live=live)


def _wave(dice: random.Random, steps: int, level: int, height: int, unit: int) -> list[int]:
    """A day's wave, noise, and a burst now and then; multiples of ``unit``."""
    top, burst, values = dice.uniform(0, 288), 0.0, []
    for step in range(steps):
        burst = max(0.0, burst * 0.6 + (dice.uniform(0.5, 2) * height if dice.random() < 0.004 else 0))
        wave = height * (1 + math.cos(2 * math.pi * (step - top) / 288)) / 2
        values.append(max(1, round((level + wave + burst + dice.gauss(0, height / 20)) / unit)) * unit)
    return values


def write_openmetrics(cluster: Synthetic, path: Path, scrape: int = 60, replicas: int = 1, published: int = 0) -> None:
    """cAdvisor's series and kube-state-metrics' requests; ``replicas``: Prometheus servers that wrote the same."""
    with path.open("w") as file:
        file.write("# TYPE container_cpu_usage_seconds counter\n")
        for replica in range(replicas):
            more = f',prometheus_replica="p{replica}"' if replicas > 1 else ""
            for labels, first, values in _series(cluster, memory=False):
                _counter(
                    file,
                    f"container_cpu_usage_seconds_total{{{labels}{more}}}",
                    cluster.start + first * HOUR,
                    values,
                    scrape,
                )
        file.write("# TYPE container_memory_working_set_bytes gauge\n")
        for replica in range(replicas):
            more = f',prometheus_replica="p{replica}"' if replicas > 1 else ""
            for labels, first, values in _series(cluster, memory=True):
                name = f"container_memory_working_set_bytes{{{labels}{more}}}"
                begin = cluster.start + first * HOUR
                for at in range(scrape, len(values) * STEP + 1, scrape):
                    file.write(f"{name} {values[(at - 1) // STEP]} {begin + at}\n")
        file.write("# TYPE kube_pod_container_resource_requests gauge\n")
        for node in cluster.nodes:
            for pod in node.pods:
                for resource, amount in (("cpu", pod.cpu_request / 1000), ("memory", pod.memory_request)):
                    labels = f'namespace="{pod.namespace}",pod="{pod.name}",container="c0",node="{node.name}"'
                    labels += f',resource="{resource}"'
                    for at in range(pod.first * HOUR, pod.last * HOUR + 1, 300):
                        file.write(f"kube_pod_container_resource_requests{{{labels}}} {amount} {cluster.start + at}\n")
        if published:
            _published(cluster, file, published)
        file.write("# EOF\n")


def _published(cluster: Synthetic, file: IO[str], millicores: int) -> None:
    """What a manager exports for every node: always the same."""
    for name, amount in (
        ("published_cpu_cores", millicores / 1000), ("allocated_cpu_cores", 1), ("be_used_cpu_cores", 0.5),
        ("published_memory_bytes", 8 * GI), ("allocated_memory_bytes", GI), ("be_used_memory_bytes", GI // 2),
    ):  # fmt: skip
        file.write(f"# TYPE colocation_node_{name} gauge\n")
        for node in cluster.nodes:
            for at in range(0, cluster.hours * HOUR + 1, 60):
                file.write(f'colocation_node_{name}{{node="{node.name}"}} {amount} {cluster.start + at}\n')


def _series(cluster: Synthetic, *, memory: bool) -> Iterator[tuple[str, int, list[int]]]:
    for node in cluster.nodes:
        for pod in node.pods:
            for number, values in enumerate(pod.memory if memory else pod.cpu):
                labels = (
                    f'node="{node.name}",instance="{node.name}:10250",namespace="{pod.namespace}",pod="{pod.name}",'
                    f'container="c{number}",id="/kubepods/{pod.name}/{pod.first}/c{number}"'
                )
                yield labels, pod.first, values
        yield f'node="{node.name}",instance="{node.name}:10250",id="/"', 0, _whole(cluster, node, memory=memory)


def _whole(cluster: Synthetic, node: NodeSeries, *, memory: bool) -> list[int]:
    system = node.system_memory if memory else node.system_cpu
    pods = _pods(cluster, node, memory=memory)
    return [a + b for a, b in zip(system, pods, strict=True)]


def _pods(cluster: Synthetic, node: NodeSeries, *, memory: bool) -> list[int]:
    total = [0] * cluster.steps
    for pod in node.pods:
        for at, value in enumerate(pod.total(pod.memory if memory else pod.cpu), pod.first * STEPS_AN_HOUR):
            total[at] += value
    return total


def _counter(file: IO[str], name: str, begin: int, values: list[int], scrape: int) -> None:
    total = 0  # millicore-seconds
    for at in range(scrape, len(values) * STEP + 1, scrape):
        # All scrapes divide a step, or are steps.
        total += values[(at - 1) // STEP] * scrape if scrape <= STEP else 0
        file.write(f"{name} {total / 1000:.3f} {begin + at}\n")


def traces(cluster: Synthetic, start: int, steps: int) -> list[NodeTrace]:
    """What should be read from ``start`` on."""
    skip = (start - cluster.start) // STEP
    hours, skip_hours = steps // STEPS_AN_HOUR, skip // STEPS_AN_HOUR
    answer = []
    for node in cluster.nodes:
        trace = NodeTrace(
            name=node.name,
            pool=node.pool,
            cpu_capacity=node.cores * 1000,
            cpu_allocatable=node.cores * 1000 - 500,
            memory_capacity=node.memory_gib * GI,
            memory_allocatable=(node.memory_gib - 1) * GI,
        )
        for name, memory, whole in (
            ("cpu", False, True), ("memory", True, True), ("pods_cpu", False, False), ("pods_memory", True, False)
        ):  # fmt: skip
            series = (_whole if whole else _pods)(cluster, node, memory=memory)
            setattr(trace, name, list(series[skip : skip + steps]))
        trace.pods = [one for pod in node.pods if (one := _pod_trace(pod, skip_hours, hours)) is not None]
        answer.append(trace)
    return answer


def _pod_trace(pod: PodSeries, skip: int, hours: int) -> PodTrace | None:
    first, last = max(pod.first, skip), min(pod.last, skip + hours)
    if last <= first:
        return None

    def by_hour(values: list[int]) -> list[list[int]]:
        begin = (first - pod.first) * STEPS_AN_HOUR
        return [values[begin + h * STEPS_AN_HOUR :][:STEPS_AN_HOUR] for h in range(last - first)]

    cpu, memory = by_hour(pod.total(pod.cpu)), by_hour(pod.total(pod.memory))
    return PodTrace(
        namespace=pod.namespace,
        name=pod.name,
        owner=f"Pod/{pod.name}",
        qos=Qos(pod.qos) if pod.qos else Qos.LS,
        cpu_request=pod.cpu_request,
        memory_request=pod.memory_request,
        first=first - skip,
        cpu=[sum(one) // STEPS_AN_HOUR for one in cpu],
        cpu_peak=[max(one) for one in cpu],
        memory=[sum(one) // STEPS_AN_HOUR for one in memory],
        memory_peak=[max(one) for one in memory],
        live=pod.live,
    )


def objects(cluster: Synthetic) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(object, status) of every Node and of the Pods that are still there."""
    for at, node in enumerate(cluster.nodes):
        capacity = {"cpu": str(node.cores), "memory": f"{node.memory_gib}Gi", "pods": "110"}
        allocatable = {"cpu": f"{node.cores * 1000 - 500}m", "memory": f"{node.memory_gib - 1}Gi", "pods": "110"}
        yield (
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": {"pool": node.pool}}},
            {
                "capacity": capacity,
                "allocatable": allocatable,
                "addresses": [{"type": "InternalIP", "address": f"10.0.{at // 250}.{at % 250 + 1}"}],
            },
        )
        for pod in node.pods:
            if not pod.live:
                continue
            requests = {"cpu": f"{pod.cpu_request}m", "memory": str(pod.memory_request)}
            containers = [{"name": "c0", "image": "i", "resources": {"requests": requests}}]
            yield (
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": pod.name, "namespace": pod.namespace, "annotations": {}},
                    "spec": {"nodeName": node.name, "containers": containers},
                },
                {"phase": "Running"},
            )
