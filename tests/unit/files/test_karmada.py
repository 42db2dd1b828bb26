"""The Lua that is shipped for Karmada, run by Lua 5.1 (Karmada's gopher-lua is one); its module kube is a stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

FILES = Path(__file__).parents[3] / "files/karmada"
BE = {"openfuyao.com/qos-level": "BE"}
GATE = "colocation.openfuyao.com/be-pods"


def scripts() -> dict[str, dict[str, str]]:
    """Kind to its functions."""
    found = {}
    for one in yaml.safe_load_all((FILES / "interpreters.yaml").read_text()):
        parts = one["spec"]["customizations"]
        found[one["spec"]["target"]["kind"]] = {key: part["luaScript"] for key, part in parts.items()}
    return found


def call(script: str, function: str, *arguments: Any) -> Any:
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)

    def requirements(template: Any) -> Any:
        """NOT Karmada's: the requests of the first container are enough here."""
        return lua.table_from({"resourceRequest": template["spec"]["containers"][1]["requests"]})

    lua.globals().package.loaded.kube = lua.table_from({"accuratePodRequirements": requirements})
    lua.execute(script)
    return lua.globals()[function](*(lua.table_from(one, recursive=True) for one in arguments))


def replicas(
    kind: str, asked: dict[str, Any], notes: dict[str, str] | None = None, **spec: Any
) -> tuple[int, dict[str, str]]:
    template = {"metadata": {"annotations": notes or {}}, "spec": {"containers": [{"requests": asked}]}}
    count, requirement = call(
        scripts()[kind]["replicaResource"], "GetReplicas", {"spec": {"template": template, **spec}}
    )
    return count, dict(requirement["resourceRequest"].items())


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job"])
def test_a_best_effort_template_requests_what_admission_will_write(kind: str) -> None:
    number = {"parallelism": 7} if kind == "Job" else {"replicas": 7}
    asked = {"cpu": "500m", "memory": "64Mi", "nvidia.com/gpu": "1"}
    ours = {"kubernetes.io/be-cpu": "500", "kubernetes.io/be-memory": "64Mi", GATE: "1", "nvidia.com/gpu": "1"}
    assert replicas(kind, asked, BE, **number) == (7, ours)
    assert replicas(kind, asked, **number) == (7, asked), "online work is left alone"
    assert replicas(kind, asked, BE)[0] == 1, "Kubernetes' own default"


@pytest.mark.parametrize(
    ("cpu", "millicores"),
    [("500m", "500"), ("2", "2000"), (2, "2000"), ("0.25", "250"), ("4.35", "4350"), ("1k", "1000000"), ("100u", "1")],
)
def test_cpu_in_any_form_is_whole_millicores(cpu: Any, millicores: str) -> None:
    assert replicas("Deployment", {"cpu": cpu}, BE)[1]["kubernetes.io/be-cpu"] == millicores


def test_what_is_asked_for_in_our_names_stays() -> None:
    asked = {"cpu": "9", "kubernetes.io/be-cpu": "250", "kubernetes.io/be-memory": "1Gi", "memory": "9Gi"}
    wanted = {"kubernetes.io/be-cpu": "250", "kubernetes.io/be-memory": "1Gi", GATE: "1"}
    assert replicas("Deployment", asked, BE)[1] == wanted


def health(**given: Any) -> bool:
    return bool(call(scripts()["ColocationPolicy"]["healthInterpretation"], "InterpretHealth", given))


def test_a_policy_is_healthy_by_its_condition() -> None:
    assert health(
        status={"conditions": [{"type": "Understood", "status": "False"}, {"type": "Ready", "status": "True"}]}
    )
    assert not health(status={"conditions": [{"type": "Ready", "status": "False"}]})
    assert not health(spec={"enabled": True})
    assert health(spec={"enabled": False}), "a policy that is disabled has no nodes to report"


def test_the_status_is_summed_over_members() -> None:
    items = [{"status": {"matchedNodes": 3, "reportingNodes": 2}}, {}, {"status": {"matchedNodes": 1, "nodes": 1}}]
    made = call(scripts()["ColocationPolicy"]["statusAggregation"], "AggregateStatus", {"spec": {}}, items)
    assert dict(made["status"].items()) == {"matchedNodes": 4, "nodes": 1, "reportingNodes": 2, "updatedNodes": 0}


def test_each_manifest_is_of_a_kind_that_karmada_has() -> None:
    known = {
        "config.karmada.io/v1alpha1": {"ResourceInterpreterCustomization"},
        "policy.karmada.io/v1alpha1": {"PropagationPolicy", "ClusterPropagationPolicy", "ClusterOverridePolicy"},
        "apps.karmada.io/v1alpha1": {"WorkloadRebalancer"},
    }
    for file in FILES.glob("*.yaml"):
        for one in yaml.safe_load_all(file.read_text()):
            assert one["kind"] in known[one["apiVersion"]], file.name
