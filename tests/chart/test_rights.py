"""Who may do what: the table in docs/security.md is the chart, and the authoriser allows nothing beside it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, NamedTuple

import pytest
import yaml

from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .accounts import VERBS, Account, Question, questions
from .conftest import CHART, NAMESPACE, render

PAGE = CHART.parents[1] / "docs/security.md"
NODE, NCOL = "/api/v1/nodes", "/apis/colocation.openfuyao.com/v1alpha1/nodecolocations"
# What the cluster itself gives to everybody who is logged in (system:basic-user): to ask about oneself.
ANYBODY = {
    "selfsubjectreviews.authentication.k8s.io": {"create"},
    "selfsubjectaccessreviews.authorization.k8s.io": {"create"},
    "selfsubjectrulesreviews.authorization.k8s.io": {"create"},
}


class Right(NamedTuple):
    """One verb on one resource, as the table says it."""

    role: str
    where: str
    """The namespace that it is bound to; empty: everywhere."""
    resource: str
    verb: str
    name: str = ""


def in_the_table(*, webhook: bool = False, rubik: bool = False) -> set[Right]:
    """``webhook``, ``rubik``: also what is granted only where admission is by webhook, where rubik runs."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if "| `" in line]
    found = set()
    for role, where, resource, verbs, names, why in (row for row in rows if len(row) == 6):
        assert why, f"{role} {resource}: why?"
        if "with the webhook" in where and not webhook:
            continue
        if "with rubik" in where and not rubik:
            continue
        for verb in verbs.split(", "):
            for name in re.findall("`(.+?)`", names) or [""]:
                found.add(Right(role.strip("`"), _namespace(where), resource.strip("`"), verb, name))
    return found


def _namespace(where: str) -> str:
    if where.startswith("own namespace"):
        return NAMESPACE
    only = re.fullmatch("namespace `(.+)`", where)
    return only[1] if only else ""


def in_the_chart(*values: str) -> tuple[set[Right], list[dict[str, Any]]]:
    documents = [d for d in yaml.safe_load_all(render(*values)) if d]
    found = set()
    for role in (d for d in documents if d["kind"] in ("Role", "ClusterRole")):
        for rule in role["rules"]:
            assert "nonResourceURLs" not in rule
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [""]):
                            where = role["metadata"]["namespace"] if role["kind"] == "Role" else ""
                            answer = f"{resource}.{group}" if group else resource
                            found.add(Right(role["metadata"]["name"], where, answer, verb, name))
    return found, documents


@pytest.mark.parametrize("webhook", [False, True])
def test_the_table_is_the_chart(webhook: bool) -> None:
    found, _ = in_the_chart("--set", f"admission.mode={'webhook' if webhook else 'cel'}")
    assert found == in_the_table(webhook=webhook)
    assert not {"*"} & {part for right in found for part in (right.resource, right.verb)}


def test_the_table_is_the_chart_with_rubik_too() -> None:
    found, _ = in_the_chart("--set", "admission.mode=cel,rubik.enabled=true,rubik.image=example.org/rubik:2")
    assert found == in_the_table(rubik=True)


def test_the_agent_mounts_the_host_paths_in_the_table_and_no_other() -> None:
    _, documents = in_the_chart()
    (agent,) = [d for d in documents if d["kind"] == "DaemonSet"]
    pod = agent["spec"]["template"]["spec"]
    mounts = {
        m["name"]: "read-only" if m.get("readOnly") else "read-write" for m in pod["containers"][0]["volumeMounts"]
    }
    paths = {(v["hostPath"]["path"], mounts[v["name"]]) for v in pod["volumes"] if "hostPath" in v}
    assert paths == set(re.findall(r"^\| `(/[^`]+)` \| (read-\w+) \|", PAGE.read_text(), re.MULTILINE))
    assert not [
        v for d in documents if d["kind"] == "Deployment" for v in d["spec"]["template"]["spec"].get("volumes", ())
    ]


def test_each_account_has_its_own_role_and_no_other() -> None:
    _, documents = in_the_chart()
    bindings = [d for d in documents if d["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    bound = set()
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE)
        bound.add((subject["name"], binding["roleRef"]["name"], binding["kind"] == "RoleBinding"))
    assert bound == {
        ("colocation-agent", "colocation-agent", False),
        ("colocation-manager", "colocation-manager", False),
        ("colocation-manager", "colocation-manager", True),
        ("colocation-test", "colocation-explain", True),  # `helm test`
    }


def allowed(account: Account, api: ApiServer) -> set[tuple[str, str, str]]:
    """(namespace, resource, verb) of everything that the authoriser allows beside what anybody may."""
    asked = list(questions(api, NAMESPACE))
    assert len(asked) > 800, "discovery has become much smaller than it was"
    found = [q for q in asked if q.verb not in ANYBODY.get(q.said, ()) and account.may(q)]
    return {("" if account.may(q._replace(namespace="")) else NAMESPACE, q.said, q.verb) for q in found}


@pytest.mark.parametrize("role", ["colocation-agent", "colocation-manager"])
def test_the_authoriser_refuses_every_verb_on_every_resource_that_is_not_in_the_table(
    api: ApiServer, request: pytest.FixtureRequest, role: str
) -> None:
    account: Account = request.getfixturevalue(role.removeprefix("colocation-"))
    rights = {right for right in in_the_table() if right.role == role and right.where in ("", NAMESPACE)}
    # What is granted for a name only is no answer to a question without one.
    assert allowed(account, api) == {(r.where, r.resource, r.verb) for r in rights if not r.name}
    for right in (right for right in rights if right.name):
        resource, _, group = right.resource.partition(".")
        question = Question(group, resource, right.verb, NAMESPACE, right.name)
        assert account.may(question)
        assert not account.may(question._replace(name="another"))
        assert not account.may(question._replace(namespace="kube-system"))


def test_with_the_webhook_the_manager_has_one_secret_and_one_configuration_more(
    api: ApiServer, manager: Account
) -> None:
    role = "colocation-manager-webhook"
    _, documents = in_the_chart("--set", "admission.mode=webhook")
    wanted = [d for d in documents if d["metadata"]["name"] == role and "Role" in d["kind"]]
    assert len(wanted) == 4
    rights = {right for right in in_the_table(webhook=True) if right.role == role}
    stream = yaml.safe_dump_all(wanted)
    api.kubectl("apply", "-f", "-", stdin=stream)
    try:
        for right in rights:
            resource, _, group = right.resource.partition(".")
            question = Question(group, resource, right.verb, right.where, right.name)
            eventually(partial(manager.may, question), 30, str(question))
            assert not manager.may(question._replace(name="another"))
            assert not manager.may(question._replace(name=""))
        for verb in VERBS:
            for namespace in (NAMESPACE, "kube-system", ""):
                assert not manager.may(Question("", "secrets", verb, namespace))
            assert not manager.may(Question("", "secrets", verb, "kube-system", "colocation-webhook"))
            assert (verb in ("get", "update")) == manager.may(
                Question("", "secrets", verb, NAMESPACE, "colocation-webhook")
            )
    finally:
        api.kubectl("delete", "-f", "-", stdin=stream)


@pytest.mark.parametrize("role", ["colocation-agent", "colocation-manager"])
@pytest.mark.parametrize("namespace", ["kube-system", "default"])
def test_in_other_namespaces_an_account_has_what_it_has_everywhere_and_what_the_table_says_of_them(
    request: pytest.FixtureRequest, role: str, namespace: str
) -> None:
    account: Account = request.getfixturevalue(role.removeprefix("colocation-"))
    found = {
        (f"{resource}.{group}" if group else resource, verb)
        for rule in account.rules(namespace)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    granted = {(r.resource, r.verb) for r in in_the_table() if r.role == role and r.where in ("", namespace)}
    assert {one for one in found if one[1] not in ANYBODY.get(one[0], ())} == granted


@pytest.mark.parametrize("who", ["agent", "manager"])
def test_no_page_of_the_api_server_but_what_anybody_may_read(who: str, request: pytest.FixtureRequest) -> None:
    account: Account = request.getfixturevalue(who)
    assert not [path for path in ("/metrics", "/logs", "/debug/pprof", "/configz", "/flagz") if account.may_read(path)]


def test_the_agent_is_refused_what_an_intruder_would_try_first(agent: Account) -> None:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "agent-two", "namespace": NAMESPACE},
    }
    tries: list[tuple[str, str, Any]] = [
        ("GET", f"{NCOL}/two", None),
        ("PATCH", f"{NCOL}/one", {"spec": {"enabled": False}}),
        ("DELETE", f"{NCOL}/one", None),
        ("PATCH", f"{NODE}/one", {"metadata": {"labels": {"a": "b"}}}),
        ("PATCH", f"{NODE}/one/status", {"status": {"capacity": {"kubernetes.io/be-cpu": "1"}}}),
        ("GET", f"{NODE}/one/proxy/pods", None),
        ("GET", f"{NODE}/one/proxy/exec/default/x/c?command=id", None),
        ("GET", "/api/v1/pods", None),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-one", None),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-two/eviction", eviction),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-two", None),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets", None),
        ("GET", "/api/v1/configmaps", None),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/colocation-manager/token", {"spec": {}}),
        ("GET", "/apis/colocation.openfuyao.com/v1alpha1/colocationpolicies", None),
    ]
    assert [(t[:2], code) for t in tries if (code := agent.send(*t)[0]) != 403] == []


def test_the_manager_is_refused_what_an_intruder_would_try_first(manager: Account) -> None:
    tries: list[tuple[str, str, Any]] = [
        ("PATCH", f"{NODE}/one/status", {"status": {"capacity": {"cpu": "5"}}}),
        ("PATCH", f"{NODE}/one", {"spec": {"unschedulable": True}}),
        ("DELETE", f"{NODE}/one", None),
        ("GET", f"{NODE}/one/proxy/pods", None),
        ("PATCH", f"{NCOL}/one/status", {"status": {"agentVersion": "2"}}),
        ("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "x"}}),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-one/exec?command=id", None),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-one", None),
        ("GET", "/api/v1/secrets", None),
        ("GET", "/api/v1/namespaces/kube-system/secrets", None),
        ("GET", "/api/v1/namespaces/default/secrets/x", None),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token", {"spec": {}}),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {"metadata": {"name": "x"}}),
        ("PATCH", "/apis/colocation.openfuyao.com/v1alpha1/colocationpolicies/x", {"spec": {"enabled": False}}),
        ("GET", "/apis/events.k8s.io/v1/namespaces/default/events", None),
    ]
    assert [(t[:2], code) for t in tries if (code := manager.send(*t)[0]) != 403] == []
