"""The chart as Helm sees it: linted, rendered, and strict about its values."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.lab import console
from tests.lab.errors import LabError
from tools import chart_readme, generate

from .conftest import CHART, KUBERNETES, NAMESPACE, OPERATOR, helm, render, render_everything


def manifests(*args: str, **how: Any) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(render(*args, **how)) if document]


def find(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def test_generated_files_are_what_their_sources_say() -> None:
    assert sorted(generate.stale()) == []


@pytest.mark.parametrize("which", ["helm", "helm3"])
def test_lint_is_clean(which: str) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, which=which)


@pytest.mark.parametrize("kube", KUBERNETES)
def test_every_object_is_rendered_once_and_labelled_and_alike_by_helm_3_and_4(kube: str) -> None:
    text = render_everything(kube)
    documents = [document for document in yaml.safe_load_all(text) if document]
    keys = [(d["kind"], d["metadata"]["name"]) for d in documents]
    assert len(keys) == len(set(keys))
    for document in documents:
        labels = document["metadata"]["labels"]
        recommended = {"name", "instance", "version", "part-of", "managed-by"}
        assert {f"app.kubernetes.io/{word}" for word in recommended} <= set(labels), document["metadata"]["name"]
        assert labels["helm.sh/chart"].startswith("colocation-package-")
    kinds = {kind for kind, _ in keys}
    assert "Namespace" not in kinds
    assert "ColocationPolicy" not in kinds
    by_helm_3 = [document for document in yaml.safe_load_all(render_everything(kube, "helm3")) if document]
    assert sorted(map(json.dumps, by_helm_3)) == sorted(map(json.dumps, documents))


def test_every_value_is_explained_and_known_to_the_schema() -> None:
    values = (CHART / "values.yaml").read_text()
    assert {key: default for key, default, _ in chart_readme.explained(values)}["manager.replicas"] == 1
    schema = json.loads((CHART / "values.schema.json").read_text())

    def same(value: dict[str, Any], result: dict[str, Any], path: str) -> None:
        assert set(value) == set(result["properties"]), path
        assert result["additionalProperties"] is False, path
        for key, inner in value.items():
            if "properties" in result["properties"][key]:
                same(inner, result["properties"][key], f"{path}.{key}")

    same(yaml.safe_load(values), schema, "values")


def test_namespaced_objects_go_where_the_release_goes() -> None:
    elsewhere = {(d["kind"], d["metadata"]["name"], d["metadata"].get("namespace")) for d in manifests()}
    elsewhere = {one for one in elsewhere if one[2] not in (None, NAMESPACE)}
    # Events about Nodes and policies are in `default`; these roles are bound to no one.
    assert elsewhere == {("Role", "colocation-events", "default"), ("Role", "colocation-operate", "default")}


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
        "monitoring.rulez.enabled=true",
        "networkPolicy.apiServer.ports=[0]",
        "agent.maxUnavailable=lots",
    ],
)
def test_misspelt_or_wrong_values_are_refused(wrong: str) -> None:
    with pytest.raises(LabError) as error:
        render("--set", wrong)
    assert wrong.split("=", maxsplit=1)[0].rsplit(".", maxsplit=2)[1] in str(error.value)


def test_a_cluster_without_the_mutation_is_told_what_to_do() -> None:
    with pytest.raises(LabError) as error:
        render("--set", "admission.mode=cel", apis=())
    assert "does not serve MutatingAdmissionPolicy v1" in str(error.value)
    assert "admission.mode=auto" in str(error.value)


def test_what_is_opt_in_is_left_out() -> None:
    for mode in ("cel", "webhook"):
        text = render("--set", f"admission.mode={mode}")
        assert "schedulerName" not in text.replace("schedulerName: default-scheduler", "")  # our own pods'
        assert "requiredDuringScheduling" not in text
        assert "--hls" not in text
        assert "--be" not in text


def test_rubik_runs_only_where_it_is_asked_for_and_never_without_an_image() -> None:
    assert "rubik" not in {d["metadata"]["name"].removeprefix("colocation-") for d in manifests()}
    with pytest.raises(LabError, match=r"rubik\.enabled needs rubik\.image"):
        render("--set", "rubik.enabled=true")
    daemon = find(
        manifests("--set", "rubik.enabled=true,rubik.image=example.org/rubik:2.0.1-r1,rubik.nodeSelector.os=openeuler"),
        "DaemonSet",
        "colocation-rubik",
    )["spec"]["template"]["spec"]
    assert daemon["nodeSelector"] == {"node.openfuyao.com/colocation": "true", "os": "openeuler"}
    rubik, keeper = daemon["containers"]
    (wait,) = daemon["initContainers"]
    assert rubik["image"] == "example.org/rubik:2.0.1-r1"
    assert "args" not in rubik, "it takes none but -v"
    mounts = {c["name"]: {m["name"]: m["mountPath"] for m in c["volumeMounts"]} for c in (rubik, keeper, wait)}
    assert mounts["rubik"] == {
        "config": "/var/lib/rubik",
        "log": "/var/log/rubik",
        "run": "/run/rubik",
        "sysfs": "/sys/fs",
        "dev": "/dev",
    }
    assert mounts["keeper"] == mounts["wait"] == {"config": "/var/lib/openfuyao-colocation/rubik"}
    assert daemon["hostPID"] is True


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
    images += [c["image"] for c in find(documents, "Pod", "colocation-test")["spec"]["containers"]]
    assert images == [
        "registry.example:5000/a/openfuyao/colocation-manager:9",
        "registry.example:5000/a/openfuyao/colocation-overquota-agent:9",
        "registry.example:5000/a/openfuyao/colocation-manager:9",
    ]
    digest = "sha256:" + "0" * 64
    assert f"colocation-manager@{digest}" in render("--set", f"image.digest={digest}")


def test_two_managers_are_spread_and_only_one_may_be_missed() -> None:
    alone, two = manifests(), manifests("--set", "manager.replicas=2")
    assert "PodDisruptionBudget" not in {d["kind"] for d in alone}
    assert (
        "topologySpreadConstraints" not in find(alone, "Deployment", "colocation-manager")["spec"]["template"]["spec"]
    )
    assert find(two, "PodDisruptionBudget", "colocation-manager")["spec"]["maxUnavailable"] == 1
    deployment = find(two, "Deployment", "colocation-manager")["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == deployment["selector"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"


def test_pods_take_what_the_values_say() -> None:
    answer = {
        "image": {"pullSecrets": ["mine"]},
        "manager": {"podLabels": {"team": "a"}, "affinity": {"nodeAffinity": {}}, "nodeSelector": {"disk": "ssd"}},
        "agent": {"podLabels": {"team": "b"}, "affinity": {"podAffinity": {}}, "maxUnavailable": 2},
    }
    documents = manifests("--set-json", f"image={json.dumps(answer['image'])}", *_json(answer))
    manager = find(documents, "Deployment", "colocation-manager")["spec"]["template"]
    agent = find(documents, "DaemonSet", "colocation-agent")["spec"]
    assert manager["metadata"]["labels"]["team"] == "a"
    assert manager["spec"]["affinity"] == {"nodeAffinity": {}}
    assert manager["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert agent["template"]["metadata"]["labels"]["team"] == "b"
    assert agent["template"]["spec"]["affinity"] == {"podAffinity": {}}
    assert agent["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 2
    for spec in (manager["spec"], agent["template"]["spec"], find(documents, "Pod", "colocation-test")["spec"]):
        assert spec["imagePullSecrets"] == [{"name": "mine"}]


def _json(answer: dict[str, Any]) -> list[str]:
    return [word for key, value in answer.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]


def test_a_new_chart_alone_restarts_no_pod() -> None:
    for kind, name in (("Deployment", "colocation-manager"), ("DaemonSet", "colocation-agent")):
        assert "helm.sh/chart" not in find(manifests(), kind, name)["spec"]["template"]["metadata"]["labels"]


def test_what_the_cluster_does_not_serve_is_left_out_and_said() -> None:
    switches = ["--set=monitoring.monitors.enabled=true,monitoring.rules.enabled=true"]
    kinds = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert not kinds & {d["kind"] for d in manifests(*switches)}
    served = manifests(*switches, apis=("admissionregistration.k8s.io/v1/MutatingAdmissionPolicy", OPERATOR))
    assert kinds <= {d["kind"] for d in served}
    plain = manifests(apis=("admissionregistration.k8s.io/v1/MutatingAdmissionPolicy", OPERATOR))
    assert not kinds & {d["kind"] for d in plain}, "opt-in"


def test_networks_are_open_where_they_must_be_only() -> None:
    assert "NetworkPolicy" not in {d["kind"] for d in manifests()}
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    answer = {"enabled": True, "metricsFrom": [peer], "apiServer": {"cidrs": ["192.0.2.1/32"], "ports": [6443]}}
    documents = manifests("--set-json", f"networkPolicy={json.dumps(answer)}")
    agent = find(documents, "NetworkPolicy", "colocation-agent")["spec"]
    assert agent["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": [peer]}]
    assert agent["egress"] == [
        {"ports": [{"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]}
    ]
    manager = find(documents, "NetworkPolicy", "colocation-manager")["spec"]
    assert all("from" not in rule for rule in manager["ingress"]), "the API server asks there for people"
    documents = manifests("--set-json", f"networkPolicy={json.dumps(answer)}", "--set=console.enabled=true")
    pages = find(documents, "NetworkPolicy", "colocation-console")["spec"]
    assert pages["ingress"] == [
        {"ports": [{"port": "http", "protocol": "TCP"}]},
        {"ports": [{"port": "probes", "protocol": "TCP"}], "from": [peer]},
    ]
    for name, spec in (("agent", agent), ("manager", manager), ("console", pages)):
        kind = "DaemonSet" if name == "agent" else "Deployment"
        assert spec["podSelector"] == find(documents, kind, f"colocation-{name}")["spec"]["selector"]


def test_the_labs_way_to_the_console_is_the_service_of_the_chart() -> None:
    service = find(manifests("--set=console.enabled=true"), "Service", "colocation-console")
    (port,) = service["spec"]["ports"]
    meta = service["metadata"]
    assert console.path(NAMESPACE) == (
        f"/api/v1/namespaces/{meta['namespace']}/services/http:{meta['name']}:{port['port']}/proxy"
    )


def test_an_update_goes_on_only_past_agents_that_have_reported_and_enforce() -> None:
    agents = find(manifests(), "DaemonSet", "colocation-agent")["spec"]
    (container,) = agents["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http", "scheme": "HTTP"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz", "not ready is no reason to restart"
    assert agents["minReadySeconds"] >= 10
    # The agent is ready some seconds after its start; an update of one node waits for that and no longer.
    assert container["readinessProbe"]["periodSeconds"] <= agents["minReadySeconds"]
    slower = manifests("--set=agent.minReadySeconds=60")
    assert find(slower, "DaemonSet", "colocation-agent")["spec"]["minReadySeconds"] == 60


def test_addresses_of_both_families_are_served_and_may_be_named() -> None:
    documents = manifests("--set=admission.mode=webhook")
    assert find(documents, "Service", "colocation-manager")["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    (container,) = find(documents, "Deployment", "colocation-manager")["spec"]["template"]["spec"]["containers"]
    assert "--webhook=[::]:9443" in container["args"]
    text = json.dumps(documents)
    assert "0.0.0.0" not in text, "the programs' own default is every address of both families"
    plain = find(manifests("--set=manager.ipFamilyPolicy="), "Service", "colocation-manager")["spec"]
    assert "ipFamilyPolicy" not in plain
    cidrs = json.dumps({"enabled": True, "apiServer": {"cidrs": ["::/0", "fd00::/8"], "ports": [6443]}})
    policy = find(manifests("--set-json", f"networkPolicy={cidrs}"), "NetworkPolicy", "colocation-agent")
    blocks = [peer["ipBlock"]["cidr"] for peer in policy["spec"]["egress"][0]["to"]]
    assert blocks == ["::/0", "fd00::/8"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("Deployment", "colocation-manager"), ("DaemonSet", "colocation-agent"), ("Pod", "colocation-test")],
)
def test_containers_have_no_more_than_they_need(kind: str, name: str) -> None:
    found = find(manifests(), kind, name)["spec"]
    spec = found if kind == "Pod" else found["template"]["spec"]
    assert kind == "DaemonSet" or spec["securityContext"]["runAsNonRoot"] is True
    (only,) = spec["containers"]
    assert {"requests", "limits"} <= set(only["resources"])
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
            answer = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in answer, document["metadata"]["name"]
            assert not {"secrets", "pods/exec"} & set(rule["resources"])
            evicts = "pods/eviction" in rule["resources"]
            assert not evicts or document["metadata"]["name"] == "colocation-manager"
