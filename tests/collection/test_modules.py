"""Modules that speak with the API server: policy, node_wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.apiserver import ApiServer

from .conftest import beat, set_status, tasks


def policy(**options: Any) -> dict[str, Any]:
    return {"openfuyao.colocation.policy": {"name": "p", **options}}


def stored(api: ApiServer) -> Any:
    answer = api.kubectl("get", "cpol", "p", "-o", "json", "--ignore-not-found")
    return json.loads(answer)["spec"] if answer.strip() else None


WANTED = {
    "priority": 7,
    "node_selector": {"match_labels": {"my_pool/x_y": "a_b"}},
    "oversell": {"cpu": {"reclaim_percent": 75}},
}


def test_a_policy_is_made_changed_and_removed_and_the_second_run_changes_nothing(
    api: ApiServer, tmp_path: Path
) -> None:
    tried = tasks(tmp_path, api, policy(**WANTED), check=True)[0]
    assert tried["changed"], "check mode says what it would do"
    assert tried["diff"]["after"]["oversell"]["cpu"]["reclaimPercent"] == 75
    assert stored(api) is None, "and does not do it"

    made, again = tasks(tmp_path, api, policy(**WANTED), policy(**WANTED))
    assert (made["changed"], made["changes"], again["changed"]) == (True, ["made p"], False)
    assert made["policy"]["oversell"]["stale_after_seconds"] == 180, "options in, options out"
    assert stored(api)["nodeSelector"] == {"matchLabels": {"my_pool/x_y": "a_b"}}

    changed, gone, not_there = tasks(
        tmp_path, api, policy(enabled=False), policy(state="absent"), policy(state="absent")
    )
    assert "oversell.cpu.reclaimPercent: 75 -> 60" in changed["changes"], "what is left out has its default"
    assert "enabled: True -> False" in changed["changes"]
    assert (gone["changed"], not_there["changed"]) == (True, False)
    assert stored(api) is None


def test_a_policy_that_contradicts_itself_is_refused_with_object_and_field_in_check_mode_too(
    api: ApiServer, tmp_path: Path
) -> None:
    bad = policy(oversell={"stale_after_seconds": 60}, report={"interval_seconds": 60})
    range_ = policy(oversell={"cpu": {"reclaim_percent": 101}})
    unknown = policy(oversell={"cpu": {"reclaimPercent": 50}})
    for check in (True, False):
        result = [r["msg"] for r in tasks(tmp_path, api, bad, range_, unknown, check=check)]
        assert "ColocationPolicy p is refused" in result[0]
        assert "staleAfterSeconds" in result[0]
        assert "spec.oversell.cpu.reclaimPercent" in result[1]
        assert "reclaimPercent" in result[2]
        assert "reclaim_percent" in result[2], "the options there are"
    assert stored(api) is None


def test_waiting_until_ready_counts_only_what_kubelet_says_after_its_restart(api: ApiServer, tmp_path: Path) -> None:
    def wait(**options: Any) -> dict[str, Any]:
        return {"openfuyao.colocation.node_wait": {"condition": "ready", "timeout": 0, **options}}

    now, down, unknown = tasks(
        tmp_path, api, wait(nodes=["batch-1"]), wait(nodes=["batch-1", "web-1"]), wait(nodes=["x"])
    )
    assert now["heartbeats"] == {"batch-1": "2026-11-21T10:00:00Z"}
    assert down["msg"] == "1 of 2 node(s) are not ready after 0 s. web-1: is not ready (container runtime is down)."
    assert "x: there is no such Node" in unknown["msg"]

    after = wait(nodes=["batch-1"], after=now["heartbeats"])
    assert "has not reported since 2026-11-21T10:00:00Z" in tasks(tmp_path, api, after)[0]["msg"]
    set_status(api, "batch-1", {"conditions": [beat("2026-11-21T10:00:10Z")]})
    assert not tasks(tmp_path, api, after)[0]["failed"]


def node_info(machine: str, boot: str) -> dict[str, Any]:
    """What kubelet reports of its machine; the API server wants every field."""
    versions = ("kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion")
    known = dict.fromkeys((*versions, "operatingSystem", "architecture"), "x")
    return {"nodeInfo": {**known, "machineID": machine, "systemUUID": "x", "bootID": boot}}


def test_a_node_is_back_after_a_reboot_once_its_kubelet_reports_the_new_boot(api: ApiServer, tmp_path: Path) -> None:
    wait = {"nodes": ["batch-1"], "condition": "ready", "timeout": 0, "boots": {"batch-1": "new-boot"}}
    set_status(api, "batch-1", node_info("m1", "old-boot"))
    assert (
        "has not reported since the reboot" in tasks(tmp_path, api, {"openfuyao.colocation.node_wait": wait})[0]["msg"]
    )
    set_status(api, "batch-1", node_info("m1", "new-boot"))
    assert not tasks(tmp_path, api, {"openfuyao.colocation.node_wait": wait})[0]["failed"]


def test_a_host_with_a_nodes_name_and_another_machine_is_no_node(api: ApiServer, tmp_path: Path) -> None:
    set_status(api, "batch-1", node_info("m1", "boot"))

    def ask(**answer: str) -> dict[str, Any]:
        return {"openfuyao.colocation.cluster_info": {"hosts": {"batch-1": answer}}}

    same, other, moved = tasks(
        tmp_path,
        api,
        ask(machine_id="m1", boot_id="boot"),
        ask(machine_id="m2", boot_id="boot2"),
        {"openfuyao.colocation.cluster_info": {"hosts": {"elsewhere": {"machine_id": "m1", "boot_id": "boot"}}}},
    )
    assert (same["hosts"], same["host_problems"]) == ({"batch-1": "batch-1"}, [])
    assert other["hosts"] == {}
    assert "Inventory host batch-1 is not the machine of Node batch-1" in other["host_problems"][0]
    assert moved["hosts"] == {"elsewhere": "batch-1"}


def test_waiting_until_published_says_what_is_missing(api: ApiServer, tmp_path: Path) -> None:
    waits = {"openfuyao.colocation.node_wait": {"nodes": ["batch-1"], "timeout": 0}}
    assert "1 of 1 node(s) are not published" in tasks(tmp_path, api, waits)[0]["msg"]
    keys = {"kubernetes.io/be-cpu": "1000", "kubernetes.io/be-memory": "1000"}
    set_status(api, "batch-1", {"capacity": keys, "allocatable": keys})
    assert "has made no NodeColocation for it" in tasks(tmp_path, api, waits)[0]["msg"], "it is somebody else's number"
    kind = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "NodeColocation"}
    api.kubectl("create", "-f", "-", stdin=json.dumps({**kind, "metadata": {"name": "batch-1"}, "spec": {}}))
    reported = json.dumps({"status": {"observedAt": "2026-11-21T10:00:00Z"}})
    api.kubectl("patch", "nodecolocation", "batch-1", "--subresource=status", "--type=merge", "-p", reported)
    assert not tasks(tmp_path, api, waits)[0]["failed"]
