"""The real kube-scheduler with the chart's profile: batch pods go where be-cpu is free; the default ignores it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from colocation.model.names import BE_CPU
from tests.chart_lab.conftest import CHART, policy, published
from tests.e2e.pods import pod
from tests.lab import binaries, control_plane
from tests.lab.cluster import Cluster
from tests.lab.network import in_netns
from tests.lab.process import Daemon
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab
PODS = 12
PROFILES = CHART / "files/kube-scheduler.yaml"


@pytest.fixture(scope="module")
def uneven(installed: Cluster) -> Iterator[Cluster]:
    """node1 offers little, node2 much: two policies. The scheduler runs with both profiles, both knowing the
    numbers."""
    body = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "ColocationPolicy"}
    little: dict[str, Any] = {"cpu": {"strategy": "usage", "reclaimPercent": 80, "maxPercent": 10, "quantum": "10m"}}
    spec = {"priority": 10, "nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "node1"}}, "oversell": little}
    installed.apply({**body, "metadata": {"name": "little"}, "spec": spec})
    eventually(
        lambda: (
            0 < published(installed, "node1") <= 200 < 4 * published(installed, "node1") < published(installed, "node2")
        ),
        90,
        "uneven",
    )
    lab = installed.lab
    control_plane.stop(lab, "scheduler")
    config = yaml.safe_load(PROFILES.read_text())
    config["clientConnection"] = {"kubeconfig": str(lab.pki / "scheduler.kubeconfig")}
    config["leaderElection"] = {"leaderElect": False}
    path = lab.state / "kube-scheduler.yaml"
    path.write_text(yaml.safe_dump(config))
    daemon = Daemon(lab.run / "scheduler-profiles.pid")
    argv = [str(binaries.path("kube-scheduler")), f"--config={path}", "--bind-address=127.0.0.1"]
    daemon.start(in_netns(lab.hub, argv), lab.logs / "scheduler-profiles.log")
    try:
        yield installed
    finally:
        daemon.stop(5)
        control_plane.start(lab, "scheduler")
        installed.kubectl("delete", "cpol", "little")
        policy(installed)
        eventually(lambda: published(installed, "node1") > 200, 90, "node1 offers as before")


def placed(cluster: Cluster, scheduler: str) -> Counter[str]:
    """Where twelve small best-effort pods of a scheduler go; they are gone afterwards."""
    names = [f"s{number}" for number in range(PODS)]
    for name in names:
        body = pod(name, cpu="10m", limit="20m")
        body["spec"]["schedulerName"] = scheduler
        cluster.apply(body)  # one by one, as a queue gives them out

    def where() -> Counter[str] | None:
        items = cluster.get("pods", "-n", "work")["items"]
        nodes = [p["spec"].get("nodeName") for p in items if p["metadata"]["name"] in names]
        return Counter(nodes) if len(nodes) == PODS and all(nodes) else None

    try:
        counted: Counter[str] = eventually(where, 60, f"{PODS} pods placed by {scheduler}")
        return counted
    finally:
        cluster.kubectl("delete", "pods", "-n", "work", "--all", "--grace-period=0", "--force", "--wait")


def test_the_default_ignores_what_is_free_and_the_profile_goes_by_it(
    uneven: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    free = {node: published(uneven, node) for node in ("node1", "node2")}
    before, after = placed(uneven, "default-scheduler"), placed(uneven, "colocation-scheduler")
    with capsys.disabled():
        print(f"\n{BE_CPU} published: {free}; default: {dict(before)}; profile: {dict(after)}")
    assert min(before.values()) >= PODS // 2 - 1, "the default spreads by number"
    share = PODS * free["node1"] / sum(free.values())
    assert abs(after["node1"] - share) <= 1.5, "the profile spreads by what is free"
