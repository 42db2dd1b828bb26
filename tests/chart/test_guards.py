"""What RBAC cannot say, with real ServiceAccount tokens: whose object, and which keys of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.pki import Pair

from .conftest import NAMESPACE, eventually

KINDS = {"node": "/api/v1/nodes", "ncol": "/apis/colocation.openfuyao.com/v1alpha1/nodecolocations"}
OURS = {"kubernetes.io/be-cpu": "1000", "kubernetes.io/be-memory": "1024", "colocation.openfuyao.com/be-pods": "9"}


def apply(api: ApiServer, **body: Any) -> None:
    api.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def token(api: ApiServer, account: str, *bound: str) -> str:
    """A fresh token of that ServiceAccount."""
    return api.kubectl("create", "token", account, f"--namespace={NAMESPACE}", *bound).strip()


def patch(
    api: ApiServer,
    bearer: str,
    what: str,
    name: str,
    body: dict[str, Any],
    *,
    status: bool = True,
    certificate: Pair | None = None,
) -> str:
    """The refusal, or nothing. Not by kubectl: it would want to read the status first."""
    files = (str(certificate.cert), str(certificate.key)) if certificate else (None, None)
    with urllib3.PoolManager(ca_certs=str(api.ca_cert), cert_file=files[0], key_file=files[1]) as pool:
        url = f"{api.url}{KINDS[what]}/{name}{'/status' if status else ''}"
        headers = {"Content-Type": "application/merge-patch+json"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        answer = pool.request("PATCH", url, body=json.dumps(body), headers=headers)
        return "" if answer.status == 200 else str(answer.json()["message"])


@pytest.fixture(scope="module")
def nodes(api: ApiServer) -> Iterator[tuple[str, str]]:
    names = ("one", "two")
    status = {"capacity": {"cpu": "4", "memory": "8Gi"}, "allocatable": {"cpu": "4", "memory": "8Gi"}}
    for name in names:
        apply(api, apiVersion="v1", kind="Node", metadata={"name": name, "annotations": {"a": "b"}})
        api.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        apply(api, apiVersion="colocation.openfuyao.com/v1alpha1", kind="NodeColocation", metadata={"name": name})
        spec = {"nodeName": name, "serviceAccountName": "colocation-agent", "containers": [{"name": "a", "image": "x"}]}
        meta = {"name": f"agent-{name}", "namespace": NAMESPACE}
        apply(api, apiVersion="v1", kind="Pod", metadata=meta, spec=spec)
    yield names
    for name in names:
        api.kubectl("delete", "pod", f"agent-{name}", f"--namespace={NAMESPACE}", "--force", "--grace-period=0")
        api.kubectl("delete", "ncol,node", name)


@pytest.fixture(scope="module")
def agent(api: ApiServer, nodes: tuple[str, str]) -> str:
    """Token of the agent of node `one`."""
    config = token(api, "colocation-agent", "--bound-object-kind=Pod", "--bound-object-name=agent-one")
    body = {"status": {"windowSeconds": 1}}
    eventually(lambda: patch(api, config, "ncol", "one", body) == "", "rights")
    eventually(lambda: "own node" in patch(api, config, "ncol", "two", body), "guard")
    return config


@pytest.fixture(scope="module")
def manager(api: ApiServer, nodes: tuple[str, str]) -> str:
    config = token(api, "colocation-manager")
    cpu = {"status": {"capacity": {"cpu": "5"}}}
    eventually(lambda: "may change no" in patch(api, config, "node", "two", cpu), "guard")
    return config


def test_an_agent_reports_for_its_own_node(api: ApiServer, agent: str) -> None:
    assert patch(api, agent, "ncol", "one", {"status": {"agentVersion": "1", "node": {"cpu": 7}}}) == ""


def test_an_agent_cannot_report_for_another_node(api: ApiServer, agent: str) -> None:
    said = patch(api, agent, "ncol", "two", {"status": {"agentVersion": "1"}})
    assert "this token is for one, the object for two" in said


def test_a_token_without_a_node_is_refused(api: ApiServer, agent: str) -> None:
    unbound = token(api, "colocation-agent")
    assert "this token is for no node" in patch(api, unbound, "ncol", "one", {"status": {"agentVersion": "1"}})


def test_an_agent_cannot_write_its_own_spec(api: ApiServer, agent: str) -> None:
    assert "forbidden" in patch(api, agent, "ncol", "one", {"spec": {"enabled": True}}, status=False)
    patch(api, agent, "ncol", "one", {"spec": {"enabled": True}, "status": {"agentVersion": "2"}})
    assert json.loads(api.kubectl("get", "ncol", "one", "-o", "json"))["spec"]["enabled"] is False


AGENT_MAY = {("nodecolocations", verb) for verb in ("get", "list", "watch")} | {("nodecolocations/status", "patch")}
MANAGER_MAY = (
    {(kind, verb) for kind in ("nodes", "pods", "colocationpolicies", "nodecolocations") for verb in ("list", "watch")}
    | {("nodecolocations", verb) for verb in ("create", "patch", "delete")}
    | {("nodes/status", "patch")}
)


@pytest.mark.parametrize(("account", "may"), [("colocation-agent", AGENT_MAY), ("colocation-manager", MANAGER_MAY)])
def test_the_authoriser_allows_what_is_needed_and_nothing_else(
    api: ApiServer, account: str, may: set[tuple[str, str]]
) -> None:
    """Cluster-wide: every verb on every resource that the cluster serves, asked in one go by rules review."""
    user = ["--as", f"system:serviceaccount:{NAMESPACE}:{account}", "--as-group", "system:serviceaccounts"]
    # In a namespace where nothing was granted, so that only cluster-wide rules are listed.
    listed = api.kubectl("auth", "can-i", "--list", "--no-headers", "--namespace=default", *user)
    found = set()
    for line in listed.splitlines():
        name, _, rest = line.partition(" ")
        if not name or name.startswith("[") or not rest.strip().startswith("["):
            continue  # URLs anybody may read
        kind, _, group = name.partition(".")
        tail = "/" + name.rpartition("/")[2] if "/" in name else ""
        kind = kind.partition("/")[0]
        if group.startswith(("authorization.k8s.io", "authentication.k8s.io")):
            continue  # every account may ask about itself
        verbs = rest[rest.rindex("[") + 1 : rest.rindex("]")].split()
        found |= {(kind + tail, verb) for verb in verbs}
    assert found == may


def test_the_manager_publishes_our_keys_and_takes_them_away(api: ApiServer, manager: str) -> None:
    note: dict[str, Any] = {"annotations": {"colocation.openfuyao.com/withdrawn": "stale"}}
    body = {"metadata": note, "status": {"capacity": OURS, "allocatable": OURS}}
    assert patch(api, manager, "node", "one", body) == ""
    gone: dict[str, Any] = dict.fromkeys(OURS)
    gone_note = {"annotations": {"colocation.openfuyao.com/withdrawn": None}}
    body = {"metadata": gone_note, "status": {"capacity": gone, "allocatable": gone}}
    assert patch(api, manager, "node", "one", body) == ""


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
def test_the_manager_can_change_nothing_else_of_a_node(api: ApiServer, manager: str, body: dict[str, Any]) -> None:
    def seen() -> dict[str, Any]:
        node = json.loads(api.kubectl("get", "node", "one", "-o", "json"))
        status: dict[str, Any] = node["status"]
        moves = ("managedFields", "resourceVersion")
        return {key: value for key, value in node["metadata"].items() if key not in moves} | status

    before = seen()
    said = patch(api, manager, "node", "one", body)
    assert seen() == before
    assert "the colocation manager may change n" in said


def test_nobody_else_is_held_back(api: ApiServer, manager: str) -> None:
    kubelet = api.pki.issue("kubelet-one", "system:node:one", ["system:nodes"])
    body = {"status": {"conditions": [READY], "capacity": {"cpu": "3"}, "declaredFeatures": ["Anything"]}}
    assert patch(api, "", "node", "one", body, certificate=kubelet) == ""


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
        eventually(lambda: may("http:colocation-manager:8080"), "rights")
        assert not may("another")
    finally:
        api.kubectl("delete", "rolebinding", "ana", f"--namespace={NAMESPACE}")
