"""What was changed by hand in the objects of the release, on a real API server with the real chart, by Helm 3 and 4."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, NAMESPACE, helm
from tests.lab import binaries
from tests.lab.apiserver import ApiServer

from .conftest import tasks

RELEASE = {"name": "colocation", "namespace": NAMESPACE}
HEAL: dict[str, Any] = {"openfuyao.colocation.helm_drift": RELEASE}
INSTALL = ("upgrade", "--install", "colocation", CHART, f"--namespace={NAMESPACE}", "--create-namespace")
MANAGER = ("deployment", "colocation-manager", f"-n={NAMESPACE}")
HOOK = ("mutatingwebhookconfiguration", "colocation-pods")
AS_ENFORCER = "--field-manager=admissionsenforcer"


@pytest.fixture(scope="module", params=["helm", "helm3"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("drift")) as server:
        helm(*INSTALL, "--set=admission.mode=webhook", which=request.param, kubeconfig=server.kubeconfig)
        yield server


def replicas(cluster: ApiServer) -> int:
    return int(json.loads(cluster.kubectl("get", *MANAGER, "-o=json"))["spec"]["replicas"])


def test_a_release_that_nobody_touched_is_left_alone(cluster: ApiServer, tmp_path: Path) -> None:
    first, second = tasks(tmp_path, cluster, HEAL, HEAL)
    assert (first["differences"], first["enforced"]) == ([], [])
    assert not second["changed"]


def test_a_manager_that_was_scaled_to_nothing_comes_back(cluster: ApiServer, tmp_path: Path) -> None:
    cluster.kubectl("scale", *MANAGER, "--replicas=0")
    (tried,) = tasks(tmp_path, cluster, HEAL, check=True)
    assert tried["changed"]
    assert replicas(cluster) == 0, "check mode changes nothing"
    healed, again = tasks(tmp_path, cluster, HEAL, HEAL)
    # The API server notes no writer of a number of replicas that is 0.
    assert healed["differences"] == ["Deployment colocation-manager: spec.replicas is 0 and the release says 1"]
    assert replicas(cluster) == 1
    assert not again["changed"]


def test_every_object_of_the_chart_is_looked_at(cluster: ApiServer, tmp_path: Path) -> None:
    manifest = helm("get", "manifest", "colocation", f"--namespace={NAMESPACE}", kubeconfig=cluster.kubeconfig)
    objects = [body for body in yaml.safe_load_all(manifest) if body]
    for body in objects:
        namespace = body["metadata"].get("namespace", NAMESPACE)
        where = [body["kind"], body["metadata"]["name"], f"-n={namespace}", "app.kubernetes.io/instance=x"]
        cluster.kubectl("label", "--overwrite", *where)
    healed, again = tasks(tmp_path, cluster, HEAL, HEAL)
    result = {answer.split(":")[0] for answer in healed["differences"]}
    assert result == {f"{body['kind']} {body['metadata']['name']}" for body in objects}
    assert not again["changed"]


def test_an_object_that_was_deleted_is_made_again(cluster: ApiServer, tmp_path: Path) -> None:
    cluster.kubectl("delete", "service", "colocation-manager", f"-n={NAMESPACE}")
    cluster.kubectl("delete", "priorityclass", "priority-be")
    healed, again = tasks(tmp_path, cluster, HEAL, HEAL)
    assert set(healed["differences"]) == {
        "Service colocation-manager is not there",
        "PriorityClass priority-be is not there",
    }
    assert not again["changed"]


def test_replicas_that_an_autoscaler_sets_are_its_own(cluster: ApiServer, tmp_path: Path) -> None:
    cluster.kubectl("autoscale", *MANAGER, "--min=1", "--max=3")
    cluster.kubectl("scale", *MANAGER, "--replicas=3")
    cluster.kubectl("label", "--overwrite", *MANAGER, "app.kubernetes.io/instance=x")
    healed, again = tasks(tmp_path, cluster, HEAL, HEAL)
    assert len(healed["differences"]) == 1, "the label"
    assert not again["changed"]
    assert replicas(cluster) == 3
    cluster.kubectl("delete", "hpa", "colocation-manager", f"-n={NAMESPACE}")
    assert tasks(tmp_path, cluster, HEAL)[0]["changed"]
    assert replicas(cluster) == 1


def test_what_others_own_in_a_webhook_stays(cluster: ApiServer, tmp_path: Path) -> None:
    """The manager writes its certificate; an enforcer keeps the control plane's namespaces out."""
    hooks = json.loads(cluster.kubectl("get", *HOOK, "-o=json"))["webhooks"]
    authority = [
        {"op": "add", "path": f"/webhooks/{n}/clientConfig/caBundle", "value": "Cg=="} for n in range(len(hooks))
    ]
    cluster.kubectl("patch", *HOOK, "--type=json", "-p", json.dumps(authority))
    assert tasks(tmp_path, cluster, HEAL)[0]["differences"] == []

    extra = {"key": "control-plane", "operator": "DoesNotExist"}
    wanted = [*hooks[0].get("namespaceSelector", {}).get("matchExpressions", []), extra]
    path = "/webhooks/0/namespaceSelector"
    value = {"matchExpressions": wanted}
    patch = json.dumps([{"op": "add", "path": path, "value": value}])
    cluster.kubectl("patch", *HOOK, "--type=json", AS_ENFORCER, "-p", patch)
    (result,) = tasks(tmp_path, cluster, HEAL)
    assert not result["changed"]
    assert "written by admissionsenforcer" in result["enforced"][0]
    assert "kubectl label mutatingwebhookconfiguration colocation-pods" in result["enforced"][0]
    now = json.loads(cluster.kubectl("get", *HOOK, "-o=json"))["webhooks"]
    assert now[0]["namespaceSelector"] == value
    cluster.kubectl(
        "patch",
        *HOOK,
        "--type=json",
        "-p",
        json.dumps([{"op": "add", "path": "/webhooks/0", "value": hooks[0]}, {"op": "remove", "path": "/webhooks/1"}]),
    )


@pytest.mark.parametrize("which", ["helm", "helm3"])
def test_going_back_has_a_way_after_a_change_by_hand(cluster: ApiServer, tmp_path: Path, which: str) -> None:
    settings = ("--set=admission.mode=webhook", "--set=manager.replicas=1", "--set=manager.logLevel=debug")
    program = {"binary_path": str(binaries.path(which)), "kubeconfig": str(cluster.kubeconfig)}
    before = json.loads(
        helm("history", "colocation", f"--namespace={NAMESPACE}", "-o=json", kubeconfig=cluster.kubeconfig)
    )[-1]["revision"]
    forced = ["--server-side=true", "--force-conflicts"] if which == "helm" else []
    helm(*INSTALL, *settings, *forced, which=which, kubeconfig=cluster.kubeconfig)
    cluster.kubectl("patch", *MANAGER, "--type=merge", "-p", '{"spec": {"replicas": 2, "revisionHistoryLimit": 3}}')
    (back,) = tasks(
        tmp_path, cluster, {"openfuyao.colocation.helm_rollback": {**RELEASE, **program, "revision": before}}
    )
    assert back["changed"], back
    assert replicas(cluster) == 1
