"""Seven accounts, every route: each gets what RBAC gives it, and nothing of what it does not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colocation.console import routes
from colocation.console.router import Endpoint
from colocation.kube.login import kubeconfig
from colocation.kube.rest import Rest
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import NAMESPACE, Cluster
from .console import Desk, Given, chart_rights, cluster_role, expired, person
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
NODE, POLICY = "zz-hidden-node", "zz-hidden-policy"
ACCOUNTS = ("nobody", "garbage", "expired", "stranger", "viewer", "reader", "operator", "admin")
UNKNOWN = ("nobody", "garbage", "expired")
REPORT = ("reader", "operator", "admin")
POLICIES = ("viewer", *REPORT)
EVENTS = REPORT
WRITES = ("operator", "admin")
SPEC = {"oversell": {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}}
STREAM = f"{routes.API}/stream"


class Everybody:
    """The console, and a token for each account."""

    def __init__(self, cluster: Cluster) -> None:
        chart_rights(cluster)
        self.cluster = cluster
        cluster.policy(POLICY)
        manager = cluster.manager()
        publishing(cluster, NODE)
        self.tokens = {
            "nobody": "",
            "garbage": "not.a.token",
            "stranger": person(cluster, "stranger"),
            "viewer": person(cluster, "viewer", "", cluster_role("viewer", "colocation-view")),
            "reader": person(cluster, "reader", "reader"),
            "operator": person(cluster, "operator", "operator"),
            "admin": person(cluster, "admin", "", cluster_role("admin", "cluster-admin")),
            "expired": "",
        }
        self.tokens["expired"] = expired(cluster, "admin")
        self.desk = Desk(cluster, manager)
        eventually(lambda: self.ask("operator", "GET", "/api/v1/nodes").code == 200, 20)
        self.desk.fresh()

    def ask(self, account: str, method: str, path: str, body: Any = None, **headers: str) -> Given:
        return self.desk.ask(method, path, self.tokens[account], body, **headers)


@pytest.fixture(scope="module")
def all_of_them(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everybody]:
    rest = Rest(kubeconfig(str(api.kubeconfig)))
    cluster = Cluster(api, rest, Path(tmp_path_factory.mktemp("rights")), next(itertools.count(900)))
    made = Everybody(cluster)
    yield made
    made.desk.stop()
    cluster.close()
    for name in ("viewer", "admin"):
        api.kubectl("delete", "clusterrolebinding", f"test-{name}", "--ignore-not-found")
    for name in ("stranger", "viewer", "reader", "operator", "admin", "half"):
        api.kubectl("delete", "serviceaccount", name, f"--namespace={NAMESPACE}", "--ignore-not-found")


def path_of(endpoint: Endpoint) -> str:
    name = POLICY if "policies" in endpoint.path else "x.css" if "static" in endpoint.path else NODE
    return endpoint.path.replace("{name}", name).replace("{chart}", "cpu")


def body_of(endpoint: Endpoint) -> Any:
    if endpoint.path.endswith(":label"):
        return {"names": [NODE], "colocation": True, "dryRun": True}
    if endpoint.path.endswith(":check"):
        return {"spec": SPEC, "version": ""}
    return {"spec": SPEC} if endpoint.body else None


def wanted(endpoint: Endpoint, account: str) -> tuple[int, ...]:
    """Codes that are right for this account."""
    path, api = endpoint.path, endpoint.path.startswith("/api/")
    if endpoint.needs == "nobody":
        return (200, 303, 404, 401, 429)  # says nothing of the cluster: see the bodies
    if account in UNKNOWN:
        return (401,) if api or endpoint.method != "GET" else (303,)
    if endpoint.needs == "report":
        return (200,) if account in REPORT else (403,)
    if path.endswith(("/events", "/changes")):
        return (200,) if account in EVENTS else (403,)
    if path.endswith("nodes:label") and api:
        return (200,)  # tells of each node by itself: "denied"
    if endpoint.method in ("PUT", "DELETE"):
        return (412,)  # nobody writes what was not checked
    if path == "/policies:check":
        return (422,)  # a form without a name
    if path.endswith("/delete"):
        return (200,) if account in WRITES else (403,)  # the API server's dry run of the deletion
    if path == "/nodes:label":
        return (400,)  # a form without names
    if path == "/policies:apply":
        return (409,) if account in POLICIES else (403,)
    if path.endswith(":check"):
        return (409,) if account in POLICIES else (403,)
    if path.endswith(("/me", "/policy-schema", "policies:new", "nodes:add")):
        return (200,)  # nodes:add lists what the person may list, and else takes names
    return (200,) if account in POLICIES else (403,)


def hidden(endpoint: Endpoint, account: str) -> list[str]:
    """What this answer may not say to this account (which knows what it asked for)."""
    found = []
    if account not in REPORT and "{name}" not in endpoint.path and not endpoint.path.endswith(":label"):
        found += [NODE, "onlineRequested", '"leader":"']
    if account not in POLICIES and "policies/{name}" not in endpoint.path:
        found.append(POLICY)
    if account not in REPORT:
        found += ['"capacity":10000', '"published":']
    return found


@pytest.mark.parametrize("account", ACCOUNTS)
def test_every_route_gives_each_account_what_is_its_own(all_of_them: Everybody, account: str) -> None:
    seen = 0
    for endpoint in routes.ALL:
        if endpoint.path == STREAM:
            continue
        query = "?chart=cpu" if endpoint.path.endswith("/series") else ""
        given = all_of_them.ask(account, endpoint.method, path_of(endpoint) + query, body_of(endpoint))
        where = f"{account}: {endpoint.method} {endpoint.path}: {given.code} {given.text[:300]}"
        assert given.code in wanted(endpoint, account), where
        if endpoint.path != f"{routes.API}/openapi.json":  # the same for everybody, of no cluster
            text = given.text.replace('"published": "published"', "")  # the catalogue of the pages' words
            for secret in hidden(endpoint, account):
                assert secret not in text, f"{secret} shown to {where}"
        seen += 1
    assert seen == len(routes.ALL) - 1


@pytest.mark.parametrize("account", [one for one in ACCOUNTS if one not in REPORT])
def test_no_stream_for_those_who_may_not_see_the_report(all_of_them: Everybody, account: str) -> None:
    given = all_of_them.ask(account, "GET", STREAM)
    assert given.code == (401 if account in UNKNOWN else 403)
    assert NODE not in given.text


def test_a_403_names_the_right_that_is_missing_and_the_command_that_gives_it(all_of_them: Everybody) -> None:
    given = all_of_them.ask("stranger", "GET", "/api/v1/nodes").json
    assert given["missing"] == f"create serviceaccounts/token colocation-reader in {NAMESPACE}"
    account = f"system:serviceaccount:{NAMESPACE}:stranger"
    assert given["remedy"] == f"colocation grant reader {account} --namespace {NAMESPACE}"


def test_who_may_see_the_report_and_not_the_policies_gets_the_page_without_them(all_of_them: Everybody) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "half", "namespace": NAMESPACE},
        "subjects": [{"kind": "ServiceAccount", "name": "half", "namespace": NAMESPACE}],
        "roleRef": {"kind": "Role", "name": "colocation-explain", "apiGroup": "rbac.authorization.k8s.io"},
    }  # fmt: skip
    all_of_them.tokens["half"] = person(all_of_them.cluster, "half", "", binding)
    eventually(lambda: all_of_them.ask("half", "GET", "/api/v1/summary").code == 200, 20)
    given = all_of_them.ask("half", "GET", "/api/v1/summary").json
    assert given["policies"] is None
    assert [(one["part"], one["why"]) for one in given["omitted"]] == [("policies", "denied")]
    assert given["nodes"]["labelled"] == 1
    assert POLICY not in json.dumps(given)


def test_me_says_what_each_may(all_of_them: Everybody) -> None:
    rights = {name: all_of_them.ask(name, "GET", "/api/v1/me").json["rights"] for name in ("stranger", "reader")}
    assert not any(rights["stranger"][key] for key in ("report", "events"))
    assert rights["reader"]["report"]
    assert rights["reader"]["policies"] == {
        "get": True, "list": True, "create": False, "patch": False, "delete": False
    }  # fmt: skip
    operator = all_of_them.ask("operator", "GET", "/api/v1/me").json["rights"]
    assert operator["policies"]["patch"]
    assert operator["nodes"] == {"list": True, "patch": True}
