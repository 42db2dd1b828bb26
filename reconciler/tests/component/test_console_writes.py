"""Changes through the console, on a real API server with a real manager: checked first, in the person's own name."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colocation.console import events
from colocation.kube.login import kubeconfig
from colocation.kube.resources import EVENTS, NODES, POLICIES
from colocation.kube.rest import ApiError, Rest
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import NAMESPACE, Cluster
from .console import Desk, Given, chart_rights, person
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
BASE: dict[str, Any] = {
    "oversell": {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}
}
LESS: dict[str, Any] = {"oversell": {**BASE["oversell"], "cpu": {"strategy": "usage", "reclaimPercent": 40}}}


class Shop:
    """One console, one operator and one reader."""

    def __init__(self, cluster: Cluster) -> None:
        chart_rights(cluster)
        self.cluster = cluster
        self.operator = person(cluster, "writer", "operator")
        self.other = person(cluster, "writer2", "operator")
        self.reader = person(cluster, "looker", "reader")
        cluster.policy("p")
        self.manager = cluster.manager()
        publishing(cluster, "n1")
        self.desk = Desk(cluster, self.manager)
        eventually(lambda: self.ask("GET", "/api/v1/me").json["rights"]["policies"]["patch"], 20)
        self.desk.fresh()

    def ask(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> Given:
        return self.desk.ask(method, f"{path}", token or self.operator, body, **headers)

    def version(self, name: str = "p") -> str:
        return str(self.ask("GET", f"/api/v1/policies/{name}").json["policy"]["version"])

    def check(self, spec: Any, name: str = "p", version: str | None = None, **more: Any) -> Any:
        version = self.version(name) if version is None else version
        given = self.ask("POST", f"/api/v1/policies/{name}:check", {"spec": spec, "version": version, **more})
        assert given.code == 200, given.text
        return given.json

    def put(self, spec: Any, checked: Any, name: str = "p", token: str = "", **more: Any) -> Given:
        body = {"spec": spec, "version": checked["version"], "typedName": name, **more}
        return self.ask("PUT", f"/api/v1/policies/{name}", body, token, X_Check=checked["checkToken"])


@pytest.fixture(scope="module")
def shop(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    rest = Rest(kubeconfig(str(api.kubeconfig)))
    cluster = Cluster(api, rest, Path(tmp_path_factory.mktemp("writes")), next(itertools.count(950)))
    made = Shop(cluster)
    yield made
    made.desk.stop()
    cluster.close()
    for name in ("writer", "writer2", "looker"):
        api.kubectl("delete", "serviceaccount", name, f"--namespace={NAMESPACE}", "--ignore-not-found")


def test_a_checked_change_is_written_noted_and_followed(shop: Shop) -> None:
    before = shop.cluster.get(POLICIES.path("p"))
    checked = shop.check(LESS)
    assert checked["valid"]
    assert shop.cluster.get(POLICIES.path("p"))["spec"] == before["spec"], "a check writes nothing"
    assert [(one["path"], one["before"], one["after"]) for one in checked["diff"]] == [
        ("oversell.cpu.reclaimPercent", 60, 40)
    ]
    assert checked["effect"]["cpu"] == {"before": 5000, "after": 3000}
    assert checked["effect"]["lowered"] == 1
    assert [one["code"] for one in checked["risk"]["reasons"]] == ["moves"]
    given = shop.put(LESS, checked, reason="batch week")
    assert given.code == 200, given.text
    assert given.json["noted"]
    eventually(lambda: shop.cluster.published("n1")[0] == 3000, 20)
    changes = shop.ask("GET", "/api/v1/changes").json["items"]
    mine = next(one for one in changes if one["kind"] == "ColocationPolicy" and one["byConsole"])
    assert mine["by"] == f"system:serviceaccount:{NAMESPACE}:writer"
    assert (mine["reason"], mine["action"], mine["name"]) == ("batch week", "changed", "p")
    assert mine["diff"][0]["path"] == "oversell.cpu.reclaimPercent"
    assert "on 1 nodes" in mine["foretold"]
    managed = shop.cluster.get(POLICIES.path("p"))["metadata"]["managedFields"]
    assert "colocation-console" in {one["manager"] for one in managed}
    last = shop.ask("GET", "/api/v1/policies/p").json["policy"]["lastChange"]
    assert last["by"].endswith(":writer")


def test_nothing_is_written_without_the_token_of_its_check(shop: Shop) -> None:
    version = shop.version()
    spec = {"oversell": {**BASE["oversell"], "maxPods": 9}}
    checked = shop.check(spec)
    other = {"oversell": {**BASE["oversell"], "maxPods": 8}}
    for body, token, check in (
        (spec, "", ""),
        (spec, "", "x"),
        (spec, "", checked["checkToken"][:-1] + "0"),
        (other, "", checked["checkToken"]),  # another change
        (spec, shop.other, checked["checkToken"]),  # another person
        (spec, shop.reader, checked["checkToken"]),
    ):
        sent = {"spec": body, "version": version, "typedName": "p"}
        given = shop.ask("PUT", "/api/v1/policies/p", sent, token, X_Check=check)
        assert given.code == 412, given.text
    assert shop.version() == version


def test_two_at_once_the_second_sees_what_the_first_wrote(shop: Shop) -> None:
    one, two = {**BASE, "priority": 3}, {**BASE, "priority": 4}
    first, second = shop.check(one), shop.check(two)
    assert shop.put(one, first).code == 200
    given = shop.put(two, second)
    assert given.code == 409
    assert given.json["theirs"]["spec"]["priority"] == 3
    assert shop.ask("POST", "/api/v1/policies/p:check", {"spec": two, "version": second["version"]}).code == 409


@pytest.mark.parametrize(
    ("spec", "path", "code"),
    [
        ({"oversel": {}}, "oversel", "unknownField"),
        ({"oversell": {"cpu": {"reclaimPercent": 101}}}, "oversell.cpu.reclaimPercent", "maximum"),
        ({"oversell": {"cpu": {"reclaimPercent": "60"}}}, "oversell.cpu.reclaimPercent", "type"),
        ({"oversell": {"memory": {"quantum": "1 GB"}}}, "oversell.memory.quantum", "pattern"),
        ({"suppress": {"cpu": {"minPercent": 90, "targetPercent": 10}}}, "suppress.cpu", "refused"),  # CEL
        ({"evict": {"memory": {"lowPercent": 85}}}, "evict.memory", "refused"),
        ({"nodeSelector": {"matchLabels": {"a": 1}}}, "nodeSelector.matchLabels", "type"),
        ({"enabled": None}, "enabled", "type"),
        ({"rubik": {"psi": {"interval": 5}}}, "rubik.psi.interval", "minimum"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(shop: Shop, spec: Any, path: str, code: str) -> None:
    checked = shop.check(spec)
    assert not checked["valid"]
    assert not checked["checkToken"]
    assert [(one["path"], one["code"]) for one in checked["fields"]] == [(path, code)], checked["fields"]


def test_a_policy_is_made_and_deleted(shop: Shop) -> None:
    spec = {**BASE, "nodeSelector": {"matchLabels": {"pool": "none"}}}
    checked = shop.check(spec, "fresh", "")
    assert checked["created"]
    assert shop.put(spec, checked, "fresh").code == 201
    assert shop.cluster.get(POLICIES.path("fresh"))["spec"]["nodeSelector"]["matchLabels"] == {"pool": "none"}
    body = {"delete": True, "version": shop.version("fresh")}
    gone = shop.ask("POST", "/api/v1/policies/fresh:check", body).json
    assert gone["risk"]["level"] == "high"
    sent = {"version": body["version"]}
    refused = shop.ask("DELETE", "/api/v1/policies/fresh", sent, X_Check=gone["checkToken"])
    assert (refused.code, refused.json["fields"][0]["code"]) == (422, "typedName")
    given = shop.ask("DELETE", "/api/v1/policies/fresh", {**sent, "typedName": "fresh"}, X_Check=gone["checkToken"])
    assert given.json["deleted"]
    with pytest.raises(ApiError):
        shop.cluster.get(POLICIES.path("fresh"))


def test_a_name_that_no_policy_may_have_is_told(shop: Shop) -> None:
    checked = shop.check(BASE, "Not_a_name", "")
    assert checked["fields"][0]["path"] == "metadata.name"


def test_a_reader_is_told_what_is_missing_before_anything_is_written(shop: Shop) -> None:
    body = {"spec": {**BASE, "priority": 9}, "version": shop.version()}
    given = shop.ask("POST", "/api/v1/policies/p:check", body, shop.reader)
    assert given.code == 403
    assert "grant operator" in given.json["remedy"]
    assert given.json["missing"].startswith("patch colocationpolicies")


def test_nodes_are_switched_off_and_on_and_the_pods_there_are_named(shop: Shop) -> None:
    shop.cluster.pod("batch", "n1", be=(1000, 2**30), running=True)
    eventually(lambda: shop.desk.fresh() or shop.ask("GET", "/api/v1/nodes/n1").json["row"]["bePods"] == 1, 20)
    body: dict[str, Any] = {"names": ["n1", "nowhere"], "colocation": False, "dryRun": True}
    given = shop.ask("POST", "/api/v1/nodes:label", body).json
    assert [one["outcome"] for one in given["items"]] == ["would", "missing"]
    assert given["pods"] == ["default/batch"]
    labels = shop.cluster.get(NODES.path("n1"))["metadata"]["labels"]
    assert labels["node.openfuyao.com/colocation"] == "true", "a dry run writes nothing"
    given = shop.ask("POST", "/api/v1/nodes:label", {"names": ["n1"], "colocation": False}).json
    assert given["items"][0]["outcome"] == "done"
    assert "node.openfuyao.com/colocation" not in shop.cluster.get(NODES.path("n1"))["metadata"].get("labels", {})
    denied = shop.ask("POST", "/api/v1/nodes:label", {"names": ["n1"], "colocation": True}, shop.reader).json
    assert denied["items"][0]["outcome"] == "denied"
    again = shop.ask("POST", "/api/v1/nodes:label", {"names": ["n1"], "colocation": True}).json
    assert again["items"][0]["outcome"] == "done"
    told = [one for one in shop.ask("GET", "/api/v1/changes").json["items"] if one["kind"] == "Node"]
    assert {one["action"] for one in told} == {"labelled", "unlabelled"}
    shop.cluster.end_pod("batch")


def test_an_operator_may_touch_one_label_of_a_node_and_nothing_else(shop: Shop) -> None:
    """By the API server itself, past the console."""
    rest = Rest(kubeconfig(str(shop.cluster.api.kubeconfig))).speaking_as({"Authorization": f"Bearer {shop.operator}"})
    path = NODES.path("n1")

    def code(body: Any, method: str = "PATCH", where: str = path) -> int:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            rest.send(method, where, body=json.dumps(body).encode(), kind=kind)
        except ApiError as error:
            return error.code
        return 200

    # Clients with a certificate carry it whatever the header says; so this speaks as nobody but the header.
    assert rest is not shop.cluster.rest
    anonymous = shop.desk.console.app.api.speaking_as({"Authorization": f"Bearer {shop.operator}"})
    rest = anonymous
    eventually(lambda: code({"metadata": {"labels": {"other": "x"}}}) == 403, 20)
    for body in (
        {"metadata": {"labels": {"node.openfuyao.com/colocation": "true", "pool": "x"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"finalizers": ["a/b"]}},
        {"spec": {"unschedulable": True}},
        {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}},
        {"metadata": {"labels": {"node.openfuyao.com/colocation": "maybe"}}},
    ):
        assert code(body) == 403, body
    assert code({"status": {"capacity": {"cpu": "1"}}}, where=NODES.path("n1", sub="status")) == 403
    assert code(shop.cluster.get(path), "PUT") == 403
    assert code({}, "DELETE") == 403
    assert code({"metadata": {"labels": {"node.openfuyao.com/colocation": "true"}}}) == 200
    admin = shop.cluster.rest.patch(path, {"metadata": {"labels": {"pool": "y"}}})
    assert json.loads(admin)["metadata"]["labels"]["pool"] == "y", "administrators are left alone"


@pytest.mark.parametrize("kind", ["Node", "ColocationPolicy"])
def test_an_event_about_what_has_no_namespace_can_be_in_default_only(shop: Shop, kind: str) -> None:
    """Why two Roles of ours are in a namespace that is not ours."""
    event = events.made(kind, "n1", "u", "Tried", "a note", {})
    shop.cluster.rest.create(EVENTS.path(namespace="default"), event)
    event["metadata"]["namespace"] = NAMESPACE
    with pytest.raises(ApiError) as caught:
        shop.cluster.rest.create(EVENTS.path(namespace=NAMESPACE), event)
    assert (caught.value.code, caught.value.causes[0][0]) == (422, "involvedObject.namespace")


def test_with_the_manager_away_a_change_is_still_possible_by_typing_the_name(shop: Shop) -> None:
    snapshot = shop.desk.console.snapshot
    shop.manager.process.send_signal(19)  # SIGSTOP
    try:
        began = time.monotonic()
        checked = shop.check({**BASE, "priority": 7})
        assert checked["risk"]["level"] == "unknown"
        assert checked["effect"] is None
        assert {"part": "manager", "why": "away", "remedy": ""} in checked["omitted"]
        assert time.monotonic() - began < 12
        refused = shop.put({**BASE, "priority": 7}, checked, typedName="")
        assert refused.code == 422
        assert shop.put({**BASE, "priority": 7}, checked).code == 200
        assert shop.ask("GET", "/api/v1/nodes").code == 200, "the last data is still shown"
    finally:
        shop.manager.process.send_signal(18)
    snapshot.fetch()
    assert snapshot.away_since is None
