"""Who may read what the manager knows: through the API server as people do, and past it, as any pod could try."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colocation.kube.login import kubeconfig
from colocation.kube.resources import TOKEN_REVIEWS
from colocation.kube.rest import Rest
from colocation.manager.proof import KEEP_SECONDS, Proof
from colocation.serving import Refused
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.waiting import eventually

from .accounts import Account, Question
from .behind import behind
from .conftest import NAMESPACE, SOURCES, apply, token
from .test_render import manifests

READER = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/colocation-reader"


@pytest.fixture(scope="module")
def port(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A manager with the chart's rights and no others, behind the chart's Service; its port."""
    folder = tmp_path_factory.mktemp("readers")
    (free,) = free_ports(1)
    account = api.user(f"system:serviceaccount:{NAMESPACE}:colocation-manager")
    argv = [sys.executable, "-m", "colocation", "manager", f"--kubeconfig={account}", f"--namespace={NAMESPACE}"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*argv, f"--listen=[::]:{free}"], stdout=log, stderr=log, env=environment)
    try:
        with behind(api, NAMESPACE, "colocation-manager", free):
            eventually(lambda: got(free, "/readyz")[0] == 200, 60, f"manager ready: {folder / 'log'}")
            yield free
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def jane(api: ApiServer) -> Path:
    """A person with a certificate, and no right but the Role; her kubeconfig."""
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "Role", "name": "colocation-explain", "apiGroup": "rbac.authorization.k8s.io"}
    meta = {"name": "jane", "namespace": NAMESPACE}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}
    apply(api, **kind, metadata=meta, subjects=[subject], roleRef=role)
    return Path(api.user("jane"))


def got(port: int, path: str, proof: str = "", host: str = "127.0.0.1", **headers: str) -> tuple[int, Any]:
    """What a pod gets that knows the manager's address."""
    sent = headers | ({"X-Colocation-Token": proof} if proof else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}{path}", headers=sent)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def report(config: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "colocation", "report", "-o", "json", f"--kubeconfig={config}"]
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run([*argv, f"--namespace={NAMESPACE}"], env=env, capture_output=True, text=True, check=False)


def test_a_person_with_the_role_and_a_certificate_reads_through_the_api_server(port: int, jane: Path) -> None:
    eventually(lambda: report(jane).returncode == 0, 30, "rights")
    assert json.loads(report(jane).stdout)["schema"].endswith("report/v1")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("path", ["/v1/report", "/v1/explain/one", "/v1/simulate", "/v1/simulate?policies=[]"])
def test_without_proof_nothing_is_told(port: int, path: str, host: str) -> None:
    code, given = got(port, path, host=host)
    assert code == 401
    assert "create token colocation-reader --audience colocation" in json.loads(given)["error"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_probes_and_metrics_are_open(port: int, path: str, host: str) -> None:
    assert got(port, path, host=host)[0] == 200


def test_the_readers_token_for_our_audience_is_proof(api: ApiServer, port: int) -> None:
    assert got(port, "/v1/report", token(api, "colocation-reader", "--audience=colocation"))[0] == 200


@pytest.mark.parametrize(
    ("account", "audience"),
    [
        ("colocation-reader", ()),  # the API server's own audience
        ("colocation-reader", ("--audience=vault",)),
        ("colocation-manager", ("--audience=colocation",)),
        ("colocation-agent", ()),
    ],
)
def test_any_other_token_is_none(api: ApiServer, port: int, account: str, audience: tuple[str, ...]) -> None:
    assert got(port, "/v1/report", token(api, account, *audience))[0] == 401


def test_a_token_that_somebody_else_signed_is_none(api: ApiServer, port: int) -> None:
    """Its claims are right, so that only the API server can tell."""
    head, claims, signature = token(api, "colocation-reader", "--audience=colocation").split(".")
    assert got(port, "/v1/report", ".".join([head, claims, signature[:-8] + "AAAAAAAA"]))[0] == 401


def test_a_token_in_another_header_is_no_proof(api: ApiServer, port: int) -> None:
    good = token(api, "colocation-reader", "--audience=colocation")
    assert got(port, "/v1/report", Authorization=f"Bearer {good}")[0] == 401


def test_an_account_that_is_gone_proves_nothing_once_what_is_kept_has_run_out(api: ApiServer) -> None:
    api.kubectl("create", "namespace", "elsewhere")
    api.kubectl("create", "serviceaccount", "colocation-reader", "--namespace=elsewhere")
    good = api.kubectl("create", "token", "colocation-reader", "--namespace=elsewhere", "--audience=colocation").strip()
    now = 0.0
    proof = Proof(Rest(kubeconfig(str(api.kubeconfig))), "elsewhere", lambda: now)
    proof.accept(good, 5)
    api.kubectl("delete", "serviceaccount", "colocation-reader", "--namespace=elsewhere")
    now = KEEP_SECONDS - 1
    proof.accept(good, 5)

    def refused() -> int:
        nonlocal now
        now += KEEP_SECONDS + 1
        try:
            proof.accept(good, 5)
        except Refused as refusal:
            return refusal.code
        return 0

    # The API server keeps its own answer for ten seconds more.
    eventually(lambda: refused() == 401, 20, "refused", every=1)


def test_a_person_without_the_role_is_told_which_it_is(api: ApiServer, port: int) -> None:
    given = report(Path(api.user("joe")))
    assert given.returncode == 1
    assert "Role colocation-explain" in given.stderr


def test_the_role_mints_for_that_one_name_only(api: ApiServer, jane: Path) -> None:
    asked = Rest(kubeconfig(str(api.kubeconfig)))

    def may(question: Question) -> bool:
        kind, _, sub = question.resource.partition("/")
        attributes = {
            "group": question.group, "resource": kind, "subresource": sub, "verb": question.verb,
            "namespace": question.namespace, "name": question.name,
        }  # fmt: skip
        body = {"spec": {"user": "jane", "resourceAttributes": attributes}}
        found = json.loads(asked.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body))
        return bool(found["status"]["allowed"])

    mint = Question("", "serviceaccounts/token", "create", NAMESPACE, "colocation-reader")
    eventually(lambda: may(mint), 30, "rights")
    assert may(Question("", "services/proxy", "get", NAMESPACE, "http:colocation-manager:8080"))
    for other in (
        mint._replace(name="colocation-manager"),
        mint._replace(name=""),
        mint._replace(namespace="kube-system"),
        mint._replace(verb="get"),
        mint._replace(resource="serviceaccounts", verb="get"),
        Question("", "services/proxy", "create", NAMESPACE, "http:colocation-manager:8080"),
        Question("", "services/proxy", "get", NAMESPACE, "colocation-manager"),
    ):
        assert not may(other), other


def test_the_reader_is_bound_to_nothing_and_may_do_nothing(api: ApiServer) -> None:
    """Who may mint its tokens may mint one for the API server too: it must be worth nothing there."""
    named = [
        (d["kind"], d["metadata"]["name"])
        for d in manifests()
        if d["kind"].endswith("Binding") and "colocation-reader" in json.dumps(d.get("subjects", ()))
    ]
    assert named == []
    reader = Account(api, token(api, "colocation-reader"))
    assert reader.send("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")[0] == 403
    assert reader.send("GET", "/apis/colocation.openfuyao.com/v1alpha1/nodecolocations")[0] == 403
    assert reader.send("POST", TOKEN_REVIEWS.path(), {"spec": {"token": "x"}})[0] == 403
    assert reader.send("POST", f"{READER}/token", {"spec": {}})[0] == 403
