"""A Helm that was killed in the middle of an upgrade: real Helm, really killed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible import cluster
from tests.ansible.conftest import Site
from tests.lab import binaries

pytestmark = pytest.mark.apiserver
NODES = ("node1", "node2")


@pytest.fixture(scope="module")
def chart(site: Site) -> Path:
    return next((site.collection / "roles/colocation_manager/files").glob("*.tgz"))


@pytest.fixture
def cut(site: Site, chart: Path, tmp_path: Path) -> Iterator[Site]:
    """Revision 1 is deployed, 2 pending-upgrade: the Deployment never gets ready, so Helm waits until killed."""
    with cluster.running(tmp_path / "api", NODES) as api:
        cluster.install(api, chart, {"agent": {"updateStrategy": "OnDelete"}}, NODES)
        argv: list[str | Path] = [
            binaries.path("helm"),
            "upgrade",
            "colocation",
            chart,
            *cluster.NS,
            "--wait",
            "--set",
            "manager.replicas=2",
        ]
        helm = subprocess.Popen(
            [*argv, "--kubeconfig", api.kubeconfig], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        here = dataclasses.replace(site, api=api)
        try:
            cluster.wait_for(lambda: status(here) == ["deployed", "pending-upgrade"], 60, "pending-upgrade")
        finally:
            helm.kill()
            helm.wait()
        yield here


def status(here: Site) -> list[str]:
    found = json.loads(here.api.kubectl("get", "secrets", *cluster.NS, "-l", "owner=helm", "-o", "json"))["items"]
    return [
        one["metadata"]["labels"]["status"]
        for one in sorted(found, key=lambda s: int(s["metadata"]["labels"]["version"]))
    ]


def test_what_a_killed_roll_out_left_pending_does_not_stop_the_next_one(cut: Site) -> None:
    step = {"revision": 1, "version": "0.1.0", "policies": [], "settings": []}
    cluster.record(cut.api, "steps", {"pending": step, "settings": []})
    hosts = cluster.inventory(cut.place, {name: {} for name in NODES})
    with cluster.Controllers(cut.api):
        code, output = cut.play(
            "site", {"colocation_health_soak": 0}, "-i", str(hosts), "--tags", "colocation_manager_install"
        )
    assert code == 0, output[-3000:]
    assert status(cut)[-1] == "deployed"
    assert "pending-upgrade" not in status(cut)
    assert cluster.values(cut.api).get("manager", {}).get("replicas") is None


def test_what_somebody_else_has_left_pending_is_named_and_left_alone(cut: Site) -> None:
    hosts = cluster.inventory(cut.place, {name: {} for name in NODES})
    code, output = cut.play("site", {}, "-i", str(hosts), "--tags", "colocation_manager_install")
    assert code != 0
    assert "Helm's release colocation is pending-upgrade since" in output, output[-3000:]
    assert status(cut) == ["deployed", "pending-upgrade"]
