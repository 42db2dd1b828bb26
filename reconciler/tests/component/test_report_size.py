"""A full report as the API server stores it: 40 pods, forecasts, scores and managedFields."""

from __future__ import annotations

import json
import random
from uuid import UUID

import msgspec
import pytest

from colocation.agent.reporter import patch_body
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import MERGE_PATCH
from colocation.model.report import (
    Capabilities,
    Condition,
    EngineState,
    Forecasts,
    NodeColocationStatus,
    PodUsage,
    Prediction,
    Pressure,
    ResourceForecast,
    Scores,
    Usage,
)
from colocation.predict.scores import Scores as Learnt

from .cluster import Cluster

pytestmark = pytest.mark.apiserver
USE = Usage(cpu=98_765, cpu_peak=101_234, memory=298_765_432_100, memory_peak=318_765_432_100)


def scores(seed: int) -> tuple[int, ...]:
    """Of a node that has reported for ten weeks: errors of the shape that traces have."""
    dice, learnt = random.Random(seed), Learnt(300.0)
    for _ in range(70 * 288):
        learnt.add(dice.expovariate(1.0) - 1.0)
    return learnt.counts


def row(number: int, dice: random.Random) -> PodUsage:
    """A pod of 5m to 2 cores, and of 20 MiB to 2 GiB."""
    cpu, memory = int(5 * 400 ** dice.random()), int(20 * 2**20 * 100 ** dice.random())
    predicted = Prediction(2 * cpu, int(1.2 * memory), 6_048_000)
    return PodUsage(uid=str(UUID(int=number << 64)), cpu=cpu, memory=memory, predicted=predicted)


def test_40_rows_forecasts_scores_and_managed_fields_are_stored_in_6_kb(cluster: Cluster) -> None:
    path = NODE_COLOCATIONS.path("large")
    cluster.rest.create(
        NODE_COLOCATIONS.path(),
        {"apiVersion": NODE_COLOCATIONS.group_version, "kind": "NodeColocation", "metadata": {"name": "large"}},
    )
    dice, status_time = random.Random(1), "2026-11-21T05:10:14Z"
    forecast = ResourceForecast(98_765_432_100, 108_765_432_100, 118_765_432_100, 218_765_432_100, 10_000, 9876)
    status = NodeColocationStatus(
        observed_generation=123,
        observed_at=status_time,
        window_seconds=60,
        agent_version="0.1.0",
        node=USE,
        system=USE,
        pods=tuple(row(number, dice) for number in range(40)),
        forecasts=Forecasts(cpu=ResourceForecast(98_765, 99_876, 109_876, 209_876, 10_000, 9876), memory=forecast),
        scores=Scores(cpu=scores(1), memory=scores(2)),
        pressure=Pressure(cpu=12.34, memory=0.0, io=1.0),
        capabilities=Capabilities(
            kernel="6.18.44", cgroup_version=2, cgroup_driver="systemd",
            features=("cpu.burst", "cpu.idle", "cpu.quota", "io.throttle", "io.weight", "memory.high", "memory.limit"),
        ),
        engine=EngineState(
            mode="idle+quota", cpu_quota=64_000, cpu_used=60_000, memory_used=98_765_432_100,
            reason="idle scheduling; quota 64 cores: 65 % of 128 less 22 used online",
        ),
        conditions=tuple(
            Condition(type=kind, status="True", reason="Applied", message="", last_transition_time=status_time)
            for kind in ("Enforced", "SpecReadable")
        ),
    )  # fmt: skip
    assert status.scores is not None
    assert len(status.scores.cpu) > 20
    body = msgspec.json.encode(patch_body(status))
    cluster.rest.send("PATCH", f"{path}/status", body=body, kind=MERGE_PATCH)
    stored = json.loads(cluster.rest.send("GET", path))
    assert stored["status"]["scores"]["cpu"] == list(status.scores.cpu)
    fields = [entry for entry in stored["metadata"]["managedFields"] if entry.get("subresource") == "status"]
    size = len(json.dumps([stored["status"], fields], separators=(",", ":")))
    of_scores = len(msgspec.json.encode(status.scores)) + len('"f:scores":{".":{},"f:cpu":{},"f:memory":{}},"scores":')
    print(f"{size} bytes, of them scores {of_scores}")
    assert of_scores <= 320
    assert size <= 6 * 1024
    cluster.rest.delete(path)
