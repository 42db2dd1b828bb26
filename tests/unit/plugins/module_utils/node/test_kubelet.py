"""What a kubelet's configuration has to become."""

from __future__ import annotations

import json

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _kubelet


def test_flags_are_read_in_both_ways_of_writing_and_the_last_counts():
    argv = ["/usr/bin/kubelet", "--config=/a", "--node-ip", "1.2.3.4", "--fail-swap-on", "--config=/b", "--v=2"]
    assert _kubelet.flags(argv) == {"config": "/b", "node-ip": "1.2.3.4", "fail-swap-on": "true", "v": "2"}


@pytest.mark.parametrize(
    "name, flag",
    [("systemReserved", "system-reserved"), ("reservedSystemCPUs", "reserved-cpus"), ("cpuManagerPolicy", "cpu-manager-policy")],
)
def test_a_setting_is_known_by_its_flag(name, flag):
    assert _kubelet.kebab(name) == flag


def test_merge_goes_key_by_key_replaces_lists_and_takes_out_what_is_null():
    base = {"a": {"x": 1, "y": 2}, "l": [1, 2], "gone": 1}
    assert _kubelet.merge(base, {"a": {"y": 3}, "l": [4], "gone": None, "new": {"z": None, "w": 1}}) == {
        "a": {"x": 1, "y": 3},
        "l": [4],
        "new": {"w": 1},
    }


def test_what_was_ours_is_taken_out_and_what_others_changed_since_stays():
    before = {"maxPods": 110, "systemReserved": {"memory": "1Gi"}}
    ours = {"maxPods": 200, "systemReserved": {"memory": "1Gi", "cpu": "500m"}, "cpuManagerPolicy": "static"}
    current = {
        "maxPods": 250,
        "systemReserved": {"memory": "2Gi", "cpu": "500m"},
        "cpuManagerPolicy": "static",
        "theirs": 1,
    }
    assert _kubelet.without(current, ours, before) == {"maxPods": 250, "systemReserved": {"memory": "2Gi"}, "theirs": 1}


@pytest.mark.parametrize(
    "wanted, effective, flag, later, answer",
    [
        ({"cpuManagerPolicy": "static"}, {"cpuManagerPolicy": "static"}, {}, {}, "reservedSystemCPUs"),
        ({}, {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0"}, {}, {}, None),
        ({}, {"cpuManagerPolicy": "static", "kubeReserved": {"cpu": "100m"}}, {}, {}, None),
        ({}, {"cpuManagerPolicy": "static", "kubeReserved": {"cpu": "0"}}, {}, {}, "reservedSystemCPUs"),
        ({}, {"cpuManagerPolicy": "static"}, {"system-reserved": "memory=1Gi,cpu=1"}, {}, None),
        ({"systemReserved": {"cpu": "1"}}, {}, {"system-reserved": "cpu=500m"}, {}, "--system-reserved=cpu=500m"),
        ({"systemReserved": {"cpu": "1"}}, {}, {"system-reserved": "cpu=1"}, {}, None),
        ({"failSwapOn": False}, {}, {"fail-swap-on": "false"}, {}, None),
        ({"maxPods": 10}, {}, {}, {"99-x.conf": {"maxPods": 20}}, "99-x.conf is read after ours"),
        ({"maxPods": 10}, {}, {}, {"99-x.conf": {"maxPods": 10}}, None),
        ({"kind": "KubeletConfiguration"}, {}, {}, {}, "kind is no setting"),
    ],
)
def test_what_speaks_against_settings_is_said(wanted, effective, flag, later, answer):
    result = _kubelet.problems(wanted, effective, flag, later)
    assert (answer is None and not result) or any(answer in sentence for sentence in result)


def checkpoint(policy):
    return json.dumps({"policyName": policy, "defaultCpuSet": "", "checksum": 1})


@pytest.mark.parametrize(
    "noted, before, after, stale",
    [
        ("none", {}, {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0"}, True),
        ("static", {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0"}, {}, True),
        ("none", {}, {"maxPods": 200}, False),
        ("none", {}, {"systemReserved": {"cpu": "1"}}, False),
        (
            "static",
            {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0"},
            {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0-1"},
            True,
        ),
    ],
)
def test_a_checkpoint_that_kubelet_would_not_start_with_is_stale(noted, before, after, stale):
    files = {"cpu_manager_state": checkpoint(noted), "memory_manager_state": None}
    assert bool(_kubelet.stale_states(files, before, after)) is stale


def test_a_checkpoint_that_cannot_be_read_is_stale():
    assert _kubelet.stale_states({"cpu_manager_state": "{"}, {}, {}) == ["cpu_manager_state"]


@pytest.mark.parametrize(
    "config, flag, url",
    [
        ({}, {}, "http://127.0.0.1:10248/healthz"),
        ({"healthzPort": 0}, {}, ""),
        ({"healthzPort": 1}, {"healthz-port": "2"}, "http://127.0.0.1:2/healthz"),
        ({"healthzBindAddress": "::1"}, {}, "http://[::1]:10248/healthz"),
        ({"healthzBindAddress": "0.0.0.0"}, {}, "http://127.0.0.1:10248/healthz"),
    ],
)
def test_where_kubelet_says_how_it_is(config, flag, url):
    assert _kubelet.health_url(config, flag) == url
