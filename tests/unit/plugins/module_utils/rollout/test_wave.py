from __future__ import annotations

import datetime

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import BE_CPU, NODE_LABEL
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _wave

NOW = datetime.datetime(2026, 11, 21, 8, 0, 0, tzinfo=datetime.timezone.utc)


def pod(ready=True, revision="new", **container):
    running = {"state": {"running": {"startedAt": "2026-11-21T07:59:00Z"}}, "restartCount": 0, "image": "i:1"}
    return {
        "metadata": {"name": "agent", "labels": {_wave.HASH: revision}},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{**running, **container}],
        },
    }


def row(**changes):
    keys = {BE_CPU: "100"}
    node = {"metadata": {"name": "a", "labels": {NODE_LABEL: "true"}}, "status": {"capacity": keys, "allocatable": keys}}
    base = {
        "node": node,
        "pod": pod(),
        "ncol": {"spec": {}, "status": {"observedAt": "2026-11-21T07:59:30Z"}},
        "published_before": True,
        "refused_before": None,
    }
    return {**base, **changes}


def daemonset(seen):
    return {"metadata": {"uid": "u", "generation": 3}, "status": {"observedGeneration": seen}}


def test_the_revision_that_counts_is_the_newest_and_only_once_its_controller_saw_the_template():
    def revision(number, name, uid="u"):
        return {"revision": number, "metadata": {"labels": {_wave.HASH: name}, "ownerReferences": [{"uid": uid}]}}

    revisions = [revision(1, "first"), revision(9, "second"), revision(10, "not ours", uid="other")]
    assert _wave.wanted_hash(daemonset(3), revisions) == "second"
    assert _wave.wanted_hash(daemonset(2), revisions) is None
    assert _wave.wanted_hash(daemonset(3), []) is None


def test_a_well_node_passes():
    assert _wave.why_not(row(), NOW) is None


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"pod": None}, "no agent"),
        ({"pod": pod(ready=False)}, "not ready"),
        ({"ncol": {"spec": {}, "status": {"observedAt": "2026-11-21T07:58:59Z"}}}, "not reported since"),
        ({"ncol": None}, "not reported since"),
        ({"node": {"metadata": {"name": "a"}, "status": {}}}, "no ColocationPolicy selects it"),
        (
            {
                "ncol": {
                    "status": {
                        "observedAt": "2026-11-21T07:59:30Z",
                        "conditions": [{"type": "Enforced", "status": "False", "message": "cpu.max: EACCES"}],
                    }
                }
            },
            "cannot do what it should: Enforced is False: cpu.max: EACCES",
        ),
    ],
)
def test_what_a_node_misses_is_told(changes, result):
    assert result in _wave.why_not(row(**changes), NOW)


def test_what_was_wrong_before_the_wave_is_not_its_fault():
    lacks = {"observedAt": "2026-11-21T07:59:30Z", "conditions": [{"type": "Supported", "status": "False"}]}
    assert _wave.why_not(row(ncol={"status": lacks}), NOW) is None, "what the kernel never had stops no update"
    refuses = {"observedAt": "2026-11-21T07:59:30Z", "conditions": [{"type": "Enforced", "status": "False"}]}
    assert _wave.why_not(row(refused_before="Enforced is False: x", ncol={"status": refuses}), NOW) is None
    unpublished = {"metadata": {"name": "a"}, "status": {}}
    assert _wave.why_not(row(published_before=False, node=unpublished), NOW) is None


def test_a_pod_that_will_not_start_is_told_from_one_that_is_starting():
    starting = pod(ready=False, state={"waiting": {"reason": "ContainerCreating"}})
    assert _wave.hopeless(starting) is None
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such\nhost"}}
    assert _wave.hopeless(pod(ready=False, state=waiting)) == "ImagePullBackOff of image i:1: no such host"
    crashed = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 3}}}
    assert "exit code 3" in _wave.hopeless(pod(ready=False, **crashed))


def test_pressure_counts_if_it_rose_and_never_came_back():
    before = {"cpu": 10.0, "memory": 0.0}
    assert _wave.risen(before, {"cpu": 40.0, "memory": 0.0}, 30) == []
    assert _wave.risen(before, {"cpu": 41.0, "io": 50.0}, 30) == [
        "cpu pressure rose from 10 % to 41 %",
        "io pressure rose from 0 % to 50 %",
    ]


@pytest.mark.parametrize(
    ("status", "well"),
    [
        ({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True),
        ({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}, False),
        ({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_manager_is_well_when_only_the_new_version_is_there_and_available(status, well):
    deployment = {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}
    assert (_wave.manager_unready(deployment) is None) == well


def test_a_counter_is_the_sum_of_its_series():
    text = 'a_total 2.0\na_total_created 9\nb_total{kind="x"} 1.0\nb_total{kind="y"} 2.5\n'
    assert (_wave.counter(text, "a_total"), _wave.counter(text, "b_total"), _wave.counter(text, "c")) == (2.0, 3.5, 0)


def on(ready=True, **changes):
    there = row(**changes)
    there["node"]["status"]["conditions"] = [{"type": "Ready", "status": str(ready), "message": "kubelet is gone"}]
    return there


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (on(), None),
        (on(ready=False), "the node is not ready: kubelet is gone"),
        (on(pod=pod(ready=False, revision="old")), "its agent is not ready"),
        (on(pod=None), "there is no agent on it"),
        # what an earlier run of the same roll-out did is no old sickness
        (on(pod=pod(ready=False, revision="new")), None),
    ],
)
def test_only_what_was_sick_before_the_new_agent_came_does_not_count(there, why):
    answer = _wave.sick_before(there, "new", NOW)
    assert answer is None if why is None else answer.startswith(why)


def test_pods_that_the_api_server_refuses_are_told_in_its_words():
    refused = {"type": "ReplicaFailure", "status": "True", "message": "insufficient quota to match\n these scopes"}
    assert _wave.not_made({"status": {"conditions": [refused]}}) == "insufficient quota to match these scopes"
    assert _wave.not_made({"status": {"conditions": [{**refused, "status": "False"}]}}) == ""
    assert _wave.not_made(None) == ""
