"""Preflight names what runs beside us on a real API server, and reads the kinds of others where they are served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .conftest import tasks

POLICY = """
apiVersion: descheduler/v1alpha2
kind: DeschedulerPolicy
profiles:
  - name: default
    pluginConfig:
      - {name: DefaultEvictor, args: {nodeFit: true}}
      - {name: LowNodeUtilization, args: {thresholds: {cpu: 4}, targetThresholds: {cpu: 5}}}
    plugins: {balance: {enabled: [LowNodeUtilization]}}
"""
VOLCANO = "tiers: [{plugins: [{name: usage, arguments: {thresholds: {cpu: 80}}}]}]\nmetrics: {type: prometheus}\n"
QOS = "openfuyao.com/qos-level"
TEMPLATE = {
    "metadata": {"labels": {"app": "b"}, "annotations": {QOS: "BE"}},
    "spec": {"containers": [{"name": "c", "image": "x", "args": ["--expendable-pods-priority-cutoff=-1000"]}]},
}


def crd(group: str, version: str, kind: str, plural: str, scope: str) -> dict[str, Any]:
    """As small as the API server takes it; the real ones say more about the same objects."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "names": names,
            "scope": scope,
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def thing(api: str, kind: str, name: str, namespace: str = "", **body: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


@pytest.fixture
def neighbours(api: ApiServer) -> Iterator[None]:
    kinds = [
        crd("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler", "verticalpodautoscalers", "Namespaced"),
        crd("kyverno.io", "v1", "ClusterPolicy", "clusterpolicies", "Cluster"),
    ]
    things = [
        thing("v1", "ConfigMap", "descheduler", "kube-system", data={"policy.yaml": POLICY}),
        thing(
            "v1", "ConfigMap", "volcano-scheduler-configmap", "kube-system", data={"volcano-scheduler.conf": VOLCANO}
        ),
        thing(
            "apps/v1",
            "Deployment",
            "batch",
            "default",
            spec={"selector": {"matchLabels": {"app": "b"}}, "template": TEMPLATE},
        ),
        thing(
            "autoscaling.k8s.io/v1",
            "VerticalPodAutoscaler",
            "vpa",
            "default",
            spec={"targetRef": {"kind": "Deployment", "name": "batch"}},
        ),
        thing(
            "kyverno.io/v1",
            "ClusterPolicy",
            "requests",
            spec={
                "rules": [
                    {
                        "name": "add",
                        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                        "mutate": {
                            "patchStrategicMerge": {"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}}
                        },
                    }
                ]
            },
        ),
    ]
    for one in kinds:
        api.kubectl("apply", "-f", "-", stdin=json.dumps(one))
    for plural in ("verticalpodautoscalers.autoscaling.k8s.io", "clusterpolicies.kyverno.io"):
        api.kubectl("wait", "crd", plural, "--for=condition=Established", "--timeout=30s")
        eventually(partial(api.kubectl, "get", plural, "-A", "-o", "json"), 30, plural)
    for one in things:
        api.kubectl("apply", "-f", "-", stdin=json.dumps(one))
    yield
    for one in reversed(kinds + things):
        api.kubectl("delete", "-f", "-", stdin=json.dumps(one))


CLUSTER_INFO: dict[str, Any] = {"openfuyao.colocation.cluster_info": {}}


def test_a_cluster_without_neighbours_gets_no_sentence(api: ApiServer, tmp_path: Path) -> None:
    (answer,) = tasks(tmp_path, api, CLUSTER_INFO)
    assert not [s for s in answer["warnings_found"] if "best-effort" in s]


@pytest.mark.usefixtures("neighbours")
def test_each_neighbour_is_named_with_its_object(api: ApiServer, tmp_path: Path) -> None:
    (answer,) = tasks(tmp_path, api, CLUSTER_INFO)
    found = answer["warnings_found"]
    for wanted in (
        "ConfigMap kube-system/descheduler, key policy.yaml, profile default: LowNodeUtilization",
        "ConfigMap kube-system/volcano-scheduler-configmap, key volcano-scheduler.conf: the plugin usage",
        "Deployment default/batch has --expendable-pods-priority-cutoff=-1000",
        "VerticalPodAutoscaler default/vpa evicts",
        "ClusterPolicy requests, rule add: it writes cpu or memory",
    ):
        assert len([s for s in found if s.startswith(wanted)]) == 1, found
    assert not answer["problems"], "warnings stop no roll-out"
