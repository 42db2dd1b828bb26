"""ResourceQuota and LimitRange beside be-*: what Kubernetes counts and what it does not, and docs/profiles."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .conftest import CHART, Pods, apply, client, container, pod

PROFILES = CHART.parents[1] / "docs/profiles"
CPU, MEMORY, TICKETS = "kubernetes.io/be-cpu", "kubernetes.io/be-memory", "requests.colocation.openfuyao.com/be-pods"
ONE = {"cpu": "1", "memory": "1Gi"}
_numbers = itertools.count(1)
Make = Callable[..., str]


def known(api: ApiServer, quota: dict[str, Any]) -> None:
    """What kube-controller-manager would do, which does not run here: say that nothing is used so far."""
    name, namespace = quota["metadata"]["name"], quota["metadata"]["namespace"]
    hard = quota["spec"]["hard"]
    body = json.dumps({"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})
    api.kubectl("patch", "quota", name, f"--namespace={namespace}", "--subresource=status", "--type=merge", "-p", body)


@pytest.fixture
def namespace(api: ApiServer) -> Callable[[Any], Make]:
    """A namespace with a quota, and a way to make pods in it for good: "" or the refusal."""

    def with_quota(hard: dict[str, str], **spec: Any) -> Make:
        name = f"quota{next(_numbers)}"
        apply(api, apiVersion="v1", kind="Namespace", metadata={"name": name})
        meta = {"name": "q", "namespace": name}
        apply(api, apiVersion="v1", kind="ResourceQuota", metadata=meta, spec={"hard": hard, **spec})
        known(api, {"metadata": meta, "spec": {"hard": hard}})
        return maker(api, name)

    return with_quota


def maker(api: ApiServer, name: str) -> Make:
    def make(body: dict[str, Any]) -> str:
        text = json.dumps({**body, "metadata": {**body["metadata"], "name": f"p{next(_numbers)}"}}).encode()
        try:
            client(api.kubeconfig).send("POST", PODS.path(namespace=name), body=text)
        except ApiError as error:
            return str(error)
        return ""

    return make


@pytest.mark.parametrize("key", [f"requests.{CPU}", CPU, f"limits.{CPU}", f"requests.{MEMORY}"])
def test_a_quota_on_amounts_is_accepted_and_counts_nothing(namespace: Callable[..., Make], key: str) -> None:
    """In Kubernetes' eyes a name in kubernetes.io is native: only of extended resources are amounts counted."""
    make = namespace({key: "1"})
    assert [make(pod(container("c", ONE, ONE))) for _ in range(2)] == ["", ""]


def test_a_quota_on_tickets_counts_best_effort_pods(namespace: Callable[..., Make]) -> None:
    make = namespace({TICKETS: "2"})
    assert [make(pod(container("c", ONE, ONE))) for _ in range(2)] == ["", ""]
    assert f"exceeded quota: q, requested: {TICKETS}=1" in make(pod(container("c", ONE, ONE)))
    assert make(pod(container("c", ONE, ONE), qos=None)) == ""


def test_a_quota_on_pods_of_the_class_counts_them_too(namespace: Callable[..., Make]) -> None:
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["priority-be"]}
    make = namespace({"pods": "1"}, scopeSelector={"matchExpressions": [scope]})
    assert make(pod()) == ""
    assert "exceeded quota" in make(pod())
    assert make(pod(qos="LS")) == ""


def test_a_quota_on_cpu_refuses_best_effort_pods_unless_its_scope_leaves_them_out(
    namespace: Callable[..., Make],
) -> None:
    body = pod(container("c", ONE, ONE))
    assert "must specify requests.cpu" in namespace({"requests.cpu": "9"})(body)
    make = namespace({"requests.cpu": "1"}, scopes=["NotBestEffort"])
    assert make(body) == ""
    assert make(pod(container("c", ONE, ONE), qos=None)) == ""
    assert "exceeded quota" in make(pod(container("c", ONE, ONE), qos=None))


@pytest.fixture(scope="module")
def limited(api: ApiServer) -> Callable[..., Pods]:
    def with_limits(**item: Any) -> Pods:
        name = f"limits{next(_numbers)}"
        apply(api, apiVersion="v1", kind="Namespace", metadata={"name": name})
        apply(
            api, apiVersion="v1", kind="LimitRange", metadata={"name": "l", "namespace": name}, spec={"limits": [item]}
        )
        return Pods(api, name)

    return with_limits


def test_a_limit_range_of_pods_bounds_what_one_may_ask_for(limited: Callable[..., Pods]) -> None:
    pods = limited(type="Pod", max={CPU: "1500"})
    two = pod(container("c", ONE, ONE), container("d", ONE, ONE))
    eventually(lambda: not pods.admits(two), 30, "LimitRange")
    assert "maximum kubernetes.io/be-cpu usage per Pod is 1500, but limit is 2k" in pods.refusal(two)
    assert pods.admits(pod(container("c", ONE, ONE)))
    assert "No limit is specified" in pods.refusal(pod(container("c", ONE)))
    assert "No limit is specified" in pods.refusal(pod(container("c", ONE, ONE), qos=None)), "online pods neither"


def test_a_limit_range_of_containers_may_not_speak_of_ours(limited: Callable[..., Pods]) -> None:
    """Its defaults (and a maximum is one) come before admission: they are taken for the pod's own word."""
    pods = limited(type="Container", max={CPU: "900"})

    def asked() -> Any:
        return pods.admit(pod(container("c", ONE, ONE)))["spec"]["containers"][0]["resources"]["requests"]

    eventually(lambda: asked()[CPU] == "900", 30, "LimitRange")
    assert "which only BE pods may" in pods.refusal(pod(qos=None))


def test_the_profile_of_a_batch_namespace(api: ApiServer) -> None:
    documents = list(yaml.safe_load_all((PROFILES / "batch.yaml").read_text()))
    quota = next(d for d in documents if d["kind"] == "ResourceQuota")
    quota["spec"]["hard"][TICKETS] = "2"
    for document in documents:
        apply(api, **document)
    known(api, quota)
    pods, make = Pods(api, "batch"), maker(api, "batch")
    nothing = pod(container("c"), qos=None)

    def asked() -> Any:
        return pods.admit(nothing)["spec"]["containers"][0]["resources"].get("requests", {})

    eventually(lambda: asked().get(CPU) == "500", 30, "default class and LimitRange")
    given = pods.admit(nothing)
    assert given["metadata"]["annotations"]["openfuyao.com/qos-level"] == "BE"
    assert given["spec"]["containers"][0]["resources"]["requests"][CPU] == "500"
    big = {"cpu": "5", "memory": "1Gi"}
    assert "maximum kubernetes.io/be-cpu usage per Pod is 4k" in pods.refusal(pod(container("c", big, big), qos=None))
    assert [make(nothing), make(nothing)] == ["", ""]
    assert "exceeded quota: tickets" in make(nothing)


def test_the_profile_of_a_mixed_namespace(api: ApiServer) -> None:
    for document in yaml.safe_load_all((PROFILES / "mixed.yaml").read_text()):
        apply(api, **document)
        if document["kind"] == "ResourceQuota":
            known(api, document)
    make = maker(api, "mixed")
    assert make(pod(container("c", ONE, ONE), qos=None)) == ""
    assert [make(pod(container("c", ONE, ONE))) for _ in range(10)] == [""] * 10
    assert "exceeded quota: best-effort" in make(pod(container("c", ONE, ONE)))
    huge = {"cpu": "41", "memory": "1Gi"}
    assert "exceeded quota: online" in make(pod(container("c", huge, huge), qos="HLS"))
