"""Whatever pods ask for, the spec that their node's agent gets is one that the API server takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import allocated_to
from colocation.kube.cache import Upsert
from colocation.kube.resources import PODS
from colocation.manager import views
from colocation.model.facts import PodFacts, Qos, pod_facts
from colocation.model.policy import Protect
from colocation.model.quantity import MAX
from colocation.model.report import MAX_PODS, NodeColocationSpec
from colocation.model.wire import Pod
from tools.schema import struct_schema

from .bench import Bench, body_of

SCHEMA = struct_schema(NodeColocationSpec)
AMOUNTS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([MAX, MAX - 1, "9223372036854775807", "9E", "8Ei", "1e30", "0.1", "1n", "-5", "100m", "0"]),
)
NAMES = ("cpu", "memory", "kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods")
QUANTITIES = st.dictionaries(st.sampled_from(NAMES), AMOUNTS)
RESOURCES = st.fixed_dictionaries({"requests": QUANTITIES, "limits": QUANTITIES})
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abc"), "resources": RESOURCES},
        optional={"restartPolicy": st.just("Always")},
    ),
    max_size=3,
)
PODS_OF_A_NODE = st.lists(
    st.fixed_dictionaries(
        {
            "containers": CONTAINERS,
            "initContainers": CONTAINERS,
            "overhead": QUANTITIES,
            "resources": RESOURCES | st.none(),
            "priority": st.integers(-(2**31), 2**31 - 1),
        }
    ),
    max_size=4,
)


def refused(schema: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """Where the API server would refuse a value, by the schema that `make generate` writes into the CRD."""
    if value is None:
        return [] if schema.get("nullable") else [f"{at}: null"]
    match schema["type"]:
        case "integer":
            bits = 31 if schema["format"] == "int32" else 63
            low, high = schema.get("minimum", -(2**bits)), schema.get("maximum", 2**bits - 1)
            return [] if isinstance(value, int) and low <= value <= high else [f"{at}: {value}"]
        case "string":
            long = len(value) > schema.get("maxLength", len(value))
            return [f"{at}: {value!r}"] if long or value not in schema.get("enum", [value]) else []
        case "array":
            own = [at] if len(value) > schema.get("maxItems", len(value)) else []
            return own + [e for i, item in enumerate(value) for e in refused(schema["items"], item, f"{at}[{i}]")]
        case "object" if "properties" in schema:
            own = [f"{at}.{name}: missing" for name in schema.get("required", ()) if name not in value]
            return own + [e for k, v in value.items() for e in refused(schema["properties"][k], v, f"{at}.{k}")]
    return []


def facts(number: int, spec: dict[str, Any], *, best_effort: bool = True) -> PodFacts:
    meta = {"name": f"p{number}", "namespace": "ns", "uid": f"uid-{number}"}
    meta |= {"annotations": {"openfuyao.com/qos-level": "BE"}} if best_effort else {}
    body = {"metadata": meta, "spec": {"nodeName": "n", **spec}, "status": {"phase": "Running"}}
    found = pod_facts(msgspec.convert(body, Pod))
    assert isinstance(found, PodFacts)
    return found


@given(PODS_OF_A_NODE, st.booleans())
def test_any_requests_give_a_spec_that_the_crd_takes(pods: list[dict[str, Any]], best_effort: bool) -> None:
    found = [facts(number, spec, best_effort=best_effort) for number, spec in enumerate(pods)]
    spec = NodeColocationSpec(
        pods=tuple(pod.as_be_pod() for pod in found), online=tuple(pod.as_online_pod() for pod in found)
    )
    sent = msgspec.json.decode(msgspec.json.encode(spec))
    assert refused(SCHEMA, sent) == []
    assert msgspec.convert(sent, NodeColocationSpec) == spec, "and the agent reads it"
    allocated = allocated_to(found)
    assert all(
        0 <= total <= MAX
        for total in (allocated.cpu, allocated.memory, allocated.cpu_running, allocated.memory_running)
    )


@pytest.mark.parametrize("name", ["kubernetes.io/be-cpu", "kubernetes.io/be-memory"])
def test_a_sum_beyond_what_can_be_written_is_as_much_as_can_be(name: str) -> None:
    container = {"name": "a", "resources": {"requests": {name: MAX}, "limits": {name: MAX}}}
    pod = facts(1, {"containers": [container, container], "overhead": {"cpu": "1", "memory": "1"}})
    cpu = name.endswith("cpu")
    assert (pod.be_cpu if cpu else pod.be_memory) == MAX
    assert (pod.be_cpu_limit if cpu else pod.be_memory_limit) == MAX


def rows_of(bench: Bench, kind: str) -> list[dict[str, Any]]:
    (job,) = bench.take("spec")
    sent = body_of(job)["spec"]
    assert refused(SCHEMA, sent) == []
    rows: list[dict[str, Any]] = sent[kind]
    bench.answer(job)
    return rows


def test_a_pod_that_cannot_be_written_is_left_out_and_told_and_costs_no_other() -> None:
    bench = Bench()
    bench.publish()
    bench.pod("ns/odd", be=1000, uid="u" * 200)
    bench.pod("ns/good", be=1000)
    assert [row["uid"] for row in rows_of(bench, "pods")] == ["uid-ns/good"]
    result = views.explain(bench.loop, "n", bench.now)
    assert result is not None
    assert list(result.left_out) == ["ns/odd: its uid is longer than 128 characters"]


def test_of_more_pods_than_a_report_has_rows_the_rest_is_told() -> None:
    bench = Bench()
    bench.publish()
    for number in range(MAX_PODS + 2):
        bench.pod(f"ns/p{number:03}", be=1)
    assert len(rows_of(bench, "pods")) == MAX_PODS
    result = views.explain(bench.loop, "n", bench.now)
    assert result is not None
    assert [words.partition(":")[0] for words in result.left_out] == ["ns/p500", "ns/p501"]
    assert left_out(bench) == {"n": 2}
    bench.leads = False
    bench.step()
    assert left_out(bench) == {}, "the leader counts them"


def left_out(bench: Bench) -> dict[str, float]:
    """The metric: by node, best-effort pods that get no limits."""
    samples = [sample for family in bench.loop._metrics._nodes.collect() for sample in family.samples]
    return {s.labels["node"]: s.value for s in samples if s.name == "colocation_node_be_pods_left_out"}


def test_the_hash_of_a_mirror_pod_can_be_as_long_as_its_author_likes() -> None:
    """It is an annotation, which any author of pods may write."""
    annotations = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.hash": "h" * 200_000}
    meta = {"name": "static", "namespace": "ns", "uid": "u", "annotations": annotations}
    body = {"metadata": meta, "spec": {"nodeName": "n", "containers": []}, "status": {"phase": "Running"}}
    bench = Bench()
    bench.sync()
    bench.policy(protect=Protect(memory_low_percent=50))
    bench.node()
    bench.say(Upsert(PODS, "ns/static", pod_facts(msgspec.convert(body, Pod)), False))
    bench.pod("ns/web", qos=Qos.LS)
    assert [row["uid"] for row in rows_of(bench, "online")] == ["uid-ns/web"]
