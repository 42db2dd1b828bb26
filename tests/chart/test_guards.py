"""What RBAC cannot say, with real ServiceAccount tokens: whose object, and which keys of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.waiting import eventually

from .accounts import Account
from .conftest import NAMESPACE, token

NODE, NCOL = "/api/v1/nodes", "/apis/colocation.openfuyao.com/v1alpha1/nodecolocations"

OURS = {"kubernetes.io/be-cpu": "1000", "kubernetes.io/be-memory": "1024", "colocation.openfuyao.com/be-pods": "9"}


def test_an_agent_reports_for_its_own_node(api: ApiServer, agent: Account) -> None:
    assert agent.refusal("PATCH", f"{NCOL}/one/status", {"status": {"agentVersion": "1", "node": {"cpu": 7}}}) == ""


def test_an_agent_cannot_report_for_another_node(api: ApiServer, agent: Account) -> None:
    answer = agent.refusal("PATCH", f"{NCOL}/two/status", {"status": {"agentVersion": "1"}})
    assert "this token is for one, the object for two" in answer


def test_a_token_without_a_node_is_refused(api: ApiServer, agent: Account) -> None:
    unbound = Account(api, token(api, "colocation-agent"))
    answer = unbound.refusal("PATCH", f"{NCOL}/one/status", {"status": {"agentVersion": "1"}})
    assert "this token is for no node" in answer


def test_an_agent_cannot_write_its_own_spec(api: ApiServer, agent: Account) -> None:
    assert "forbidden" in agent.refusal("PATCH", f"{NCOL}/one", {"spec": {"enabled": True}})
    agent.refusal("PATCH", f"{NCOL}/one/status", {"spec": {"enabled": True}, "status": {"agentVersion": "2"}})
    assert json.loads(api.kubectl("get", "ncol", "one", "-o", "json"))["spec"]["enabled"] is False


def test_the_manager_publishes_our_keys_and_takes_them_away(api: ApiServer, manager: Account) -> None:
    note: dict[str, Any] = {"annotations": {"colocation.openfuyao.com/withdrawn": "stale"}}
    body = {"metadata": note, "status": {"capacity": OURS, "allocatable": OURS}}
    assert manager.refusal("PATCH", f"{NODE}/one/status", body) == ""
    gone: dict[str, Any] = dict.fromkeys(OURS)
    gone_note = {"annotations": {"colocation.openfuyao.com/withdrawn": None}}
    body = {"metadata": gone_note, "status": {"capacity": gone, "allocatable": gone}}
    assert manager.refusal("PATCH", f"{NODE}/one/status", body) == ""


READY = {"type": "Ready", "status": "True", "reason": "r", "message": "m"}


@pytest.mark.parametrize(
    "body",
    [
        {"status": {"capacity": {"cpu": "5"}}},
        {"status": {"capacity": {"cpu": None}}},
        {"status": {"allocatable": {"memory": "9Gi"}}},
        {"status": {"allocatable": {"example.com/gpu": "1"}}},
        {"status": {"capacity": None}},
        {"status": {"conditions": [READY]}},
        {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}},
        {"status": {"images": [{"names": ["x"], "sizeBytes": 1}]}},
        {"status": {"nodeInfo": {"kernelVersion": "x"}}},
        {"status": {"features": {"supplementalGroupsPolicy": True}}},
        {"status": {"declaredFeatures": ["Anything"]}},
        {"status": {"volumesInUse": ["x"]}},
        {"metadata": {"annotations": {"a": "c"}}},
        {"metadata": {"annotations": {"b": "c"}}},
        {"metadata": {"annotations": {"a": None}}},
        {"metadata": {"labels": {"node.openfuyao.com/colocation": "true"}}},
        {"metadata": {"finalizers": ["example.com/x"]}},
    ],
    ids=json.dumps,
)
def test_the_manager_can_change_nothing_else_of_a_node(api: ApiServer, manager: Account, body: dict[str, Any]) -> None:
    def seen() -> dict[str, Any]:
        node = json.loads(api.kubectl("get", "node", "one", "-o", "json"))
        status: dict[str, Any] = node["status"]
        moves = ("managedFields", "resourceVersion")
        return {key: value for key, value in node["metadata"].items() if key not in moves} | status

    before = seen()
    answer = manager.refusal("PATCH", f"{NODE}/one/status", body)
    assert seen() == before
    assert "the colocation manager may change n" in answer


def test_nobody_else_is_held_back(api: ApiServer, manager: Account) -> None:
    kubelet = Account(api, certificate=api.pki.issue("kubelet-one", "system:node:one", ["system:nodes"]))
    body = {"status": {"conditions": [READY], "capacity": {"cpu": "3"}, "declaredFeatures": ["Anything"]}}
    assert kubelet.refusal("PATCH", f"{NODE}/one/status", body) == ""


def test_a_person_may_be_given_explanations_and_nothing_else_of_the_proxy(api: ApiServer) -> None:
    binding = ["rolebinding", "ana", "--role=colocation-explain", "--user=ana", f"--namespace={NAMESPACE}"]
    api.kubectl("create", *binding)

    def may(service: str) -> bool:
        asked = ["get", f"services/{service}", "--subresource=proxy", f"--namespace={NAMESPACE}", "--as=ana"]
        try:
            return api.kubectl("auth", "can-i", *asked).strip() == "yes"
        except LabError:
            return False

    try:
        eventually(lambda: may("http:colocation-manager:8080"), 30, "rights")
        assert not may("another")
    finally:
        api.kubectl("delete", "rolebinding", "ana", f"--namespace={NAMESPACE}")
