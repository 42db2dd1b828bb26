"""What goes in, and what the API server makes of it: by policies and, all the same, by the webhook."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError
from colocation.model.facts import PodFacts, pod_facts
from colocation.model.quantity import parse
from colocation.model.wire import Pod
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.process import run
from tests.lab.waiting import eventually

from .conftest import OLD, Pods, client, container, pod

WAYS = ["webhook"] if OLD else ["cel", "webhook"]
CPU, MEMORY, GATE = "kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods"
TICKET = {GATE: 1}


@pytest.fixture(scope="module", params=WAYS)
def api(request: pytest.FixtureRequest) -> ApiServer:
    """Every claim in this file is tried both ways."""
    server: ApiServer = request.getfixturevalue("hooked" if request.param == "webhook" else "policed")
    return server


@pytest.fixture(scope="module")
def pods(api: ApiServer) -> Pods:
    return Pods(api, "default")


@pytest.fixture(scope="module")
def namespace(api: ApiServer) -> Callable[..., Pods]:
    """Makes a namespace with labels, once, and waits until the API server knows them."""

    def make(name: str, **labels: str) -> Pods:
        marks = {f"colocation.openfuyao.com/{key.replace('_', '-')}": value for key, value in labels.items()}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": marks}}
        api.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        return Pods(api, name)

    return make


def amounts(given: dict[str, Any], kind: str = "containers") -> list[dict[str, dict[str, int]]]:
    """Requests and limits as integers: the form of a quantity is nobody's business."""
    return [
        {
            part: {key: parse(value) if key not in ("cpu", "memory") else value for key, value in found.items()}
            for part, found in c["resources"].items()
        }
        for c in given["spec"].get(kind, [])
    ]


def both(**values: int) -> dict[str, dict[str, int]]:
    """The same requests and limits, in our names, with the ticket."""
    names = {"cpu": CPU, "memory": MEMORY}
    entry = {names[key]: value for key, value in values.items()} | TICKET
    return {"requests": entry, "limits": entry}


@pytest.mark.parametrize(
    ("cpu", "millicores"),
    [
        ("1500m", 1500), ("0.5", 500), ("2", 2000), (1, 1000), (0.25, 250), ("1e1", 10_000), ("1E1", 10_000),
        ("1k", 1_000_000),
        ("0", 0), ("1m", 1), ("1001m", 1001), ("4.35", 4350), ("0.1", 100), ("1.0005", 1001), ("100u", 1), ("1100u", 2),
        ("1n", 1), ("123456789", 123_456_789_000),
    ],
)  # fmt: skip
def test_cpu_in_any_form_becomes_whole_millicores_rounded_up(pods: Pods, cpu: Any, millicores: int) -> None:
    given = pods.admit(pod(container(requests={"cpu": cpu}, limits={"cpu": cpu})))
    assert amounts(given) == [both(cpu=millicores)]


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        ("128974848", 128974848), ("129e6", 129_000_000), ("129M", 129_000_000), ("123Mi", 128974848), (1024, 1024),
        ("1Gi", 2**30), ("1.5Gi", 3 * 2**29), ("7Ei", 7 * 2**60), ("2Ti", 2**41), ("9007199254740993", 2**53 + 1),
        ("1500m", 2),
    ],
)  # fmt: skip
def test_memory_in_any_form_becomes_bytes_rounded_up(pods: Pods, memory: Any, size: int) -> None:
    given = pods.admit(pod(container(requests={"memory": memory}, limits={"memory": memory})))
    assert amounts(given) == [both(memory=size)]


@pytest.mark.parametrize("cpu", ["9E", "8192Pi"])
def test_absurd_amounts_are_admitted_or_refused_but_never_overflow(pods: Pods, cpu: str) -> None:
    try:
        given = pods.admit(pod(container(requests={"cpu": cpu}, limits={"cpu": cpu})))
    except LabError:
        return
    assert amounts(given)[0]["requests"][CPU] > 10**15


def test_requests_below_limits_stay_so(pods: Pods) -> None:
    given = pods.admit(pod(container(requests={"cpu": "250m"}, limits={"cpu": "1", "memory": "200Mi"})))
    requests = {CPU: 250, MEMORY: 200 * 2**20} | TICKET  # memory: Kubernetes' own default, the limit
    assert amounts(given) == [{"requests": requests, "limits": {CPU: 1000, MEMORY: 200 * 2**20} | TICKET}]


def test_every_container_of_every_kind_is_converted_and_one_has_the_ticket(pods: Pods) -> None:
    one = {"cpu": "100m", "memory": "1Mi"}
    given = pods.admit(
        pod(
            container("a", requests=one),
            container("b", requests=one, limits=one),
            container("c"),
            initContainers=[container("i", requests=one), container("s", limits=one, restartPolicy="Always")],
        )
    )
    plain = {CPU: 100, MEMORY: 2**20}
    a, b, c = amounts(given)
    assert (a, b, c) == (
        {"requests": plain | TICKET, "limits": TICKET},
        {"requests": plain, "limits": plain},
        {},
    )
    assert amounts(given, "initContainers") == [{"requests": plain}, {"requests": plain, "limits": plain}]
    assert given["status"]["qosClass"] == "BestEffort"


def test_the_rest_of_a_best_effort_pod(pods: Pods) -> None:
    given = pods.admit(pod(container(requests={"ephemeral-storage": "1Gi"})))
    spec = given["spec"]
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("priority-be", -100, "Never")
    assert given["metadata"]["annotations"]["volcano.sh/preemptable"] == "true"
    assert spec["containers"][0]["resources"]["requests"]["ephemeral-storage"] == "1Gi"


@pytest.mark.skipif(OLD, reason="this Kubernetes knows no claims yet, and drops them")
def test_claims_of_devices_are_kept(pods: Pods) -> None:
    body = pod(container(requests={"cpu": "1"}), resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}])
    body["spec"]["containers"][0]["resources"]["claims"] = [{"name": "gpu"}]
    assert pods.admit(body)["spec"]["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]


@pytest.mark.parametrize("wrong", ["5", "1"])
def test_tickets_of_ones_own_are_put_right(pods: Pods, wrong: str) -> None:
    mine = {GATE: wrong}
    given = pods.admit(pod(container("a", mine, mine), container("b", mine, mine)))
    assert amounts(given) == [{"requests": TICKET, "limits": TICKET}, {}]


def test_a_pod_that_asks_for_be_itself_is_left_as_it_asks(pods: Pods) -> None:
    asks = {CPU: "250", MEMORY: "100Mi"}
    given = pods.admit(
        pod(container(requests={**asks, "cpu": "4", "memory": "9Gi"}, limits={CPU: "500", MEMORY: "200Mi"}))
    )
    assert amounts(given) == [
        {"requests": {CPU: 250, MEMORY: 100 * 2**20} | TICKET, "limits": {CPU: 500, MEMORY: 200 * 2**20} | TICKET}
    ]


def test_twice_is_once(pods: Pods) -> None:
    body = pod(
        container("a", {"cpu": "1500m", "memory": "123Mi"}, {"cpu": "2", "memory": "1Gi"}),
        initContainers=[container("i", {"cpu": "1"})],
    )
    once = pods.admit(body)
    spec = {
        key: once["spec"][key]
        for key in ("containers", "initContainers", "priorityClassName", "priority", "preemptionPolicy")
    }
    again = pods.admit(pod(metadata={"annotations": once["metadata"]["annotations"]}) | {"spec": spec})
    assert (amounts(again), amounts(again, "initContainers")) == (amounts(once), amounts(once, "initContainers"))


def test_a_limit_range_puts_cpu_back_and_it_is_taken_away_again(api: ApiServer) -> None:
    api.kubectl("create", "namespace", "limited")
    numbers = {"cpu": "300m", "memory": "64Mi"}
    limits = {"limits": [{"type": "Container", "default": numbers, "defaultRequest": numbers}]}
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "limited"}, "spec": limits}
    api.kubectl("create", "-f", "-", stdin=json.dumps(body))
    limited = Pods(api, "limited")
    eventually(
        lambda: "requests" in limited.admit(pod(qos=None))["spec"]["containers"][0]["resources"], 30, "LimitRange"
    )

    given = limited.admit(pod(container("a", {"cpu": "1"}, {"cpu": "1"}), container("b")))
    b = {CPU: 300, MEMORY: 64 * 2**20}
    assert amounts(given) == [both(cpu=1000, memory=64 * 2**20), {"requests": b, "limits": b}]
    assert given["status"]["qosClass"] == "BestEffort"

    asked = {CPU: "250", MEMORY: "32Mi"}
    given = limited.admit(pod(container("a", asked, asked)))
    assert amounts(given) == [both(cpu=250, memory=32 * 2**20)]


@pytest.mark.parametrize(
    ("qos", "expected"),
    [("HLS", ("priority-hls", 1000, "Never")), ("LS", ("priority-ls", 0, "PreemptLowerPriority"))],
)
def test_online_pods_get_their_class_and_keep_their_resources(pods: Pods, qos: str, expected: tuple[Any, ...]) -> None:
    asked = {"cpu": "2", "memory": "1Gi"}
    spec = pods.admit(pod(container("a", asked, asked), qos=qos))["spec"]
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == expected
    assert spec["containers"][0]["resources"] == {"requests": asked, "limits": asked}


def test_an_online_pods_own_class_is_respected(pods: Pods) -> None:
    assert pods.admit(pod(qos="LS", priorityClassName="priority-hls"))["spec"]["priority"] == 1000


OWNER = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
DAEMON = {"metadata": {"ownerReferences": [OWNER]}}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pod(container(requests={"cpu": "1"}), qos=None), id="no annotation"),
        pytest.param(pod(container(requests={"cpu": "1"}), qos="LS", **DAEMON), id="daemon"),
        pytest.param(
            pod(container(requests={"cpu": "1"}), qos="LS", priorityClassName="system-node-critical"), id="system"
        ),
        pytest.param(
            pod(container(requests={"cpu": "1"}), metadata={"labels": {"colocation.openfuyao.com/mutate": "false"}}),
            id="opted out",
        ),
    ],
)
def test_what_is_never_touched(api: ApiServer, body: dict[str, Any]) -> None:
    given = Pods(api, "kube-system").admit(body)
    assert given["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert "volcano.sh/preemptable" not in given["metadata"].get("annotations", {})
    assert given["spec"]["priorityClassName"] in ("ordinary", "system-node-critical")


@pytest.mark.parametrize("qos", ["HLS", "LS", "BE"])
def test_a_namespace_gives_its_class_to_pods_that_name_none(namespace: Callable[..., Pods], qos: str) -> None:
    pods = namespace(f"all-{qos.lower()}", default_qos_level=qos)
    two = {"cpu": "2"}

    def made() -> Any:
        return pods.admit(pod(container("a", two, two), container("b", two, two), qos=None))

    eventually(lambda: made()["metadata"].get("annotations", {}).get("openfuyao.com/qos-level") == qos, 30, "default")
    given = made()
    assert given["spec"]["priorityClassName"] == f"priority-{qos.lower()}"
    own = {"requests": {CPU: 2000}, "limits": {CPU: 2000}}
    assert amounts(given) == ([both(cpu=2000), own] if qos == "BE" else [{"requests": two, "limits": two}] * 2)
    answer = "LS" if qos == "BE" else "BE"
    assert pods.admit(pod(qos=answer))["spec"]["priorityClassName"] == f"priority-{answer.lower()}", (
        "its own word counts"
    )
    daemon = pods.admit(pod(qos=None, metadata={"ownerReferences": [OWNER]}))
    assert "annotations" not in daemon["metadata"]
    out = pods.admit(pod(qos=None, metadata={"labels": {"colocation.openfuyao.com/mutate": "false"}}))
    assert "annotations" not in out["metadata"]


def test_a_namespace_can_opt_out(namespace: Callable[..., Pods]) -> None:
    pods = namespace("out", mutate="false", default_qos_level="BE")
    plain = {"cpu": "1"}
    body = pod(container(requests=plain))
    eventually(lambda: pods.admit(body)["spec"]["containers"][0]["resources"] == {"requests": plain}, 30, "opted out")
    assert "annotations" not in pods.admit(pod(qos=None))["metadata"]
    assert "HLS, LS, BE" in pods.refusal(pod(qos="X")), "wrong is wrong everywhere"


@pytest.mark.parametrize("qos", ["BE", "HLS", "nonsense"])
def test_mirror_pods_are_never_touched_nor_refused(api: ApiServer, qos: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mirror"}}
    uid = json.loads(api.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(node)))["metadata"]["uid"]
    try:
        owner = {"apiVersion": "v1", "kind": "Node", "name": "mirror", "uid": uid, "controller": True}
        mirror = {
            "kubernetes.io/config.mirror": "h",
            "kubernetes.io/config.hash": "h",
            "kubernetes.io/config.source": "file",
        }
        meta = {"annotations": mirror, "ownerReferences": [owner]}
        body = pod(container(requests={"cpu": "1"}), qos=qos, metadata=meta, nodeName="mirror")
        kubelet = api.user("system:node:mirror", ["system:nodes"])
        path = "/api/v1/namespaces/default/pods?dryRun=All"
        given = json.loads(api.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body), kubeconfig=kubelet))
    finally:
        api.kubectl("delete", "node", "mirror")
    assert given["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert given["spec"]["priorityClassName"] == "ordinary", "which every pod gets here"


@pytest.mark.parametrize("qos", ["be", "LLS", "", "x" * 300, 'quo"te\n', "\u4f4e"])
def test_an_unknown_class_is_refused_in_a_sentence(pods: Pods, qos: str) -> None:
    answer = pods.refusal(pod(qos=qos))
    assert "metadata.annotations[openfuyao.com/qos-level]" in answer
    assert "HLS, LS, BE" in answer
    assert "x" * 41 not in answer.replace("\\n", "\n")


@pytest.mark.skipif(OLD, reason="this Kubernetes knows no pod-level resources yet, and drops them")
def test_pod_level_resources_are_refused_with_the_remedy(pods: Pods) -> None:
    answer = pods.refusal(pod(container(requests={"cpu": "1"}), resources={"requests": {"cpu": "2"}}))
    assert "spec.resources" in answer
    assert "set the resources of its containers instead" in answer


BE_CPU, LESS = {CPU: "500"}, {CPU: "400"}
ONE, TWO, BROKEN = {"cpu": "1"}, {"cpu": "2"}, {"cpu": "1500m"}
ANNOTATION, RESOURCES = "metadata.annotations[openfuyao.com/qos-level]", 'spec.containers["c"].resources'
INITIALLY = 'spec.initContainers["i"].resources'
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "BE of a DaemonSet": (pod(metadata={"ownerReferences": [OWNER]}), f"{ANNOTATION} is BE", "Job"),
    "BE and critical": (
        pod(priorityClassName="system-node-critical"), "spec.priorityClassName is system-node-critical", "remove one",
    ),
    "BE with the online class": (pod(priorityClassName="priority-hls"), "spec.priorityClassName", "leave"),
    "BE with any other class": (pod(priorityClassName="important"), 'spec.priorityClassName is "important"', "leave"),
    # Kubernetes itself says these two, and names the index.
    "BE with a limit below": (
        pod(container("ok"), container("c", BE_CPU, LESS)),
        "spec.containers[1].resources.requests", "be-cpu limit of 400",
    ),
    "BE with a plain limit below": (
        pod(container("c", TWO, ONE)), "spec.containers[0].resources.requests", "be-cpu limit of 1k",
    ),
    "be-cpu and LS": (pod(container("c", BE_CPU, BE_CPU), qos="LS"), f"{RESOURCES} asks for", "to BE"),
    "be-cpu and no word": (pod(container("c", BE_CPU, BE_CPU), qos=None), f"{RESOURCES} asks for", "to BE"),
    "a ticket and HLS": (
        pod(container("c", TWO | {GATE: "1"}, TWO | {GATE: "1"}), qos="HLS"), f"{RESOURCES} asks for", "to BE",
    ),
    "be-memory to begin with": (
        pod(initContainers=[container("i", {MEMORY: "1"}, {MEMORY: "1"})], qos=None), f"{INITIALLY} asks", "BE",
    ),
    "HLS without cpu": (pod(container("c"), qos="HLS"), RESOURCES, "use class LS"),
    "HLS without a limit": (pod(container("c", TWO), qos="HLS"), RESOURCES, "whole cores"),
    "HLS with a higher limit": (pod(container("c", ONE, TWO), qos="HLS"), RESOURCES, "equal"),
    "HLS with a core and a half": (
        pod(container("ok", TWO, TWO), container("c", BROKEN, BROKEN), qos="HLS"), RESOURCES, "whole cores",
    ),
    "HLS with no core": (pod(container("c", {"cpu": "0"}, {"cpu": "0"}), qos="HLS"), RESOURCES, "whole"),
    "HLS with half a core to begin with": (
        pod(container("c", TWO, TWO), qos="HLS", initContainers=[container("i", BROKEN, BROKEN)]),
        INITIALLY, "whole cores",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def important(api: ApiServer) -> None:
    body = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "important"},
        "value": 7,
    }
    api.kubectl("apply", "-f", "-", stdin=json.dumps(body))


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.usefixtures("important")
def test_a_wrong_pod_is_refused_with_the_field_and_the_remedy(api: ApiServer, case: str) -> None:
    body, field, remedy = REFUSED[case]
    answer = Pods(api, "kube-system").refusal(body)
    assert field in answer
    assert remedy in answer.split(field, 1)[1]
    assert "failed expression" not in answer


@pytest.mark.parametrize("cores", ["1", "2000m", "2e0", "0.004k"])
def test_whole_cores_may_be_written_in_any_form(pods: Pods, cores: str) -> None:
    assert pods.admit(pod(container("c", {"cpu": cores}, {"cpu": cores}), qos="HLS"))["spec"]["priority"] == 1000


def test_the_class_of_a_pod_never_changes(api: ApiServer) -> None:
    api.kubectl("create", "-f", "-", stdin=json.dumps(pod(metadata={"name": "be"})))
    api.kubectl("create", "-f", "-", stdin=json.dumps(pod(metadata={"name": "none"}, qos=None)))
    annotate = ["annotate", "--overwrite", "pod"]
    for name, word in (("be", "LS"), ("be", "HLS"), ("none", "BE")):
        with pytest.raises(LabError, match=rf'cannot be changed to "{word}".*make it anew'):
            api.kubectl(*annotate, name, f"openfuyao.com/qos-level={word}")
    with pytest.raises(LabError, match="cannot be changed to"):
        api.kubectl(*annotate, "be", "openfuyao.com/qos-level-")
    api.kubectl(*annotate, "be", "somebody.example/else=1")
    api.kubectl(*annotate, "none", "openfuyao.com/qos-level=LS")  # which it was all along
    api.kubectl("delete", "pod", "be", "none", "--grace-period=0", "--force")


QOS = "openfuyao.com/qos-level"


def labelled(value: str, qos: str | None = "BE", **more: Any) -> dict[str, Any]:
    return pod(
        container("c", {"cpu": "1"}, {"cpu": "1"}), qos=qos, metadata={"labels": {"app": "a", QOS: value}}, **more
    )


@pytest.mark.parametrize("qos", ["HLS", "LS", "BE"])
def test_the_class_is_a_label_too(pods: Pods, qos: str) -> None:
    plain = pods.admit(pod(container("c", {"cpu": "1"}, {"cpu": "1"}), qos=qos))
    assert plain["metadata"]["labels"] == {QOS: qos}
    for given in ("HLS", "LS", "BE", "something-else", ""):
        assert pods.admit(labelled(given, qos))["metadata"]["labels"] == {"app": "a", QOS: qos}
    assert "labels" not in pods.admit(pod(qos=None))["metadata"], "a pod without a class is left alone"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(labelled("BE", qos=None), id="no annotation"),
        pytest.param(labelled("HLS", qos="LS", priorityClassName="system-node-critical"), id="system"),
        pytest.param(labelled("BE", qos="LS"), id="opted out"),
    ],
)
def test_a_label_that_admission_does_not_write_must_be_true(api: ApiServer, body: dict[str, Any]) -> None:
    body = json.loads(json.dumps(body))
    body["metadata"]["labels"]["colocation.openfuyao.com/mutate"] = "false"
    answer = Pods(api, "kube-system").refusal(body)
    wrong = body["metadata"]["labels"][QOS]
    assert f'metadata.labels[{QOS}] is "{wrong}", but the class of this pod is "LS"' in answer
    assert "set the annotation" in answer
    body["metadata"]["labels"][QOS] = "LS"
    assert Pods(api, "kube-system").admits(body)


NO_LABEL, AS_SUCH = "cannot be changed or removed", "the label follows"
TRANSITIONS: list[tuple[str | None, str | None, str | None, str]] = [
    # annotation, label before, label after, what the refusal says ("": allowed)
    ("BE", None, "BE", ""),
    ("BE", None, "LS", AS_SUCH),
    ("BE", None, "other", AS_SUCH),
    ("BE", "BE", None, NO_LABEL),
    ("BE", "BE", "LS", NO_LABEL),
    ("BE", "BE", "HLS", NO_LABEL),
    ("LS", None, "LS", ""),
    ("LS", None, "BE", AS_SUCH),
    ("LS", "LS", "BE", NO_LABEL),
    ("HLS", None, "HLS", ""),
    ("HLS", "HLS", None, NO_LABEL),
    (None, None, "LS", ""),
    (None, None, "BE", AS_SUCH),
]


@pytest.mark.parametrize("sub", ["", "/status"])
@pytest.mark.parametrize(("qos", "before", "after", "says"), TRANSITIONS)
def test_the_label_of_a_pod_is_only_ever_added(
    api: ApiServer, qos: str | None, before: str | None, after: str | None, says: str, sub: str
) -> None:
    """Pods older than the label are stood in for by pods that opted out of being changed."""
    rest = client(api.kubeconfig)
    labels = {"colocation.openfuyao.com/mutate": "false"} | ({QOS: before} if before else {})
    body = pod(container("c", {"cpu": "1"}, {"cpu": "1"}), qos=qos, metadata={"labels": labels})
    if qos == "BE":
        body["spec"]["containers"][0]["resources"] = {}
    rest.send("POST", PODS.path(namespace="default"), body=json.dumps(body).encode())
    path = PODS.path(body["metadata"]["name"], namespace="default")
    try:
        error = ""
        try:
            rest.patch(path + sub, {"metadata": {"labels": {QOS: after}}})
        except ApiError as refused:
            error = str(refused)
        stored = rest.get(path, dict)["metadata"]["labels"].get(QOS)
        assert (says in error, bool(error)) == (True, bool(says))
        assert stored == (before if says else after)
        rest.patch(path + sub, {"metadata": {"labels": {"somebody.example/else": "1"}}})
    finally:
        rest.send("DELETE", path, query={"gracePeriodSeconds": "0"})


def test_a_pod_is_not_labelled_and_given_another_class_at_once(api: ApiServer) -> None:
    rest = client(api.kubeconfig)
    body = pod(qos="BE")
    rest.send("POST", PODS.path(namespace="default"), body=json.dumps(body).encode())
    path = PODS.path(body["metadata"]["name"], namespace="default")
    try:
        both_at_once = {"metadata": {"annotations": {QOS: "LS"}, "labels": {QOS: "LS"}}}
        for sub in ("", "/status"):
            with pytest.raises(ApiError, match="cannot be changed"):
                rest.patch(path + sub, both_at_once)
    finally:
        rest.send("DELETE", path, query={"gracePeriodSeconds": "0"})


def test_the_overhead_of_a_runtime_class_stays_what_its_node_needs(api: ApiServer, pods: Pods) -> None:
    overhead = {"cpu": "250m", "memory": "64Mi"}
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"}, "handler": "vm"}
    api.kubectl("apply", "-f", "-", stdin=json.dumps({**body, "overhead": {"podFixed": overhead}}))
    given = pods.admit(pod(container(requests={"cpu": "1"}), runtimeClassName="vm"))
    assert given["spec"]["overhead"] == overhead
    assert amounts(given) == [{"requests": {CPU: 1000} | TICKET, "limits": TICKET}]


@pytest.mark.parametrize(("qos", "scheduler"), [("BE", "batch"), ("HLS", "exclusive"), ("LS", "default-scheduler")])
def test_a_class_may_have_a_scheduler_which_a_pods_own_overrules(pods: Pods, qos: str, scheduler: str) -> None:
    assert pods.admit(pod(container("c", TWO, TWO), qos=qos))["spec"]["schedulerName"] == scheduler
    own = pods.admit(pod(container("c", TWO, TWO), qos=qos, schedulerName="mine"))
    assert own["spec"]["schedulerName"] == "mine"


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OURS = {"key": "node.openfuyao.com/colocation", "operator": "In", "values": ["true"]}
DISK, NAME = ({"key": key, "operator": "In", "values": ["a"]} for key in ("disk", "metadata.name"))
SPREAD = {"podAntiAffinity": {REQUIRED: [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}]}}
PREFERS = {
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [DISK]}}]
}


@pytest.mark.parametrize(
    ("affinity", "terms"),
    [
        (None, [{"matchExpressions": [OURS]}]),
        (SPREAD, [{"matchExpressions": [OURS]}]),
        ({"nodeAffinity": PREFERS}, [{"matchExpressions": [OURS]}]),
        (
            {
                "nodeAffinity": {
                    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [DISK]}, {"matchFields": [NAME]}, {}]}
                }
            },
            [{"matchExpressions": [DISK, OURS]}, {"matchExpressions": [OURS], "matchFields": [NAME]}, {}],
        ),
        (
            {
                "nodeAffinity": {
                    REQUIRED: {
                        "nodeSelectorTerms": [{"matchExpressions": [OURS | {"operator": "Exists"} | {"values": None}]}]
                    }
                }
            },
            [{"matchExpressions": [{"key": OURS["key"], "operator": "Exists"}]}],
        ),
    ],
    ids=["none", "of pods", "preferred", "alternatives", "said already"],
)
def test_hls_pods_may_be_kept_to_our_nodes(pods: Pods, affinity: Any, terms: Any) -> None:
    body = pod(container("c", TWO, TWO), qos="HLS", **({"affinity": affinity} if affinity else {}))
    given = pods.admit(body)["spec"]["affinity"]
    assert given["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == terms
    assert given.get("podAntiAffinity") == (affinity or {}).get("podAntiAffinity")
    assert "affinity" not in pods.admit(pod(container("c", TWO, TWO), qos="LS"))["spec"]


JOB = {"template": {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}
IGNORES = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}
FAILS = {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


@pytest.mark.parametrize(
    ("kind", "qos", "policy", "warned"),
    [
        ("Job", "BE", None, True), ("Job", "BE", FAILS, True), ("Job", "BE", IGNORES, False),
        ("Job", "LS", None, False),
        ("Job", None, None, False), ("CronJob", "BE", None, True), ("CronJob", "BE", IGNORES, False),
    ],
)  # fmt: skip
def test_a_job_that_counts_evictions_as_its_own_failures_is_warned(
    api: ApiServer,
    kind: str,
    qos: str | None,
    policy: Any,
    warned: bool,
) -> None:
    spec = json.loads(json.dumps(JOB)) | ({"podFailurePolicy": policy} if policy else {})
    if qos:
        spec["template"]["metadata"]["annotations"] = {"openfuyao.com/qos-level": qos}
    whole = spec if kind == "Job" else {"schedule": "1 1 1 1 1", "jobTemplate": {"spec": spec}}
    body = {"apiVersion": "batch/v1", "kind": kind, "metadata": {"name": "j"}, "spec": whole}
    config = f"--kubeconfig={api.kubeconfig}"
    done = run([binaries.path("kubectl"), config, "create", "--dry-run=server", "-f", "-"], stdin=json.dumps(body))
    path = "spec.podFailurePolicy" if kind == "Job" else "spec.jobTemplate.spec.podFailurePolicy"
    assert (f"{path}: without a rule for it" in done.stderr and "DisruptionTarget" in done.stderr) is warned


def test_the_manager_reads_what_admission_writes(pods: Pods) -> None:
    body = pod(
        container(requests={"cpu": "1500m", "memory": "1Gi"}, limits={"cpu": "2", "memory": "2Gi"}), nodeName="n"
    )
    facts = pod_facts(msgspec.json.decode(msgspec.json.encode(pods.admit(body)), type=Pod))
    assert isinstance(facts, PodFacts)
    assert (facts.qos, facts.be_cpu, facts.be_memory) == ("BE", 1500, 2**30)
    assert (facts.be_cpu_limit, facts.be_memory_limit, facts.cpu, facts.memory) == (2000, 2**31, 0, 0)


def test_a_pod_of_many_containers_fits_the_cost_limit(pods: Pods) -> None:
    one = {"cpu": "1m", "memory": "1Mi"}
    given = pods.admit(pod(*(container(f"c{n}", one, one) for n in range(200))))
    assert len([c for c in amounts(given) if GATE in c["limits"]]) == 1
