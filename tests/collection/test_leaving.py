"""Draining a node through the module, against a real API server: what refuses an eviction is the server's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collection.conftest import put_node, tasks
from tests.lab.apiserver import ApiServer

pytestmark = pytest.mark.apiserver
LABEL = "node.openfuyao.com/colocation"


def pod(api: ApiServer, name: str) -> None:
    """A best-effort pod on the node. Grace 0: nobody runs a kubelet that would say that it has ended."""
    api.kubectl(
        "create",
        "-f",
        "-",
        stdin=json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": {"app": name}, "annotations": {"openfuyao.com/qos-level": "BE"}},
                "spec": {
                    "nodeName": "leaver",
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "c", "image": "i", "resources": {}}],
                },
            }
        ),
    )
    api.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", '{"status": {"phase": "Running"}}')


def budget(api: ApiServer, name: str, app: str) -> None:
    api.kubectl("create", "poddisruptionbudget", name, f"--selector=app={app}", "--min-available=1")


@pytest.fixture
def leaver(tmp_path: Path, api: ApiServer) -> Iterator[ApiServer]:
    put_node(api, tmp_path, "leaver", {LABEL: "true"}, "10.0.9.9")
    for name in ("a-kept", "b-free"):
        pod(api, name)
    yield api
    api.kubectl("delete", "pdb", "--all")
    api.kubectl("delete", "pod", "--all", "--grace-period=0", "--force")
    api.kubectl("delete", "node", "leaver")


def drain(tmp_path: Path, api: ApiServer) -> dict[str, Any]:
    [result] = tasks(
        tmp_path,
        api,
        {"openfuyao.colocation.node_state": {"nodes": ["leaver"], "state": "absent", "drain": True, "timeout": 3}},
    )
    return result


def there(api: ApiServer) -> tuple[list[str], str | None]:
    """The pods, and the Node's label."""
    pods = api.kubectl("get", "pods", "-o", "name").split()
    labels = json.loads(api.kubectl("get", "node", "leaver", "-o", "json"))["metadata"].get("labels", {})
    return pods, labels.get(LABEL)


def test_a_pod_under_two_budgets_stops_before_anything_is_changed(tmp_path: Path, leaver: ApiServer) -> None:
    """The API server answers such an eviction with 500, now and ever after."""
    budget(leaver, "one", "a-kept")
    budget(leaver, "two", "a-kept")
    result = drain(tmp_path, leaver)
    assert (
        "1 best-effort pod(s) cannot be evicted: default/a-kept (This pod has more than one PodDisruptionBudget"
        in result["msg"]
    )
    assert there(leaver) == (["pod/a-kept", "pod/b-free"], "true")


def test_where_one_pod_stays_the_others_have_gone_and_the_node_keeps_its_label(
    tmp_path: Path, leaver: ApiServer
) -> None:
    budget(leaver, "one", "a-kept")
    result = drain(tmp_path, leaver)
    assert "1 best-effort pod(s) have not left within 3 s: default/a-kept (" in result["msg"]
    assert "Node(s) leaver have their label again." in result["msg"]
    assert there(leaver) == (["pod/a-kept"], "true")
