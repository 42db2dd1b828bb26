"""What preflight says of LimitRanges and ResourceQuotas is what the API server does with best-effort pods."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster

from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.waiting import eventually

from .conftest import NAMESPACE, Pods, apply, container, pod

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
    ("default-only", {"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}}),
    ("request-only", {"type": "Container", "defaultRequest": {"cpu": "1", "memory": "1Gi"}}),
    ("default-and-max", {"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}),
    ("both-bounds", {"type": "Pod", "min": {"cpu": "1m"}, "max": {"cpu": "9", "memory": "9Gi"}}),
    ("ephemeral", {"type": "Container", "max": {"ephemeral-storage": "9Gi"}}),
    ("hugepages", {"type": "Pod", "max": {"hugepages-2Mi": "9Gi"}}),
    ("ephemeral-of-pods", {"type": "Pod", "max": {"ephemeral-storage": "9Gi"}}),
    ("ephemeral-ratio", {"type": "Container", "maxLimitRequestRatio": {"ephemeral-storage": "2"}}),
    ("ephemeral-min", {"type": "Container", "min": {"ephemeral-storage": "1Ki"}}),
    (
        "ephemeral-default",
        {
            "type": "Container",
            "default": {"ephemeral-storage": "1Gi"},
            "maxLimitRequestRatio": {"ephemeral-storage": "2"},
        },
    ),
    ("ours", {"type": "Pod", "max": {"kubernetes.io/be-cpu": "9000", "kubernetes.io/be-memory": "9Gi"}}),
    ("storage", {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}),
]
SELECTOR = "scopeSelector"
QUOTAS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "plain": ({"requests.cpu": "100"}, {}),
    "short": ({"cpu": "100"}, {}),
    "memory": ({"requests.memory": "100Gi"}, {}),
    "limits-cpu": ({"limits.cpu": "100"}, {}),
    "ephemeral": ({"requests.ephemeral-storage": "100Gi"}, {}),
    "limits-ephemeral": ({"limits.ephemeral-storage": "100Gi"}, {}),
    "hugepages": ({"requests.hugepages-2Mi": "100Gi"}, {}),
    "objects": ({"configmaps": "100", "count/jobs.batch": "5"}, {}),
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


@pytest.fixture
def defaults(api: ApiServer) -> Iterator[Callable[[str], list[str]]]:
    """Makes another class the cluster's default (empty: none), and returns what preflight then reports."""

    def put(name: str, *, is_default: bool) -> None:
        # globalDefault can be changed, the value cannot.
        body = {"metadata": {"name": name}, "value": 5, "globalDefault": is_default}
        apply(api, apiVersion="scheduling.k8s.io/v1", kind="PriorityClass", **body)

    def change(name: str) -> list[str]:
        put("ordinary", is_default=name == "ordinary")
        put("later", is_default=name == "later")
        classes = api_get(api, "/apis/scheduling.k8s.io/v1/priorityclasses")["items"]
        policy = api_get(api, "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/colocation-pods")
        manager = api_get(api, f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/colocation-manager")
        known = _cluster.known_default(policy or None, manager)
        assert known == "ordinary", "what the chart was installed for"
        return list(_cluster.default_warnings(_cluster.global_default(classes), known))

    yield change
    change("ordinary")
    api.kubectl("delete", "priorityclass", "later")
    eventually(lambda: Pods(api, "default").admits(best_effort()), 10)


def api_get(api: ApiServer, path: str) -> dict[str, Any]:
    """Empty where the API server has no such thing."""
    try:
        found: dict[str, Any] = json.loads(api.kubectl("get", "--raw", path))
    except LabError:
        return {}
    return found


def test_a_default_priority_is_told_if_and_only_if_pods_are_refused_by_it(
    api: ApiServer, defaults: Callable[[str], list[str]]
) -> None:
    pods = Pods(api, "default")
    assert len(defaults("later")) == 1
    eventually(lambda: not pods.admits(best_effort()), 10, "refused")
    assert "is that class the cluster's default?" in pods.refusal(best_effort())
    for name in ("", "ordinary"):
        assert defaults(name) == []
        eventually(lambda: pods.admits(best_effort()), 10, f"admitted by the default {name!r}")
