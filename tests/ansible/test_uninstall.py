"""uninstall takes everything from the cluster that was meant, and nothing from any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible import cluster
from tests.ansible.conftest import Site
from tests.ansible.test_bad_input import refused

pytestmark = pytest.mark.apiserver
NODES = ("node1", "node2", "node3")


@pytest.fixture(scope="module")
def installed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with cluster.running(tmp_path_factory.mktemp("uninstall"), NODES) as api:
        chart = next((site.collection / "roles/colocation_manager/files").glob("*.tgz"))
        cluster.install(api, chart, {"agent": {"updateStrategy": "OnDelete"}}, NODES)
        yield dataclasses.replace(site, api=api)


@pytest.fixture
def hosts(installed: Site) -> Path:
    return cluster.inventory(installed.place, {name: {} for name in NODES})


def server(installed: Site) -> str:
    return f"127.0.0.1:{installed.api.port}"


def test_a_part_of_the_nodes_is_refused(installed: Site, hosts: Path) -> None:
    sentence = "from the whole cluster, and --limit node1 would put only some of its nodes back"
    refused(
        installed,
        "uninstall",
        {"colocation_uninstall": server(installed)},
        sentence,
        "-i",
        str(hosts),
        "--limit",
        "node1",
    )


def test_nodes_that_the_inventory_lacks_are_named(installed: Site) -> None:
    two = cluster.inventory(installed.place, {"node1": {}, "node2": {}})
    sentence = "node3 take part in the colocation, and no host of colocation_nodes is one of them"
    refused(installed, "uninstall", {"colocation_uninstall": server(installed)}, sentence, "-i", str(two))


@pytest.mark.parametrize("meant", ["", "kubernetes", "10.0.0.1:6443"])
def test_another_cluster_or_none_is_refused_with_this_ones_address(installed: Site, hosts: Path, meant: str) -> None:
    """Nobody is there to type an answer, so an answer that was not given is none."""
    variables = {"colocation_uninstall": meant} if meant else {}
    sentence = f"If that is the one, say -e colocation_uninstall={server(installed)}."
    refused(installed, "uninstall", variables, sentence, "-i", str(hosts))


def test_the_cluster_that_was_meant_has_nothing_of_it_afterwards(installed: Site, hosts: Path) -> None:
    variables = {"colocation_uninstall": server(installed)}
    with cluster.Controllers(installed.api):
        code, output = installed.play("uninstall", variables, "-i", str(hosts))
    assert code == 0, output[-3000:]
    assert "openfuyao" not in installed.api.kubectl("get", "crd", "-o", "name")
    assert "colocation" not in installed.api.kubectl("get", "nodes", "--show-labels")
    assert installed.api.kubectl("get", "secrets", "-A", "-l", "owner=helm", "-o", "name") == ""
