"""Pods older than the label get it from their annotation; what has one, or opted out, is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.apiserver import ApiServer

from .conftest import tasks

KEY = "openfuyao.com/qos-level"
LABELS: dict[str, Any] = {"openfuyao.colocation.pod_labels": {}}


def put(api: ApiServer, name: str, qos: str | None, namespace: str = "default", **metadata: Any) -> None:
    metadata = {"name": name, "namespace": namespace, **metadata}
    if qos:
        metadata["annotations"] = {KEY: qos}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    api.kubectl("create", "-f", "-", stdin=json.dumps(body))


def labels(api: ApiServer) -> dict[str, str]:
    items = json.loads(api.kubectl("get", "pods", "-A", "-o", "json"))["items"]
    return {p["metadata"]["name"]: p["metadata"].get("labels", {}).get(KEY, "") for p in items}


def test_old_pods_are_labelled_once_and_nothing_else_is(api: ApiServer, tmp_path: Path) -> None:
    api.kubectl("create", "namespace", "left-alone")
    api.kubectl("label", "namespace", "left-alone", "colocation.openfuyao.com/mutate=false")
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    put(api, "old-be", "BE")
    put(api, "old-hls", "HLS", labels={"app": "a"})
    put(api, "wrong", "BE", labels={KEY: "LS"})
    put(api, "plain", None)
    put(api, "nonsense", "X")
    put(api, "daemon", "LS", ownerReferences=[daemon])
    put(api, "opted-out", "BE", labels={"colocation.openfuyao.com/mutate": "false"})
    put(api, "elsewhere", "BE", "left-alone")
    nothing = dict.fromkeys(("plain", "nonsense", "daemon", "opted-out", "elsewhere"), "")

    (would,) = tasks(tmp_path, api, LABELS, check=True)
    assert (would["changed"], would["pods"]) == (True, {"HLS": 1, "BE": 1})
    assert labels(api) == nothing | {"old-be": "", "old-hls": "", "wrong": "LS"}, "check mode changes nothing"

    did, again = tasks(tmp_path, api, LABELS, LABELS)
    assert (did["changed"], did["pods"]) == (True, {"HLS": 1, "BE": 1})
    assert did["diff"]["after"]["default/old-be"] == f"{KEY}: BE"
    assert (again["changed"], again["pods"]) == (False, {})
    assert labels(api) == nothing | {"old-be": "BE", "old-hls": "HLS", "wrong": "LS"}
    api.kubectl("delete", "pods", "--all", "-A", "--force", "--grace-period=0")
