"""The way of the data, end to end: measured, published, scheduled by, enforced by the kernel, explained."""

from __future__ import annotations

import time

import pytest

from colocation.model.names import BE_CPU, BE_MEMORY, GATE
from tests.e2e.pods import SPIN, pod
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab


def cgroup(cluster: Cluster, name: str) -> tuple[str, str]:
    """(node, uid) of a pod of namespace work."""
    seen = cluster.get("pod", "-n", "work", name)
    return seen["spec"]["nodeName"], seen["metadata"]["uid"]


def read(cluster: Cluster, node: str, uid: str, hierarchy: str, file: str) -> int:
    return int(cluster.ssh(node, f"cat /sys/fs/cgroup/{hierarchy}/kubepods/besteffort/pod{uid}/{file}"))


def running(cluster: Cluster, *names: str, seconds: float = 60) -> None:
    waits = [f"pod/{name}" for name in names]
    try:
        cluster.kubectl("wait", "-n", "work", "--for=condition=Ready", f"--timeout={seconds:.0f}s", *waits)
    except RuntimeError as why:
        given = cluster.kubectl("describe", "-n", "work", *waits, check=False)
        nodes = cluster.kubectl("describe", "nodes", check=False)
        raise AssertionError(f"{why}\n{given}\n{nodes}") from None


def test_every_node_has_published(rolled_out: Cluster) -> None:
    assert rolled_out.nodes() == ["node1", "node2"]
    for node in rolled_out.nodes():
        ours = rolled_out.published(node)
        assert (ours[BE_CPU] or 0) > 0
        assert (ours[BE_MEMORY] or 0) > 0
        assert ours[GATE] == 250


def test_ncol_prints_its_columns(rolled_out: Cluster) -> None:
    table = rolled_out.kubectl("get", "ncol")
    assert "node1" in table
    assert "node2" in table
    assert "default" in table  # the policy that won


def test_a_be_pod_runs_on_oversold_resources_within_its_limits(work: Cluster) -> None:
    work.apply(pod("one", "node1", command=SPIN))
    running(work, "one")
    seen = work.get("pod", "-n", "work", "one")
    resources = seen["spec"]["containers"][0]["resources"]
    assert resources["requests"] == {BE_CPU: "200", BE_MEMORY: str(32 * 2**20), GATE: "1"}
    assert resources["limits"] == {BE_CPU: "300", BE_MEMORY: str(64 * 2**20), GATE: "1"}
    assert seen["status"]["qosClass"] == "BestEffort"
    assert (seen["spec"]["priorityClassName"], seen["spec"]["priority"]) == ("priority-be", -100)
    assert seen["metadata"]["annotations"]["volcano.sh/preemptable"] == "true"

    node, uid = cgroup(work, "one")
    eventually(lambda: read(work, node, uid, "memory", "memory.limit_in_bytes") == 64 * 2**20, 15, "memory limit")
    eventually(lambda: 0 < read(work, node, uid, "cpu", "cpu.cfs_quota_us") <= 30_000, 15, "cpu quota")
    assert read(work, node, uid, "cpu", "cpu.idle") == 1
    # And the kernel holds it to that: CPU time over five seconds.
    used, at = read(work, node, uid, "cpuacct", "cpuacct.usage"), time.monotonic()
    time.sleep(5)
    rate = (read(work, node, uid, "cpuacct", "cpuacct.usage") - used) / 1e9 / (time.monotonic() - at)
    assert rate <= 0.33, f"a pod limited to 0.3 cores used {rate:.2f}"


def test_kube_proxy_like_and_plain_best_effort_pods_are_never_touched(work: Cluster) -> None:
    """By the kernel's own count of how often a group was held back. (More of it: make survive-agent.)"""
    bystanders = {"plain": pod("plain", "node1", qos=None, command=SPIN), "proxy": pod("proxy", "node1", qos=None)}
    for made in bystanders.values():
        made["spec"]["containers"][0] |= {"resources": {}, "command": SPIN}
    bystanders["proxy"]["spec"]["priorityClassName"] = "system-node-critical"
    work.apply(pod("one", "node1", command=SPIN))
    running(work, "one")
    node, uid = cgroup(work, "one")
    stat = "cat /sys/fs/cgroup/cpu/kubepods/besteffort/pod{}/cpu.stat"

    def held_back(uid: str) -> int:
        return int(dict(line.split() for line in work.ssh(node, stat.format(uid)).splitlines())["nr_throttled"])

    # Before the others come: beside three that spin, an idle pod gets little to be held back at.
    eventually(lambda: held_back(uid) > 5, 30, "the best-effort pod is held back")
    work.apply(*bystanders.values())
    running(work, *bystanders)
    time.sleep(3)
    for name in bystanders:
        _, other = cgroup(work, name)
        assert work.get("pod", "-n", "work", name)["status"]["qosClass"] == "BestEffort"
        assert held_back(other) == 0, f"{name} was throttled"
        assert read(work, node, other, "cpu", "cpu.cfs_quota_us") == -1
        assert read(work, node, other, "cpu", "cpu.idle") == 0
        assert read(work, node, other, "memory", "memory.limit_in_bytes") > 2**60


def test_the_explanation_adds_up_to_the_published_number(work: Cluster) -> None:
    work.apply(pod("one", "node1", command=SPIN))
    running(work, "one")

    def adds_up() -> bool:
        answer = work.explain("node1")
        for name, key in (("cpu", BE_CPU), ("memory", BE_MEMORY)):
            part = answer[name]
            assert sum(term["value"] for term in part["terms"]) == part["free"]
            clamped = max(0, min(part["free"], part["ceiling"])) // part["quantum"] * part["quantum"]
            assert part["result"] == clamped
            assert part["headroom"] <= part["result"]
            assert part["published"] == max(
                part["headroom"], part["allocatedRunning"], min(part["allocated"], part["onNode"])
            )
            if part["published"] != work.published("node1")[key]:
                return False  # a write is under way
        return bool(answer["bePods"] == 1)

    eventually(adds_up, 20, "published equals explained")


def test_best_effort_use_never_moves_the_online_figure(work: Cluster) -> None:
    def online() -> int:
        answer = work.explain("node1")
        return -int(next(term["value"] for term in answer["cpu"]["terms"] if term["name"] == "online"))

    def calm() -> list[int]:
        figures = []
        for _ in range(10):
            figures.append(online())
            time.sleep(1)
        return figures

    alone = calm()
    work.apply(pod("one", "node1", command=SPIN))
    running(work, "one")
    eventually(lambda: (work.explain("node1")["beCpuUsed"] or 0) > 100, 30, "offline work is seen")
    beside = calm()
    # 200 to 300 millicores of offline work: were they taken for online work, it would show.
    assert abs(sorted(beside)[5] - sorted(alone)[5]) <= 80, (alone, beside)
    work.kubectl("delete", "pod", "-n", "work", "one", "--grace-period=0", "--force")
    after = calm()
    assert abs(sorted(after)[5] - sorted(alone)[5]) <= 80, (alone, after)


def test_what_says_nothing_is_not_touched(work: Cluster) -> None:
    plain = pod("plain", "node1", qos=None)
    del plain["spec"]["containers"][0]["resources"]
    work.apply(plain)
    running(work, "plain")
    node, uid = cgroup(work, "plain")
    time.sleep(3)
    assert read(work, node, uid, "cpu", "cpu.cfs_quota_us") == -1
    assert read(work, node, uid, "cpu", "cpu.idle") == 0


def test_an_unknown_class_is_refused_with_the_words_there_are(work: Cluster) -> None:
    with pytest.raises(RuntimeError, match="HLS, LS"):
        work.apply(pod("odd", qos="best-effort"))


def test_nonsense_in_a_policy_is_refused_with_the_field(rolled_out: Cluster) -> None:
    policy = {
        "apiVersion": "colocation.openfuyao.com/v1alpha1",
        "kind": "ColocationPolicy",
        "metadata": {"name": "odd"},
    }
    with pytest.raises(RuntimeError, match="reclaimPercent"):
        rolled_out.apply({**policy, "spec": {"oversell": {"cpu": {"reclaimPercent": 101}}}})
    with pytest.raises(RuntimeError, match="staleAfterSeconds must be at least twice"):
        rolled_out.apply({**policy, "spec": {"oversell": {"staleAfterSeconds": 30}}})
