"""What preflight says of LimitRanges and ResourceQuotas is what the API server does with best-effort pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster

import tests.unit.conftest  # noqa: F401 -- it makes the collection importable
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.waiting import eventually

from .conftest import Pods, apply, container, pod

LIMITS: list[tuple[str, dict[str, Any]]] = [
    (f"{kind}-{bound}-{key}".lower(), {"type": kind, bound: {key: "2" if key == "cpu" else "2Gi"}})
    for kind in ("Container", "Pod")
    for bound in ("min", "max", "maxLimitRequestRatio")
    for key in ("cpu", "memory")
]
LIMITS = [
    (
        n,
        {**row, "maxLimitRequestRatio": dict.fromkeys(row["maxLimitRequestRatio"], "2")}
        if "maxLimitRequestRatio" in row
        else row,
    )
    for n, row in LIMITS
]
LIMITS += [
    ("defaults", {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}),
    ("storage", {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}),
]
SELECTOR = "scopeSelector"
QUOTAS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "plain": ({"requests.cpu": "100"}, {}),
    "limits": ({"limits.memory": "100Gi"}, {}),
    "pods": ({"pods": "100"}, {}),
    "advised": ({"requests.colocation.openfuyao.com/be-pods": "100"}, {}),
    "online-only": ({"requests.cpu": "100"}, {"scopes": ["NotBestEffort"]}),
    "online-by-selector": (
        {"requests.cpu": "100"},
        {SELECTOR: {"matchExpressions": [{"scopeName": "NotBestEffort", "operator": "Exists"}]}},
    ),
    "ending": ({"requests.cpu": "100"}, {"scopes": ["NotTerminating"]}),
}
ROWS: dict[str, dict[str, Any]] = {
    "other-priority": {"operator": "In", "values": ["ordinary"]},
    "our-priority": {"operator": "In", "values": ["priority-be"]},
    "not-ours": {"operator": "NotIn", "values": ["priority-be"]},
    "not-others": {"operator": "NotIn", "values": ["ordinary"]},
    "any-priority": {"operator": "Exists"},
    "no-priority": {"operator": "DoesNotExist"},
}
for _name, _row in ROWS.items():
    _expression = {"scopeName": "PriorityClass", **_row}
    QUOTAS[_name] = ({"requests.cpu": "100"}, {SELECTOR: {"matchExpressions": [_expression]}})


def best_effort() -> dict[str, Any]:
    return pod(container("a", {"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}))


@pytest.mark.parametrize(("name", "limit"), LIMITS, ids=[name for name, _ in LIMITS])
def test_a_limit_range_is_told_if_and_only_if_it_refuses(api: ApiServer, name: str, limit: dict[str, Any]) -> None:
    space = f"limit-{name}"
    api.kubectl("create", "namespace", space)
    body = {"metadata": {"name": "l", "namespace": space}, "spec": {"limits": [limit]}}
    apply(api, apiVersion="v1", kind="LimitRange", **body)
    result = _cluster.limit_warnings([body])
    pods = Pods(api, space)
    # The API server reads LimitRanges by a watch.
    eventually(lambda: pods.admits(best_effort()) == (not result), 10, f"{result}: {outcome(pods)}")


@pytest.mark.parametrize("name", QUOTAS)
def test_a_quota_is_told_if_and_only_if_it_refuses(api: ApiServer, name: str) -> None:
    hard, scope = QUOTAS[name]
    space = f"quota-{name}"
    api.kubectl("create", "namespace", space)
    body = {"metadata": {"name": "q", "namespace": space}, "spec": {"hard": hard, **scope}}
    apply(api, apiVersion="v1", kind="ResourceQuota", **body)
    count(api, space, "q", hard)
    result = _cluster.quota_warnings([body])
    pods = Pods(api, space)
    eventually(lambda: pods.admits(best_effort()) == (not result), 10, f"{result}: {outcome(pods)}")


def count(api: ApiServer, namespace: str, name: str, hard: dict[str, str]) -> None:
    """As the quota controller does, which does not run here."""
    status = json.dumps({"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})
    where = ["resourcequota", name, f"--namespace={namespace}", "--subresource=status", "--type=merge"]
    api.kubectl("patch", *where, "-p", status)


def outcome(pods: Pods) -> str:
    try:
        pods.admit(best_effort())
    except LabError as error:
        return str(error)
    return "admitted"
