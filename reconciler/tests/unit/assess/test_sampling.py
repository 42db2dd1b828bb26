"""metrics.k8s.io, sampled. A stand-in serves it: it takes a kubelet to have it, and these tests have none."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from colocation.assess.collect import NoHistoryError
from colocation.assess.inventory import Cluster, SeenNode
from colocation.assess.sampling import Sampler, as_traces, read
from colocation.assess.shape import Inventory
from colocation.decoding import convert
from colocation.kube.login import Login
from colocation.kube.rest import ApiError, Rest
from colocation.model.facts import NodeFacts
from colocation.model.wire import Pod

from .test_prometheus import StandIn

GI = 2**30
START = 1_700_000_000 // 3600 * 3600
POD = {
    "metadata": {"name": "web", "namespace": "a", "uid": "u"},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
    "status": {"phase": "Running"},
}


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def decide(path: str, _: dict[str, str]) -> tuple[int, Any]:
    name = {"name": "n"}
    items = {
        "/api/v1/pods": [POD],
        "/apis/metrics.k8s.io/v1beta1/nodes": [{"metadata": name, "usage": {"cpu": "1500m", "memory": "8Gi"}}],
        "/apis/metrics.k8s.io/v1beta1/pods": [
            {
                "metadata": {"name": "web", "namespace": "a"},
                "containers": [
                    {"usage": {"cpu": "700123456n", "memory": "3Gi"}},
                    {"usage": {"cpu": "1m", "memory": "1Gi"}},
                ],
            }
        ],
    }
    return 200, {"metadata": {}, "items": items[path]}


def cluster() -> Cluster:
    facts = NodeFacts("n", "n", "", {}, 8000, 8000, 32 * GI, 32 * GI)
    return Cluster([SeenNode(facts, "default", ("n",))], {("a", "web"): convert(POD, Pod)}, Inventory(), [])


def test_what_is_sampled_is_what_is_assessed_and_a_pause_is_a_gap(tmp_path: Path) -> None:
    one, path, clock = StandIn(decide), tmp_path / "samples.gz", Clock(START)
    sampler = Sampler(Rest(Login(one.url, dict, lambda: None)), path, clock, clock.sleep)
    sampler.run(START + 3600 + 1)
    assert len(list(read(path))) == 12
    clock.now = START + 2 * 3600
    sampler.run(START + 3 * 3600 + 1)  # resumed an hour later
    one.server.shutdown()
    header, (node,) = as_traces(path, cluster())
    assert (header.start, header.steps) == (START, 36)
    assert node.cpu == [1500] * 12 + [None] * 12 + [1500] * 12
    assert node.pods_memory == [4 * GI] * 12 + [None] * 12 + [4 * GI] * 12
    first, second = node.pods
    assert (first.first, second.first, first.cpu, second.memory) == (0, 2, [702], [4 * GI])
    assert (second.cpu_request, second.memory_request) == (1000, GI)


def test_a_torn_end_costs_what_is_torn(tmp_path: Path) -> None:
    one, path, clock = StandIn(decide), tmp_path / "samples.gz", Clock(START)
    Sampler(Rest(Login(one.url, dict, lambda: None)), path, clock, clock.sleep).run(START + 3600 + 1)
    one.server.shutdown()
    path.write_bytes(path.read_bytes()[:-20])
    assert len(list(read(path))) == 11


def test_without_a_metrics_server_it_ends_at_once(tmp_path: Path) -> None:
    one = StandIn(lambda *_: (503, {"message": "the server is currently unable to handle the request"}))
    with pytest.raises(ApiError, match="unable to handle"):
        Sampler(Rest(Login(one.url, dict, lambda: None)), tmp_path / "s.gz").run(2**40)
    one.server.shutdown()


@pytest.mark.parametrize("content", [b"", gzip.compress(b"garbage\n"), b"garbage"])
def test_a_file_with_nothing_in_it_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.gz").write_bytes(content)
    with pytest.raises(NoHistoryError, match="nothing was sampled"):
        as_traces(tmp_path / "s.gz", cluster())
