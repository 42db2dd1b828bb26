"""The inventory plugin, by ansible-inventory, against a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.apiserver import ApiServer

from .conftest import ansible


def listed(folder: Path, api: ApiServer, *argv: str, **options: Any) -> dict[str, Any]:
    answer = ansible(
        "ansible-inventory", "-i", written(folder, kubeconfig=str(api.kubeconfig), **options), "--list", *argv
    )
    # ansible marks what came from elsewhere, so that nobody takes it for a template
    found: dict[str, Any] = json.loads(answer, object_hook=lambda o: o.get("__ansible_unsafe", o))
    return found


def written(folder: Path, **options: Any) -> Path:
    file = folder / "lab.nodes.colocation.yml"
    file.write_text(yaml.safe_dump({"plugin": "openfuyao.colocation.nodes", **options}))
    return file


def hosts(found: dict[str, Any], group: str) -> list[str]:
    return sorted(found.get(group, {}).get("hosts", []))


def test_nodes_are_hosts_in_the_groups_that_the_playbooks_use(api: ApiServer, tmp_path: Path) -> None:
    found = listed(tmp_path, api)
    assert hosts(found, "colocation_nodes") == ["batch-1", "web-1"], "not the control plane"
    assert hosts(found, "colocation_taking_part") == ["batch-1"]
    assert hosts(found, "pool_batch_big") == ["batch-1"], "the first pool label counts"
    assert hosts(found, "pool_web") == ["web-1"]
    assert hosts(found, "pool_other") == []
    assert hosts(found, "label_kubernetes_io_arch_amd64") == ["master-1", "web-1"]
    assert hosts(found, "label_topology_kubernetes_io_zone_eu_1a") == ["web-1"]
    known = found["_meta"]["hostvars"]["web-1"]
    assert (known["ansible_host"], known["colocation_node_name"]) == ("10.0.0.2", "web-1")
    assert known["kubernetes_ready"] is False
    assert known["kubernetes_labels"]["pool"] == "web"


def test_selectors_and_constructed_features_choose_among_them(api: ApiServer, tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        api,
        label_selector="kubernetes.io/arch",
        workers="pool in (web), !gpu",
        only_ready=True,
        address=["Hostname"],
        compose={"ansible_user": "'root'"},
        groups={"colocation_canary": "kubernetes_labels['kubernetes.io/arch'] == 'arm64'"},
        keyed_groups=[{"key": "kubernetes_labels['kubernetes.io/arch']", "prefix": "arch"}],
    )
    assert hosts(found, "colocation_nodes") == [], "web-1 is not ready"
    assert hosts(found, "colocation_canary") == hosts(found, "arch_arm64") == ["batch-1"]
    known = found["_meta"]["hostvars"]["batch-1"]
    assert (known["ansible_host"], known["ansible_user"]) == ("batch-1", "root")


def test_a_kept_answer_needs_no_cluster_and_flushing_asks_again(api: ApiServer, tmp_path: Path) -> None:
    kept = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "kept"),
        "cache_timeout": 300,
    }
    first = listed(tmp_path, api, **kept)
    api.kubectl("label", "node", "web-1", "new=label")
    try:
        assert listed(tmp_path, api, **kept) == first
        assert (
            listed(tmp_path, api, "--flush-cache", **kept)["_meta"]["hostvars"]["web-1"]["kubernetes_labels"]["new"]
            == "label"
        )
    finally:
        api.kubectl("label", "node", "web-1", "new-")


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"kubeconfig": "nowhere"}, "there is no file"),
        ({"workers": "a b"}, "'a b' is no label selector"),
        ({"label_selector": "a in"}, "The Nodes could not be listed"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(
    api: ApiServer, tmp_path: Path, options: dict[str, Any], answer: str
) -> None:
    file = written(tmp_path, **{"kubeconfig": str(api.kubeconfig), **options})
    assert answer in " ".join(
        ansible(
            "ansible-inventory", "-i", file, "--list", fails=True, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="1"
        ).split()
    )
