"""What keeps a pod where it is, and which nodes its spec allows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from colocation.model.constraints import PlacedPod, fits, obstacle
from colocation.model.wire import Taint

OWNER = [{"kind": "Job", "name": "j", "uid": "u", "controller": True}]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OURS = {"kubernetes.io/be-cpu": "100", "kubernetes.io/be-memory": "1", "colocation.openfuyao.com/be-pods": "1"}


def pod(owners: Any = OWNER, requests: Any = OURS, ports: Any = None, **spec: Any) -> PlacedPod:
    container = {"name": "c", "resources": {"requests": requests}, **({"ports": ports} if ports else {})}
    body = {"metadata": {"name": "p", "ownerReferences": owners}, "spec": {"containers": [container], **spec}}
    return msgspec.convert(body, PlacedPod)


def node_affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


def term(key: str, operator: str, *values: str, kind: str = "matchExpressions") -> dict[str, Any]:
    return {kind: [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pod(), ""),
        (pod(owners=[]), "no controller"),
        (pod(owners=[{"kind": "Job", "name": "j", "uid": "u"}]), "no controller"),
        (pod(affinity={"podAffinity": {REQUIRED: [{"topologyKey": "zone"}]}}), "pod affinity"),
        (pod(affinity={"podAntiAffinity": {REQUIRED: [{"topologyKey": "zone"}]}}), "pod affinity"),
        (pod(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone"}]), "spread constraints"),
        (pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]), "volume v (persistentVolumeClaim)"),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/x"}}]), "volume v (hostPath)"),
        (pod(volumes=[{"name": "v", "ephemeral": {}}]), "volume v (ephemeral)"),
        (pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}]), ""),
        (pod(resourceClaims=[{"name": "gpu"}]), "claims devices"),
        (pod(hostNetwork=True), "ports of its node"),
        (pod(ports=[{"containerPort": 80, "hostPort": 80}]), "ports of its node"),
        (pod(ports=[{"containerPort": 80}]), ""),
        (pod(requests={**OURS, "nvidia.com/gpu": "1"}), "requests nvidia.com/gpu"),
        (pod(overhead={"cpu": "100m"}), "requests cpu"),
        (pod(resources={"requests": {"memory": "1Gi"}}), "requests memory"),
        (pod(affinity={"nodeAffinity": {}}), ""),
    ],
)
def test_what_cannot_be_judged_keeps_the_pod(given: PlacedPod, words: str) -> None:
    assert words in obstacle(given)
    assert bool(obstacle(given)) is bool(words)


LABELS = {"pool": "batch", "disk": "ssd", "size": "8"}


@pytest.mark.parametrize(
    ("spec", "taints", "wanted"),
    [
        ({}, (), True),
        ({"nodeSelector": {"pool": "batch"}}, (), True),
        ({"nodeSelector": {"pool": "batch", "zone": "a"}}, (), False),
        (node_affinity(term("disk", "In", "hdd", "ssd")), (), True),
        (node_affinity(term("disk", "NotIn", "ssd")), (), False),
        (node_affinity(term("zone", "NotIn", "a")), (), True),
        (node_affinity(term("zone", "Exists")), (), False),
        (node_affinity(term("zone", "DoesNotExist")), (), True),
        (node_affinity(term("size", "Gt", "4")), (), True),
        (node_affinity(term("size", "Lt", "8")), (), False),
        (node_affinity(term("disk", "Gt", "4")), (), False),
        (node_affinity(term("zone", "Exists"), term("disk", "Exists")), (), True),
        (node_affinity({}), (), False),
        (node_affinity(), (), False),
        (node_affinity(term("metadata.name", "In", "n", kind="matchFields")), (), True),
        (node_affinity(term("metadata.name", "NotIn", "n", kind="matchFields")), (), False),
        (node_affinity(term("disk", "Sideways", "x")), (), False),
        ({}, (Taint("a", "b", "NoSchedule"),), False),
        ({}, (Taint("a", "b", "NoExecute"),), False),
        ({}, (Taint("a", "b", "PreferNoSchedule"),), True),
        ({"tolerations": [{"operator": "Exists"}]}, (Taint("a", "b", "NoExecute"),), True),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]}, (Taint("a", "b", "NoSchedule"),), True),
        ({"tolerations": [{"key": "a", "value": "b"}]}, (Taint("a", "b", "NoSchedule"),), True),
        ({"tolerations": [{"key": "a", "value": "c"}]}, (Taint("a", "b", "NoSchedule"),), False),
        ({"tolerations": [{"key": "a", "value": "b", "effect": "NoExecute"}]}, (Taint("a", "b", "NoSchedule"),), False),
        ({"tolerations": [{"value": "b"}]}, (Taint("a", "b", "NoSchedule"),), False),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]}, (Taint("a"), Taint("z", "", "NoSchedule")), False),
    ],
)
def test_selector_affinity_and_taints_as_the_scheduler_reads_them(
    spec: dict[str, Any],
    taints: tuple[Taint, ...],
    wanted: bool,
) -> None:
    assert fits(pod(**spec), "n", LABELS, taints) is wanted
