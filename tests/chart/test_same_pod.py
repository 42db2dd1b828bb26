"""Policies and webhook make the same pod of the same pod, and refuse the same ones, in the same words."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError

from .conftest import Pods, pod
from .test_admission import CPU, GATE, MEMORY, OURS, OWNER, REQUIRED

CPUS = st.sampled_from(["1", "2", "1500m", "0.1", "1001u", "0", "1e3", "3k"])
SIZES = st.sampled_from(["1Gi", "129e6", "1.5Gi", "1500m", "0", "1"])
AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "cpu": CPUS,
        "memory": SIZES,
        CPU: st.sampled_from(["1", "700"]),
        MEMORY: SIZES,
        GATE: st.just("1"),
        "ephemeral-storage": SIZES,
    },
)
EXPRESSIONS = st.lists(st.sampled_from([OURS, {"key": "disk", "operator": "Exists"}]), max_size=2)
TERMS = st.lists(st.fixed_dictionaries({}, optional={"matchExpressions": EXPRESSIONS}), min_size=1, max_size=3)


@st.composite
def containers(draw: st.DrawFn, least: int) -> list[dict[str, Any]]:
    made = []
    for at in range(draw(st.integers(least, 3))):
        requests, limits = draw(AMOUNTS), draw(AMOUNTS)
        if draw(st.booleans()):
            requests = limits
        name = f"c{at}-{least}"
        made.append({"name": name, "image": "x", "resources": {"requests": requests, "limits": limits}})
    return made


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    spec: dict[str, Any] = {"initContainers": draw(containers(0))}
    if draw(st.booleans()):
        spec["priorityClassName"] = draw(st.sampled_from(["ordinary", "priority-be", "priority-hls", "priority-ls"]))
    if draw(st.booleans()):
        spec["schedulerName"] = draw(st.sampled_from(["default-scheduler", "mine"]))
    if draw(st.booleans()):
        spec["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": draw(TERMS)}}}
    metadata: dict[str, Any] = {"name": "same"}
    if draw(st.integers(0, 5)) == 0:
        metadata["ownerReferences"] = [OWNER | {"kind": draw(st.sampled_from(["DaemonSet", "Job"]))}]
    if draw(st.integers(0, 5)) == 0:
        metadata["labels"] = {"colocation.openfuyao.com/mutate": draw(st.sampled_from(["false", "true"]))}
    if draw(st.integers(0, 3)) == 0:
        metadata.setdefault("labels", {})["openfuyao.com/qos-level"] = draw(st.sampled_from(["BE", "LS", "x"]))
    qos = draw(st.sampled_from(["BE", "BE", "BE", "HLS", "HLS", "LS", None, "other"]))
    made = pod(*draw(containers(1)), qos=qos, metadata=metadata, **spec)
    if draw(st.booleans()):
        made["metadata"].setdefault("annotations", {})["volcano.sh/preemptable"] = "false"
    return made


def outcome(pods: Pods, body: dict[str, Any]) -> object:
    try:
        made = pods.admit(body)
    except LabError as error:
        return sorted(re.split(", |[][]", str(error)))  # Kubernetes lists what is wrong in any order
    for own in ("uid", "creationTimestamp", "managedFields"):
        del made["metadata"][own]
    return made


@given(bodies())
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_pod_comes_out_the_same_either_way(policed: ApiServer, hooked: ApiServer, body: dict[str, Any]) -> None:
    assert outcome(Pods(hooked, "default"), body) == outcome(Pods(policed, "default"), body)
