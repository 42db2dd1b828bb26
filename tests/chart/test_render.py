"""The chart as Helm sees it: linted, rendered, and strict about its values."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.lab.errors import LabError
from tools import generate

from .conftest import CHART, NAMESPACE, helm, render


def manifests(*args: str, **how: Any) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(render(*args, **how)) if document]


def find(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def test_generated_files_are_what_their_sources_say() -> None:
    assert sorted(generate.stale()) == []


def test_lint_is_clean() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


@pytest.mark.parametrize("kube", ["1.30.0", "1.36.3"])
def test_every_object_is_rendered_once_and_labelled(kube: str) -> None:
    documents = manifests(kube=kube)
    keys = [(d["kind"], d["metadata"]["name"]) for d in documents]
    assert len(keys) == len(set(keys))
    assert all(d["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm" for d in documents)
    kinds = {kind for kind, _ in keys}
    assert "Namespace" not in kinds
    assert "ColocationPolicy" not in kinds


def test_namespaced_objects_go_where_the_release_goes() -> None:
    namespaces = {d["metadata"].get("namespace") for d in manifests()}
    assert namespaces == {None, NAMESPACE}


def test_crds_outlive_the_release_unless_asked() -> None:
    name = "colocationpolicies.colocation.openfuyao.com"
    kept = find(manifests(), "CustomResourceDefinition", name)
    assert kept["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    loose = find(manifests("--set", "crds.keep=false"), "CustomResourceDefinition", name)
    assert "annotations" not in loose["metadata"]
    assert "CustomResourceDefinition" not in {d["kind"] for d in manifests("--set", "crds.install=false")}


@pytest.mark.parametrize(
    "wrong",
    [
        "manger.replicas=2",
        "image.tga=x",
        "manager.replicas=-1",
        "admission.mode=maybe",
        "image.digest=abc",
        "crds.kep=true",
    ],
)
def test_misspelt_or_wrong_values_are_refused(wrong: str) -> None:
    with pytest.raises(LabError) as error:
        render("--set", wrong)
    assert wrong.split("=", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1] in str(error.value)


def test_a_cluster_without_the_mutation_is_told_what_to_do() -> None:
    with pytest.raises(LabError) as error:
        render(apis=())
    assert "does not serve MutatingAdmissionPolicy v1" in str(error.value)
    assert "admission.mode=none" in str(error.value)
    kinds = {d["kind"] for d in manifests("--set", "admission.mode=none", kube="1.30.0", apis=())}
    assert "MutatingAdmissionPolicy" not in kinds
    assert {"ValidatingAdmissionPolicy", "Deployment", "DaemonSet"} <= kinds


def test_a_cluster_that_is_too_old_is_refused() -> None:
    with pytest.raises(LabError, match=r"requires kubeVersion: >=1\.30"):
        render(kube="1.29.9")


def test_image_addresses_come_from_values_alone() -> None:
    values = ["--set", "image.registry=registry.example:5000/a", "--set-string", "image.tag=9"]
    documents = manifests(*values)
    images = [
        c["image"]
        for kind, name in (("Deployment", "colocation-manager"), ("DaemonSet", "colocation-agent"))
        for c in find(documents, kind, name)["spec"]["template"]["spec"]["containers"]
    ]
    assert images == [
        "registry.example:5000/a/openfuyao/colocation-manager:9",
        "registry.example:5000/a/openfuyao/colocation-overquota-agent:9",
    ]
    digest = "sha256:" + "0" * 64
    assert f"colocation-manager@{digest}" in render("--set", f"image.digest={digest}")


def test_a_budget_for_disruptions_only_where_one_may_be_missed() -> None:
    assert "PodDisruptionBudget" not in render()
    assert "PodDisruptionBudget" in render("--set", "manager.replicas=2")


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "colocation-manager"), ("DaemonSet", "colocation-agent")])
def test_containers_have_no_more_than_they_need(kind: str, name: str) -> None:
    spec = find(manifests(), kind, name)["spec"]["template"]["spec"]
    (only,) = spec["containers"]
    context = only["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "privileged" not in context
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(spec)
    writable = {m["mountPath"] for m in only.get("volumeMounts", []) if not m.get("readOnly")}
    assert writable == ({"/host/sys/fs/cgroup", "/var/lib/openfuyao-colocation"} if kind == "DaemonSet" else set())


def test_no_role_has_a_wildcard_or_reads_secrets() -> None:
    for document in manifests():
        for rule in document.get("rules", []):
            said = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in said, document["metadata"]["name"]
            assert not {"secrets", "pods/exec", "pods/eviction"} & set(rule["resources"])
