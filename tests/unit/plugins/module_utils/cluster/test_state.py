from __future__ import annotations

import datetime

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import (
    BE_CPU,
    BE_MEMORY,
    GATE,
    NODE_LABEL,
    WITHDRAWN_ANNOTATION,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _state

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)


def node(labels=None, capacity=None, allocatable=None, annotations=None):
    return {
        "metadata": {
            "name": "node-a",
            "resourceVersion": "7",
            "labels": labels or {},
            **({"annotations": annotations} if annotations else {}),
        },
        "status": {"capacity": capacity or {}, "allocatable": allocatable or {}},
    }


def pod(name="p", **kw):
    metadata = {"name": name, "namespace": "batch", "uid": name}
    for key in ("annotations", "ownerReferences"):
        if key in kw:
            metadata[key] = kw.pop(key)
    phase = kw.pop("phase", "Running")
    return {"metadata": metadata, "spec": {"containers": [], **kw}, "status": {"phase": phase}}


def affinity(*terms):
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(operator, *values, key=NODE_LABEL):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def asking(key):
    return [{"resources": {"requests": {key: "1"}}}]


DAEMON = [{"kind": "DaemonSet", "name": "agent"}]
BE = {"openfuyao.com/qos-level": "BE"}


@pytest.mark.parametrize(
    "found, wanted",
    [
        (node(), None),
        (
            node(capacity={BE_CPU: "1", "cpu": "2"}),
            {
                "metadata": {"resourceVersion": "7"},
                "status": {part: {BE_CPU: None} for part in ("capacity", "allocatable")},
            },
        ),
        (
            # a key that lost its capacity stays in allocatable: it is taken from both
            node(allocatable={GATE: "0"}, annotations={WITHDRAWN_ANNOTATION: "stale"}),
            {
                "metadata": {"resourceVersion": "7", "annotations": {WITHDRAWN_ANNOTATION: None}},
                "status": {part: {GATE: None} for part in ("capacity", "allocatable")},
            },
        ),
        (
            node(annotations={WITHDRAWN_ANNOTATION: "", "other": "x"}),
            {"metadata": {"resourceVersion": "7", "annotations": {WITHDRAWN_ANNOTATION: None}}},
        ),
    ],
)
def test_purge_takes_what_is_ours_and_nothing_else(found, wanted):
    assert _state.purge_patch(found) == wanted


@pytest.mark.parametrize(
    "found, wanted",
    [
        (node(capacity={BE_CPU: "0"}, allocatable={BE_CPU: "0"}), True),
        (node(capacity={BE_CPU: "100"}), False),
        (node(allocatable={BE_CPU: "100"}), False),
        (node(capacity={BE_MEMORY: "1"}, allocatable={BE_MEMORY: "1"}), False),
    ],
)
def test_published_means_in_capacity_and_allocatable(found, wanted):
    assert _state.carries(found) is wanted
    assert _state.published(found, {"status": {"observedAt": "2026-11-21T00:00:00Z"}}) is wanted


def test_another_managers_number_is_not_published_until_our_agent_has_reported():
    theirs = node(capacity={BE_CPU: "1"}, allocatable={BE_CPU: "1"})
    assert not _state.published(theirs, None)
    assert not _state.published(theirs, {"spec": {}})


@pytest.mark.parametrize(
    "found, wanted",
    [
        (pod(), False),
        (pod(annotations=BE), True),
        (pod(annotations=BE, phase="Succeeded"), False),
        (pod(annotations=BE, ownerReferences=DAEMON), False),
        (pod(containers=asking(GATE), ownerReferences=DAEMON), True),
        (pod(initContainers=asking(BE_MEMORY)), True),
        (pod(containers=asking(BE_CPU), annotations={"kubernetes.io/config.mirror": "x"}), False),
        (pod(containers=asking("cpu")), False),
        (pod(annotations={"openfuyao.com/qos-level": "LS"}), False),
    ],
)
def test_who_must_leave_before_the_keys_can_go(found, wanted):
    assert _state.must_leave(found) is wanted


LABELLED = node(labels={NODE_LABEL: "true", "pool": "a", "size": "5"})


@pytest.mark.parametrize(
    "found, wanted",
    [
        (pod(), False),
        (pod(nodeSelector={NODE_LABEL: "true"}), True),
        (pod(nodeSelector={"pool": "a"}), False),
        (pod(nodeSelector={NODE_LABEL: "true"}, ownerReferences=DAEMON), False),
        (pod(nodeSelector={NODE_LABEL: "true"}, phase="Failed"), False),
        (pod(affinity=affinity(expression("In", "true"))), True),
        (pod(affinity=affinity(expression("Exists"))), True),
        (pod(affinity=affinity(expression("NotIn", "false"))), False),
        (pod(affinity=affinity(expression("DoesNotExist"))), False),  # it is not here by our label
        (pod(affinity=affinity(expression("Exists"), expression("In", "a", key="pool"))), False),
        (pod(affinity=affinity(expression("Exists"), expression("In", "b", key="pool"))), True),
        (pod(affinity=affinity(expression("Exists"), expression("Gt", "4", key="size"))), False),
        (pod(affinity=affinity(expression("Exists"), expression("Lt", "4", key="size"))), True),
        (pod(affinity=affinity(expression("Exists"), {})), True),  # an empty term matches nothing
    ],
)
def test_who_is_here_only_by_our_label(found, wanted):
    assert _state.needs_label(found, LABELLED) is wanted


def test_a_refusal_names_the_pods_and_spares_those_that_are_drained():
    online = pod("web", nodeSelector={NODE_LABEL: "true"})
    batch = pod("job", nodeSelector={NODE_LABEL: "true"}, annotations=BE)
    assert _state.refusal(LABELLED, [batch], drain=True) is None
    assert "batch/job" in _state.refusal(LABELLED, [batch], drain=False)
    answer = _state.refusal(LABELLED, [online, batch], drain=True)
    assert "batch/web" in answer and "batch/job" not in answer and "node-a" in answer


def ncol(spec=None, **status):
    default = {"enabled": True, "policy": {"name": "default"}, "report": {"intervalSeconds": 60}}
    return {"spec": {**default, **(spec or {})}, "status": status}


@pytest.mark.parametrize(
    "found, report, wanted",
    [
        (node(), None, "no NodeColocation"),
        (node(), ncol(), "has not reported"),
        (node(), ncol(observedAt="2026-11-21T11:50:00Z"), "600 s old"),
        (node(), ncol(observedAt="2026-11-21T11:59:59.123456789Z"), "not published it yet"),
        (node(), ncol({"policy": None}, observedAt="2026-11-21T11:59:59Z"), "no ColocationPolicy"),
        (node(), ncol({"enabled": False}, observedAt="2026-11-21T11:59:59Z"), "default is disabled"),
        (
            node(annotations={WITHDRAWN_ANNOTATION: "leaving"}),
            ncol(observedAt="2026-11-21T11:59:59Z"),
            "withdrew it: leaving",
        ),
    ],
)
def test_why_a_node_has_published_nothing(found, report, wanted):
    assert wanted in _state.why_unpublished(found, report, NOW)


@pytest.mark.parametrize("stamp", ["", "soon", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_has_no_age(stamp):
    assert _state.age_seconds(stamp, NOW) is None


@pytest.mark.parametrize(
    "row, wanted",
    [
        (
            {"name": "a", "labelled": True, "published": True, "be_cpu": 1200, "be_memory": 1073741824},
            "a takes part and oversells 1200m of CPU and 1024 MiB of memory.",
        ),
        ({"name": "a", "labelled": True, "published": False}, "a takes part and has published nothing yet."),
        ({"name": "a", "labelled": False, "evicted": ["x/y"]}, "a takes no part; 1 best-effort pod(s) evicted."),
        ({"name": "a", "labelled": False, "purged": [GATE]}, f"a takes no part any more; removed {GATE}."),
    ],
)
def test_a_node_in_words(row, wanted):
    assert _state.sentence(row) == wanted


def test_check_mode_says_would():
    assert _state.sentence({"name": "a", "labelled": True, "published": False}, check_mode=True) == "a would take part."


@pytest.mark.parametrize(
    "quantity, wanted",
    [(None, None), ("0", 0), ("1255", 1255), ("1k", 1000), ("5056Mi", 5056 << 20), ("2G", 2 * 10**9)],
)
def test_a_whole_quantity_as_the_api_server_writes_it(quantity, wanted):
    assert _state.whole(quantity) == wanted
