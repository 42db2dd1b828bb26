"""The webhook as an operator meets it: its certificate, its rights, its absence, an upgrade, several of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from colocation.kube.login import kubeconfig
from colocation.kube.resources import SECRETS, WEBHOOKS
from colocation.kube.rest import STRATEGIC_PATCH, ApiError, Rest
from colocation.webhook import certificates
from colocation.webhook.kept import StoredCertificates
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .conftest import NAMESPACE, OLD, OPTIONS, Pods, container, enforced, install, pod, serving
from .test_render import find, manifests

SECRET = SECRETS.path("colocation-webhook", namespace=NAMESPACE)
CONFIGURATION = WEBHOOKS.path("colocation-pods")
# `serving` makes the Service another name of this machine, and such a one has no IP families to upgrade.
MODE = ["manager.ipFamilyPolicy=", *([] if OLD else ["admission.mode=webhook"])]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Its own: managers come and go here, and the chart is upgraded."""
    folder = tmp_path_factory.mktemp("webhook")
    with ApiServer(folder) as made:
        install(made, *OPTIONS, *MODE)
        with serving(made, folder):
            enforced(made)
            yield made


@pytest.fixture(scope="module")
def rest(server: ApiServer) -> Rest:
    return Rest(kubeconfig(str(server.kubeconfig)))


@pytest.fixture(scope="module")
def its_own(server: ApiServer) -> Rest:
    """The manager, as far as the API server can tell."""
    return Rest(kubeconfig(str(server.user(f"system:serviceaccount:{NAMESPACE}:colocation-manager"))))


def bundles(rest: Rest) -> set[str]:
    return {w["clientConfig"].get("caBundle") for w in rest.get(CONFIGURATION, dict)["webhooks"]}


def data(rest: Rest) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in rest.get(SECRET, dict)["data"].items()}


def refused(rest: Rest, method: str, path: str, body: Any = None, kind: str = "application/json") -> str:
    text = None if body is None else json.dumps(body).encode()
    try:
        rest.send(method, path, body=text, kind=kind)
    except ApiError as error:
        return str(error) if error.code in (403, 422) else ""
    return ""


def test_the_api_server_trusts_the_authority_in_the_secret(rest: Rest) -> None:
    assert bundles(rest) == {base64.b64encode(data(rest)["ca.crt"]).decode()}


def test_a_second_replica_serves_with_the_same_certificate(server: ApiServer, rest: Rest, tmp_path: Path) -> None:
    before = data(rest)
    with serving(server, tmp_path):  # from here on the API server calls this one
        assert Pods(server, "default").admit(pod())["spec"]["priority"] == -100
        assert data(rest) == before


def test_a_certificate_that_is_due_is_renewed_while_pods_are_made(
    server: ApiServer, rest: Rest, tmp_path: Path
) -> None:
    before = data(rest)
    # As if both were about to end: what is looked at is when something is due, then the certificates themselves.
    rest.patch(SECRET, {"data": {"renew-at": base64.b64encode(b"2020-01-01T00:00:00+00:00").decode(), "tls.key": ""}})
    with serving(server, tmp_path):
        after = data(rest)
        assert after["tls.crt"] != before["tls.crt"]
        assert after["ca.crt"] == before["ca.crt"], "the authority has years left"
        assert Pods(server, "default").admit(pod())["spec"]["priority"] == -100


def test_a_lost_secret_is_made_anew_and_trusted(server: ApiServer, rest: Rest, tmp_path: Path) -> None:
    rest.patch(SECRET, {"data": None})
    with serving(server, tmp_path):
        pods = Pods(server, "default")
        eventually(lambda: pods.admit(pod())["spec"]["priority"] == -100, 30, "mutation again")
    assert bundles(rest) == {base64.b64encode(data(rest)["ca.crt"]).decode()}


def test_while_no_manager_answers_pods_are_made_as_asked_for_and_wrong_ones_refused(
    server: ApiServer, tmp_path: Path
) -> None:
    with serving(server, tmp_path):
        pass  # it was the one that is called, and is gone
    pods = Pods(server, "default")
    eventually(lambda: "volcano.sh/preemptable" not in pods.admit(pod())["metadata"]["annotations"], 30, "ignored")
    assert "HLS, LS, BE" in pods.refusal(pod(qos="X"))
    assert "to BE" in pods.refusal(
        pod(container("c", {"kubernetes.io/be-cpu": "1"}, {"kubernetes.io/be-cpu": "1"}), qos=None)
    )


def test_an_upgrade_of_the_chart_keeps_certificate_and_trust(server: ApiServer, rest: Rest, tmp_path: Path) -> None:
    with serving(server, tmp_path):
        kept, trusted = data(rest), bundles(rest)
    assert None not in trusted
    install(server, *OPTIONS, *MODE, "admission.webhook.timeoutSeconds=7")
    assert {w["timeoutSeconds"] for w in rest.get(CONFIGURATION, dict)["webhooks"]} == {7}
    assert (data(rest), bundles(rest)) == (kept, trusted)


def test_the_manager_reads_its_own_secret_and_no_other(its_own: Rest) -> None:
    assert not refused(its_own, "GET", SECRET)
    assert refused(its_own, "GET", SECRETS.path("another", namespace=NAMESPACE))
    for path in (
        SECRETS.path(namespace=NAMESPACE),
        SECRETS.path(),
        SECRETS.path("colocation-webhook", namespace="default"),
    ):
        assert refused(its_own, "GET", path)
    assert refused(its_own, "POST", SECRETS.path(namespace=NAMESPACE), {"metadata": {"name": "x"}})
    assert refused(its_own, "DELETE", SECRET)


@pytest.mark.parametrize(
    "change",
    [
        {"failurePolicy": "Fail"},
        {"rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]},
        {"clientConfig": {"service": {"name": "other"}}},
        {"matchConditions": [{"name": "is-ours", "expression": "true"}]},
        {"namespaceSelector": {"matchExpressions": None}},
        {
            "name": "new",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://x.example"},
        },
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_manager_changes_nothing_of_its_webhooks_but_their_authority(its_own: Rest, change: Any) -> None:
    named = {"name": "pods.colocation.openfuyao.com", **change}
    answer = refused(its_own, "PATCH", CONFIGURATION, {"webhooks": [named]}, STRATEGIC_PATCH)
    assert "nothing of its webhooks but clientConfig.caBundle" in answer or (change.get("name") == "new" and answer)


def test_the_manager_touches_no_other_webhook(its_own: Rest) -> None:
    assert refused(its_own, "GET", WEBHOOKS.path())
    assert refused(its_own, "POST", WEBHOOKS.path(), {"metadata": {"name": "x"}})
    assert refused(its_own, "PATCH", WEBHOOKS.path("another"), {}, STRATEGIC_PATCH)


def test_a_certificate_that_somebody_else_renews_is_used_and_never_written(
    server: ApiServer, rest: Rest, tmp_path: Path
) -> None:
    """cert-manager's Secret has these three keys; what stands in for it here is our own authority, by another hand."""
    name = f"colocation-manager.{NAMESPACE}.svc"
    theirs = certificates.renewed(StoredCertificates(), [name], datetime.now(UTC))
    given = {"tls.crt": theirs.certificate, "tls.key": theirs.key, "ca.crt": theirs.authorities}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "theirs", "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in given.items()},
    }
    server.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    install(server, *OPTIONS, *MODE, "admission.webhook.secretName=theirs")
    with serving(server, tmp_path):
        eventually(lambda: Pods(server, "default").admit(pod())["spec"]["priority"] == -100, 30, "mutation")
        assert bundles(rest) == {base64.b64encode(theirs.authorities).decode()}
        path = SECRETS.path("theirs", namespace=NAMESPACE)
        assert rest.get(path, dict)["data"] == body["data"]
        own = Rest(kubeconfig(str(server.user(f"system:serviceaccount:{NAMESPACE}:colocation-manager"))))
        assert refused(own, "PUT", path, rest.get(path, dict))


@pytest.mark.parametrize("mode", ["cel", "webhook", "none"])
def test_each_way_of_admission_brings_its_own_objects_and_no_others(mode: str) -> None:
    documents = manifests("--set", f"admission.mode={mode}")
    kinds = {d["kind"] for d in documents}
    assert ("MutatingAdmissionPolicy" in kinds) is (mode == "cel")
    assert ("MutatingWebhookConfiguration" in kinds) is (mode == "webhook")
    assert ("Secret" in kinds) is (mode == "webhook")
    args = find(documents, "Deployment", "colocation-manager")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert any(a.startswith("--webhook=") for a in args) is (mode == "webhook")
    assert "ValidatingAdmissionPolicy" in kinds, "wrong pods are refused in all of them"


def test_auto_takes_what_the_cluster_serves() -> None:
    assert "MutatingAdmissionPolicy" in {d["kind"] for d in manifests()}
    old = {d["kind"] for d in manifests(kube="1.30.0", apis=())}
    assert "MutatingWebhookConfiguration" in old
    assert "MutatingAdmissionPolicy" not in old
