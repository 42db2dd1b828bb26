"""Which hosts a play takes, how many at once, which it leaves for later; through ansible-playbook, in check mode."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ansible import cluster
from tests.ansible.conftest import Site
from tests.ansible.test_bad_input import refused

pytestmark = pytest.mark.apiserver
EVERY = (
    "add_nodes",
    "backup",
    "preflight",
    "remove_nodes",
    "report",
    "restore",
    "rollback",
    "site",
    "uninstall",
    "upgrade",
    "verify",
)


def grouped(site: Site, group: str, hosts: dict[str, dict[str, Any]], **variables: Any) -> str:
    rows = {name: {"ansible_connection": "local", **row} for name, row in hosts.items()}
    path = site.place / f"hosts-{abs(hash(json.dumps([group, rows, variables])))}.json"
    path.write_text(json.dumps({group: {"hosts": rows, "vars": variables}}))
    return str(path)


@pytest.mark.parametrize("playbook", EVERY)
def test_a_misspelt_group_is_an_error(site: Site, playbook: str) -> None:
    output = refused(
        site,
        playbook,
        {},
        "The inventory has no host in a group colocation_nodes",
        "-i",
        grouped(site, "colocation_node", {"node1": {}}),
    )
    assert "Did you mean colocation_nodes where it says colocation_node?" in output


def test_a_limit_that_leaves_no_node_is_an_error(site: Site) -> None:
    hosts = Path(grouped(site, "colocation_nodes", {"node1": {}}))
    more = json.loads(hosts.read_text()) | {"others": {"hosts": {"web1": {"ansible_connection": "local"}}}}
    both = site.place / "both.json"
    both.write_text(json.dumps(more))
    refused(
        site,
        "site",
        {},
        "--limit web1 leaves no host of the group colocation_nodes",
        "-i",
        str(both),
        "--limit",
        "web1",
    )


@pytest.fixture
def installed(site: Site) -> Iterator[Site]:
    """As far as upgrade in check mode asks: the record of a roll-out is there."""
    site.api.kubectl("create", "namespace", cluster.NAMESPACE)
    cluster.record(site.api, "before", {"namespaceMade": False, "labelsBefore": {}})
    yield site
    site.api.kubectl("delete", "configmap", *cluster.NS, "colocation-rollout")
    site.api.kubectl(
        "replace", "--raw", f"/api/v1/namespaces/{cluster.NAMESPACE}/finalize", "-f", "-", stdin=gone(site)
    )


def gone(site: Site) -> str:
    """Nobody runs the controller that ends a namespace."""
    site.api.kubectl("delete", "namespace", cluster.NAMESPACE, "--wait=false")
    found = json.loads(site.api.kubectl("get", "namespace", cluster.NAMESPACE, "-o", "json"))
    return json.dumps({**found, "spec": {"finalizers": []}})


def test_how_many_hosts_are_prepared_at_once_is_heard_from_the_inventory(installed: Site) -> None:
    hosts = grouped(installed, "colocation_nodes", {"node1": {}, "node2": {}}, colocation_serial=1)
    for playbook in ("site", "upgrade"):
        _, output = installed.play(playbook, {}, "--check", "-i", hosts)
        assert output.count("PLAY [Prepare the nodes]") == 2, output[-3000:]


def test_waves_are_heard_from_the_inventory(installed: Site) -> None:
    hosts = grouped(installed, "colocation_nodes", {"node1": {}, "node2": {}}, colocation_waves=[2])
    _, output = installed.play("upgrade", {}, "--check", "-i", hosts)
    assert output.count("PLAY [Upgrade the other agents, wave by wave]") == 1, output[-3000:]


@pytest.mark.parametrize("name", ["colocation_waves", "colocation_serial", "colocation_max_fail_percentage"])
def test_hosts_that_disagree_on_it_are_told(site: Site, name: str) -> None:
    hosts = grouped(site, "colocation_nodes", {"node1": {}, "node2": {name: 7}})
    refused(site, "site", {}, f"{name} is 7 for node2 and", "-i", hosts)


@pytest.fixture
def sick(site: Site) -> Iterator[Site]:
    cluster.ready(site.api, "node1")
    cluster.ready(site.api, "node2", "False")
    yield site
    cluster.ready(site.api, "node2")


def test_a_sick_node_is_named_and_one_more_than_stated_stops_the_play(sick: Site) -> None:
    code, output = sick.play("site", {}, "--check")
    assert code == 0, output[-3000:]
    assert "Node node2 is not ready: Test." in output
    sentence = "1 nodes are sick, and colocation_max_sick_nodes allows 0. Node node2 is not ready: Test."
    refused(sick, "site", {"colocation_max_sick_nodes": 0}, sentence)


def test_an_empty_bundle_is_no_bundle(site: Site) -> None:
    code, output = site.play("site", {"colocation_bundle": ""}, "--check")
    assert code == 0, output[-3000:]


def test_there_is_a_play_to_count(site: Site) -> None:
    text = (site.collection / "playbooks/upgrade.yml").read_text()
    assert re.findall(r"- name: (?:Prepare the nodes|Upgrade the other agents, wave by wave)$", text, re.MULTILINE)


@pytest.mark.parametrize(("may", "goes_on"), [("1", True), ("0", False)])
def test_a_node_that_publishes_nothing_is_named_and_left_for_later(
    site: Site, tmp_path: Path, may: str, *, goes_on: bool
) -> None:
    """Up to the number that was stated; the others take part."""
    two: dict[str, dict[str, Any]] = {"node1": {}, "node2": {}}
    with cluster.running(tmp_path / "api", tuple(two), take_part=False) as api:
        chart = next((site.collection / "roles/colocation_manager/files").glob("*.tgz"))
        cluster.install(api, chart, {"agent": {"updateStrategy": "OnDelete"}}, tuple(two))
        here = dataclasses.replace(site, api=api)
        variables = {"colocation_max_sick_nodes": may, "colocation_manager_timeout": 20}
        with cluster.Controllers(api, silent=("node2",)):
            code, output = here.play(
                "site", variables, "-i", str(cluster.inventory(here.place, two)), "--tags", "colocation_manager_run"
            )
    assert (code == 0) is goes_on, output[-3000:]
    why = "the manager has made no NodeColocation for it"
    if goes_on:
        assert f"node2 takes part and has published nothing yet: {why}" in output
        assert "node1 takes part and oversells" in output
    else:
        assert f"1 of 2 node(s) have published nothing within 20 s. node2: {why}" in output
