"""Bad input gets a sentence, nothing is changed: each case through ansible-playbook, from the installed artifact."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.conftest import HOSTS, Site, inventory
from tests.lab import binaries
from tests.lab.config import CLONE

pytestmark = pytest.mark.apiserver


def policy(**spec: Any) -> dict[str, Any]:
    return {"colocation_policies": [{"name": "default", "spec": spec}]}


# Playbook, variables, what has to be said.
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a misspelt variable": (
        "site",
        {"colocation_polices": []},
        "There is no variable colocation_polices. Did you mean colocation_policies?",
    ),
    "a number that is a word": ("site", {"colocation_health_soak": "soon"}, "colocation_health_soak"),
    "kernel parameters that are no mapping": (
        "site",
        {"colocation_node_sysctls": ["vm.swappiness"]},
        "colocation_node_sysctls",
    ),
    "policies that are no list": ("site", {"colocation_policies": {"a": 1}}, "colocation_policies"),
    "a policy without a name": ("site", {"colocation_policies": [{"spec": {}}]}, "missing required arguments: name"),
    "a percentage of 300": (
        "upgrade",
        {"colocation_health_pressure_rise": 300},
        "colocation_health_pressure_rise is 300; it must be from 1 to 100.",
    ),
    "all hosts may fail": (
        "site",
        {"colocation_max_fail_percentage": 100},
        "colocation_max_fail_percentage is 100; it must be from 0 to 99.",
    ),
    "a Lease that nobody could renew in time": (
        "upgrade",
        {"colocation_manager_lease": 5},
        "colocation_manager_lease is 5; it must be from 30 to 3600.",
    ),
    "hosts prepared none at once": (
        "site",
        {"colocation_serial": "0%"},
        "colocation_serial: 0%: a wave is a number of hosts",
    ),
    "a wave of no hosts": ("upgrade", {"colocation_waves": [1, 0]}, "colocation_waves: 0: a wave is a number of hosts"),
    "a policy that contradicts itself": (
        "site",
        policy(evict={"memory": {"highPercent": 70, "lowPercent": 80}}),
        "evict.memory.lowPercent must be smaller than evict.memory.highPercent",
    ),
    "a contradiction between two sections, one of them a default": (
        "site",
        policy(report={"intervalSeconds": 300}),
        "oversell.staleAfterSeconds must be at least twice report.intervalSeconds",
    ),
    "a policy's value out of range": (
        "site",
        policy(oversell={"cpu": {"reclaimPercent": 140}}),
        "Policy default: spec.oversell.cpu.reclaimPercent: ",
    ),
    "a policy's value that is none of the choices": (
        "site",
        policy(suppress={"cpu": {"mode": "gently"}}),
        "Policy default: spec.suppress.cpu.mode: ",
    ),
    "a policy's value of another type": ("site", policy(enabled="perhaps"), "Policy default: spec.enabled: "),
    "a policy's misspelt field": (
        "site",
        policy(oversell={"cpu": {"reclaimPercnt": 50}}),
        "Policy default: spec.oversell.cpu has no field reclaimPercnt. Did you mean reclaimPercent?",
    ),
    "two policies of one name": (
        "site",
        {"colocation_policies": [{"name": "a", "spec": {}}, {"name": "a", "spec": {}}]},
        "Policy a is there 2 times.",
    ),
    "a policy's name with capitals": (
        "site",
        {"colocation_policies": [{"name": "Batch", "spec": {}}]},
        "Policy Batch: a name is made of a-z",
    ),
    "a kubeconfig that is not there": ("site", {"colocation_kubeconfig": "/nonexistent"}, "colocation_kubeconfig"),
    "helm that is not there": ("site", {"colocation_helm_binary": "/nonexistent"}, "Helm does not work at localhost"),
    "an image archive that is not there": (
        "site",
        {"colocation_image_archive": "/nonexistent.tar"},
        "There is no image archive /nonexistent.tar on this machine.",
    ),
    "a bundle that is not there": ("site", {"colocation_bundle": "/nonexistent.tar"}, "/nonexistent.tar"),
    "an upgrade of nothing": ("upgrade", {}, "Colocation is not rolled out on this cluster."),
    "new nodes for nothing": ("add_nodes", {}, "Colocation is not rolled out on this cluster."),
    "leaving, but not who": ("remove_nodes", {}, "Say with --limit which nodes are to leave"),
}


def refused(site: Site, playbook: str, variables: dict[str, Any], sentence: str, *extra: str) -> str:
    before = site.state()
    code, output = site.play(playbook, variables, *extra)
    assert code != 0, output[-3000:]
    assert sentence in output, output[-3000:]
    assert "Traceback" not in output
    assert site.state() == before
    return output


def test_good_input_goes_through(site: Site) -> None:
    code, output = site.play("site", {"colocation_mine": 1, "colocation_own_variables": ["colocation_mine"]}, "--check")
    assert code == 0, output[-3000:]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_a_sentence_and_nothing_is_changed(site: Site, case: str) -> None:
    refused(site, *CASES[case])


def test_a_host_that_is_no_node_is_named_with_the_nodes_there_are(site: Site) -> None:
    hosts = inventory(site.place, (*HOSTS, "stranger"))
    sentence = (
        "Inventory host stranger is no Node of this cluster, neither by name nor by InternalIP. Known Nodes: node1"
    )
    refused(site, "site", {}, sentence, "-i", str(hosts))


def test_two_hosts_that_are_one_node_are_named(site: Site) -> None:
    hosts = site.place / "same.json"
    rows = {h: {"ansible_connection": "local", "colocation_node_name": "node1"} for h in HOSTS}
    hosts.write_text(json.dumps({"colocation_nodes": {"hosts": rows}}))
    refused(site, "site", {}, "Inventory hosts node1 and node2 are the same Node node1.", "-i", str(hosts))


def test_a_removed_variable_is_told_with_its_replacement(site: Site) -> None:
    """None has been removed so far, so the installed copy is given an entry."""
    filters = site.collection / "plugins/filter/unknown_variables.py"
    text = filters.read_text()
    entry = '= {"colocation_old": "in 0.3.0; use colocation_policies instead"}'
    filters.write_text(text.replace("REMOVED: dict[str, str] = {}", f"REMOVED: dict[str, str] {entry}"))
    try:
        sentence = "The variable colocation_old was removed in 0.3.0; use colocation_policies instead."
        refused(site, "site", {"colocation_old": 1}, sentence)
    finally:
        filters.write_text(text)


def test_a_chart_of_another_version_is_refused(site: Site, tmp_path: Path) -> None:
    helm = [str(binaries.path("helm")), "package", str(CLONE / "charts/colocation-package"), "-d", str(tmp_path)]
    subprocess.run([*helm, "--version", "9.9.0"], check=True, capture_output=True)
    chart = tmp_path / "colocation-package-9.9.0.tgz"
    refused(site, "site", {"colocation_chart_ref": str(chart)}, "Chart 9.9.0 and collection")


def test_images_of_another_version_than_the_charts_are_refused(site: Site, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    body = json.dumps([{"RepoTags": ["localhost/openfuyao/colocation-manager:9.9.0"]}]).encode()
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(body)
        tar.addfile(member, io.BytesIO(body))
    sentence = "The image archive has version 9.9.0, and the chart would run"
    refused(site, "site", {"colocation_image_archive": str(archive)}, sentence)


def test_an_image_archive_that_is_none_is_told(site: Site, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_text("no archive")
    refused(site, "site", {"colocation_image_archive": str(archive)}, f"The image archive {archive} cannot be read")


def test_another_rollout_at_work_is_told(site: Site) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "colocation-rollout", "namespace": "kube-system"},
        "spec": {
            "holderIdentity": "somebody@elsewhere:1:1",
            "leaseDurationSeconds": 86400,
            "renewTime": "2099-01-01T00:00:00.000000Z",
        },
    }
    site.api.kubectl("create", "-f", "-", stdin=json.dumps(lease))
    try:
        refused(site, "site", {}, "Another rollout is at work: somebody@elsewhere")
    finally:
        site.api.kubectl("delete", "lease", "-n", "kube-system", "colocation-rollout")
