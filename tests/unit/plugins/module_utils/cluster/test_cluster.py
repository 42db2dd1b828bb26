from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster


@pytest.mark.parametrize(
    "answer, wanted",
    [
        ({"gitVersion": "v1.36.3"}, (1, 36)),
        ({"gitVersion": "v1.30.2-eks-1"}, (1, 30)),
        ({"major": "1", "minor": "29+"}, (1, 29)),
        ({}, (0, 0)),
    ],
)
def test_versions_as_vendors_write_them(answer, wanted):
    assert _cluster.parse_version(answer) == wanted


@pytest.mark.parametrize(
    "version, wanted",
    [("v1.36.3", None), ("v1.34.1", None), ("v1.30.0", None), ("v1.29.9", "1.30 or newer")],
)
def test_a_cluster_that_cannot_be_rolled_out_to_is_told_why(version, wanted):
    answer = _cluster.version_problems({"gitVersion": version})
    assert (answer == []) if wanted is None else (len(answer) == 1 and wanted in answer[0] and version in answer[0])


def test_hosts_that_do_not_answer_are_named_and_left_out():
    lost = {"unreachable": True, "msg": "ssh:\n timed out."}
    failed = {"failed": True, "msg": "No JSON found.", "module_stderr": "sh: python9: not found\nmore"}
    answered, silent = _cluster.reached({"a": {"hostname": "a"}, "c": failed, "b": lost})
    assert list(answered) == ["a"]
    assert silent == {
        "b": "Inventory host b cannot be reached: ssh: timed out.",
        "c": "Inventory host c runs no module: No JSON found. sh: python9: not found.",
    }


def test_what_was_recorded_once_stays():
    first = _cluster.rollout_record(None, True, {"node-a": None})
    assert first == {"namespaceMade": True, "labelsBefore": {"node-a": None}}
    # by now the namespace and the label are ours, and a node has come
    assert _cluster.rollout_record(first, False, {"node-a": "true", "node-b": None}) == {
        "namespaceMade": True,
        "labelsBefore": {"node-a": None, "node-b": None},
    }


@pytest.mark.parametrize(
    "namespace, wanted",
    [
        (None, True),
        ({"metadata": {"annotations": {"colocation.openfuyao.com/made-by-rollout": "true"}}}, True),
        ({"metadata": {}}, False),
    ],
)
def test_a_namespace_is_ours_only_if_we_made_it(namespace, wanted):
    assert _cluster.namespace_is_ours(namespace) is wanted


def quota(hard, **spec):
    return {"metadata": {"name": "q", "namespace": "team"}, "spec": {"hard": hard, **spec}}


def test_a_quota_that_counts_cpu_or_memory_refuses_best_effort_pods():
    (answer,) = _cluster.quota_warnings([quota({"requests.cpu": "4", "pods": "9"})])
    assert "Namespace team: ResourceQuota q counts requests.cpu" in answer
    assert _cluster.quota_warnings([quota({"pods": "9"}), quota({"cpu": "1"}, scopes=["NotBestEffort"])]) == []


def test_a_limit_range_that_compares_cpu_refuses_them_too():
    def limits(*rows):
        return {"metadata": {"name": "r", "namespace": "team"}, "spec": {"limits": list(rows)}}

    for bound in ("min", "max", "maxLimitRequestRatio"):
        (given,) = _cluster.limit_warnings([limits({"type": "Container", bound: {"cpu": "2"}})])
        assert f"LimitRange r has {bound} cpu for each container" in given
    harmless = [limits({"type": "Container", "default": {"cpu": "1"}}), limits({"type": "PersistentVolumeClaim"})]
    assert _cluster.limit_warnings(harmless) == []


def test_another_manager_is_told_by_the_keys_it_writes():
    theirs = {"metadata": {"name": "a"}, "status": {"capacity": {"kubernetes.io/batch-cpu": "1"}}}
    ours = {"metadata": {"name": "b"}, "status": {"allocatable": {"kubernetes.io/be-cpu": "1"}}}
    assert "Koordinator" in _cluster.other_managers([theirs], ours=True)[0]
    assert _cluster.other_managers([ours], ours=True) == []
    assert "openFuyao" in _cluster.other_managers([ours], ours=False)[0]


def test_what_is_missing_is_told_with_what_it_would_bring():
    features = {"cpu.idle": {"available": False, "reason": "no such file"}, "cpu.quota": {"available": True}, "odd": {}}
    assert _cluster.gains(features) == [
        "cpu.idle is missing (no such file): with it best-effort work yields the processor at once, at no cost."
    ]


def priority(name, release=None, **more):
    notes = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "openfuyao-colocation"}
    return {"metadata": {"name": name, "annotations": notes if release else {}}, **more}


def test_a_priority_class_of_the_charts_name_that_is_not_the_releases_is_told():
    assert "kubectl delete priorityclass priority-be" in _cluster.priority_problems([priority("priority-be")])[0]
    assert len(_cluster.priority_problems([priority("priority-be", release="other")])) == 1
    assert _cluster.priority_problems([priority("priority-be", release="colocation"), priority("mine")]) == []


POLICY = {"spec": {"variables": [{"name": "namesNoPriority", "expression": "object.x.orValue('') in ['', 'ordinary']"}]}}


def webhook(*arguments):
    return {"spec": {"template": {"spec": {"containers": [{"args": ["manager", *arguments]}]}}}}


@pytest.mark.parametrize(
    "policy, manager, wanted",
    [
        (POLICY, webhook(), "ordinary"),
        (None, webhook("--webhook=[::]:9443", "--default-priority-class=ordinary"), "ordinary"),
        (None, webhook("--webhook=[::]:9443"), ""),
        (None, webhook(), None),
        (None, None, None),
    ],
)
def test_what_the_installed_admission_takes_for_the_default_priority(policy, manager, wanted):
    assert _cluster.known_default(policy, manager) == wanted


def test_a_default_priority_that_came_later_is_told_and_one_that_went_refuses_nothing():
    assert _cluster.global_default([priority("a", value=1), priority("b", value=5, globalDefault=True)]) == "b"
    assert "PriorityClass b has globalDefault" in _cluster.default_warnings("b", "")[0]
    assert "PriorityClass b has globalDefault" in _cluster.default_warnings("b", "a")[0]
    assert _cluster.default_warnings("", "b") == _cluster.default_warnings("priority-be", "b") == []
    assert _cluster.default_warnings("b", "b") == _cluster.default_warnings("b", None) == []
