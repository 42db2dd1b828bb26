"""remove_nodes through ansible-playbook and a real Helm: the others keep everything they have."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ansible import cluster
from tests.ansible.conftest import Site

pytestmark = pytest.mark.apiserver
NODES = ("node1", "node2", "node3")


def carried(*names: str) -> dict[str, Any]:
    """The affinity that a rollout writes for Nodes that its image was brought to."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]} for name in names]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


INSTALLED: dict[str, Any] = {
    "agent": {"updateStrategy": "OnDelete"},
    "manager": {"affinity": carried("node1", "node2"), "replicas": 1},
    "monitoring": {"dashboards": {"enabled": True}},
    "rubik": {"enabled": True, "image": "registry.example.org/rubik:2.0.1"},
}


@pytest.fixture(scope="module")
def installed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With dashboards and rubik, as site made it from an inventory that asked for them."""
    with cluster.running(tmp_path_factory.mktemp("leave"), NODES) as api:
        chart = next((site.collection / "roles/colocation_manager/files").glob("*.tgz"))
        cluster.install(api, chart, INSTALLED, NODES)
        cluster.record(api, "steps", {"image": {"sha256": "abc", "nodes": ["node1", "node2"]}, "settings": {}})
        yield dataclasses.replace(site, api=api)


def leave(installed: Site, host: str, variables: dict[str, Any]) -> str:
    hosts = cluster.inventory(installed.place, {name: {} for name in NODES}, colocation_monitoring=True)
    with cluster.Controllers(installed.api):
        code, output = installed.play("remove_nodes", variables, "-i", str(hosts), "--limit", host)
    assert code == 0, output[-3000:]
    return output


def test_a_node_that_leaves_takes_nothing_from_the_others(installed: Site) -> None:
    """Also not where values wait in the inventory for the next rollout, which this is not."""
    before, made = cluster.values(installed.api), cluster.objects(installed.api)
    leave(installed, "node3", {"colocation_chart_values": {"manager": {"replicas": 2}}})
    assert cluster.values(installed.api) == before
    assert cluster.objects(installed.api) == made
    assert any("rubik" in name for name in made)
    labels = installed.api.kubectl("get", "nodes", "-l", f"{cluster.LABEL}=true", "-o", "name").split()
    assert labels == ["node/node1", "node/node2"]


def test_where_the_manager_is_pinned_to_the_node_only_that_is_changed(installed: Site) -> None:
    made = cluster.objects(installed.api)
    leave(installed, "node2", {"colocation_chart_values": {"manager": {"replicas": 2}}})
    want = {**INSTALLED, "manager": {**INSTALLED["manager"], "affinity": carried("node1")}}
    assert cluster.values(installed.api) == want
    assert cluster.objects(installed.api) == made
