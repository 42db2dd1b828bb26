# SPDX-License-Identifier: Apache-2.0
"""Which workloads are other managers, and that stopping and starting them leaves them as they were."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _takeover


def workload(kind, name, namespace="koordinator-system", **spec):
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "generation": 1}, "spec": spec}


KOORD = workload("Deployment", "koord-manager", replicas=2)
KOORDLET = workload("DaemonSet", "koordlet", template={"spec": {}})


def merge(target, patch):
    """RFC 7386, as the API server does it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def test_the_known_ones_are_found_and_named_ones_and_ours_never():
    ours = workload("Deployment", "colocation-manager", "openfuyao-colocation")
    ours["metadata"]["annotations"] = {
        "meta.helm.sh/release-name": "colocation",
        "meta.helm.sh/release-namespace": "openfuyao-colocation",
    }
    theirs = workload("Deployment", "colocation-manager", "default")
    mine = workload("Deployment", "mine", "batch")
    web = workload("Deployment", "web", "shop")
    found = _takeover.others([ours, theirs, mine, web, KOORD, KOORDLET], ["Deployment/batch/mine"])
    assert found == [theirs, mine, KOORD, KOORDLET]


@pytest.mark.parametrize("before", [KOORD, KOORDLET, workload("DaemonSet", "koordlet", template={"spec": {"nodeSelector": {"a": "b"}}})])
def test_stopped_and_started_again_it_is_as_before(before):
    stop = _takeover.stop_patch(before)
    during = merge(copy.deepcopy(before), stop)
    assert _takeover.stopped(during)
    assert _takeover.stop_patch(during) is None, "a second time nothing"
    after = merge(during, _takeover.start_patch(during))
    assert not _takeover.stopped(after)
    assert _takeover.start_patch(after) is None
    for empty in (("metadata", "annotations"),):
        if after[empty[0]].get(empty[1]) == {}:
            del after[empty[0]][empty[1]]
    if after["spec"].get("template", {}).get("spec", {}).get("nodeSelector") == {}:
        del after["spec"]["template"]["spec"]["nodeSelector"]
    assert after == before


def test_what_somebody_else_stopped_is_not_started():
    assert _takeover.start_patch(workload("Deployment", "koord-manager", replicas=0)) is None


def test_what_somebody_else_started_in_between_keeps_its_replicas():
    found = merge(KOORD, _takeover.stop_patch(KOORD))
    found["spec"]["replicas"] = 5
    assert _takeover.start_patch(found) == {"metadata": {"annotations": {_takeover.BEFORE: None}}}


def test_one_that_runs_stops_a_rollout_unless_it_is_taken_over_from():
    assert "colocation_migrate=true" in _takeover.problems([KOORD], migrate=False)[0]
    assert _takeover.problems([KOORD], migrate=True) == []
    assert _takeover.problems([merge(KOORD, _takeover.stop_patch(KOORD))], migrate=False) == []
    same = workload("Deployment", "colocation-manager", "openfuyao-colocation", replicas=1)
    assert "Uninstall it" in _takeover.problems([same], migrate=True)[0]


def test_its_pods_count_until_its_controller_has_looked():
    assert _takeover.running({**KOORD, "status": {}}) == 1
    assert _takeover.running({**KOORD, "status": {"observedGeneration": 1}}) == 0
    assert _takeover.running({**KOORDLET, "status": {"observedGeneration": 1, "currentNumberScheduled": 3}}) == 3
