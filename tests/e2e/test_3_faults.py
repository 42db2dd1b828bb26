"""What each does when another is gone, and that a closed node stays closed."""

from __future__ import annotations

import json
import threading
import time

import pytest

from colocation.model.names import BE_CPU, GATE
from tests.e2e.pods import HOLD, SPIN, pod
from tests.e2e.test_2_data import cgroup, read, running
from tests.lab import control_plane
from tests.lab.cluster import Cluster
from tests.lab.lifecycle import running as running_lab
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab
COMPLAINTS = "cpu.shares|cpu.idle|cpu.weight|OutOf|Failed to (ensure|update).*cgroup"
NS = ("-n", "openfuyao-colocation")


def policy(cluster: Cluster, patch: str) -> None:
    cluster.kubectl("patch", "cpol", "default", "--type=merge", "-p", patch)


def withdrawn(cluster: Cluster, node: str) -> None:
    eventually(lambda: cluster.published(node)[BE_CPU] is None, 60, f"{node} withdrawn (15 s after the last report)")


def back(cluster: Cluster, node: str) -> None:
    eventually(lambda: (cluster.published(node)[BE_CPU] or 0) > 0, 90, f"{node} is back")


def test_manager_killed_numbers_stand_and_it_comes_back(rolled_out: Cluster) -> None:
    before = {node: rolled_out.published(node)[BE_CPU] for node in rolled_out.nodes()}
    rolled_out.kubectl("delete", "pod", *NS, "-l", "app.kubernetes.io/component=manager", "--grace-period=0", "--force")
    assert all(rolled_out.published(node)[BE_CPU] for node in before)
    eventually(
        lambda: rolled_out.explain("node1")["report"]["sinceManagerStart"], 90, "the new manager has a fresh report"
    )
    assert all((rolled_out.published(node)[BE_CPU] or 0) > 0 for node in before)


def test_agent_gone_is_withdrawn_and_comes_back(rolled_out: Cluster) -> None:
    selector = '{"spec":{"template":{"spec":{"nodeSelector":{"test/absent":"true"}}}}}'
    rolled_out.kubectl("patch", "daemonset", *NS, "colocation-agent", "-p", selector)
    try:
        for node in rolled_out.nodes():
            withdrawn(rolled_out, node)
            assert rolled_out.published(node)[GATE] is None
            assert "silent" in rolled_out.explain(node)["withdrawn"]
    finally:
        undo = '[{"op":"remove","path":"/spec/template/spec/nodeSelector/test~1absent"}]'
        rolled_out.kubectl("patch", "daemonset", *NS, "colocation-agent", "--type=json", "-p", undo)
    for node in rolled_out.nodes():
        back(rolled_out, node)


def test_api_server_away_for_a_minute_limits_stay_and_nothing_is_withdrawn(work: Cluster) -> None:
    work.apply(pod("one", "node1", command=SPIN))
    running(work, "one")
    node, uid = cgroup(work, "one")
    eventually(lambda: 0 < read(work, node, uid, "cpu", "cpu.cfs_quota_us") <= 30_000, 15, "cpu quota")
    lab = running_lab(work.lab)
    control_plane.stop(lab, "apiserver")
    try:
        time.sleep(5)
        # Somebody takes the limit away: the agent puts it back from its last known spec.
        work.ssh(node, f"echo -1 > /sys/fs/cgroup/cpu/kubepods/besteffort/pod{uid}/cpu.cfs_quota_us")
        eventually(lambda: 0 < read(work, node, uid, "cpu", "cpu.cfs_quota_us") <= 30_000, 10, "limit put back")
        time.sleep(50)
        assert read(work, node, uid, "memory", "memory.limit_in_bytes") == 64 * 2**20
    finally:
        control_plane.start(lab, "apiserver")
        control_plane.wait_ready(lab)
    # The manager was blind for four times staleAfterSeconds: that is no silence of the agents.
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        for each in work.nodes():
            assert (work.published(each)[BE_CPU] or 0) > 0, f"{each} withdrawn after the outage"
        time.sleep(0.5)
    eventually(lambda: work.explain("node1")["report"]["ageSeconds"] < 10, 90, "fresh reports again")
    eventually(lambda: (work.published("node1")[BE_CPU] or 0) > 0, 60, "published again")
    assert work.get("pod", "-n", "work", "one")["status"]["phase"] == "Running"
    # Scheduler and kubelets back off up to a minute before they list again; the next test needs them.
    work.apply(*[pod(f"after-{node}", node, qos=None) for node in work.nodes()])
    running(work, *[f"after-{node}" for node in work.nodes()], seconds=150)


def test_a_node_above_its_memory_mark_asks_a_pod_to_leave_and_a_protected_one_blocks_no_other(work: Cluster) -> None:
    """With a mark of 2 %: a node that is really full would take the machine with it."""
    guarded = pod("guarded", "node1", command=HOLD, limit="1", memory="800Mi")
    guarded["metadata"]["labels"] = {"app": "guarded"}
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "guarded", "namespace": "work"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "guarded"}}},
    }
    work.apply(guarded, budget, pod("one", "node1", command=SPIN), pod("online", "node1", qos=None))
    running(work, "guarded", "one", "online")
    try:
        policy(work, '{"spec":{"evict":{"memory":{"highPercent":2,"lowPercent":1}}}}')
        gone = "--ignore-not-found"
        eventually(lambda: not work.kubectl("get", "pod", "-n", "work", "one", gone), 90, "one has left")
        eventually(lambda: work.published("node1")[GATE] is None, 15, "closed to new best-effort pods")
        evicted = work.get("events", "-n", "work", "--field-selector=reason=Evicted")["items"]
        assert [event["involvedObject"]["name"] for event in evicted] == ["one"]
        assert "memory in use is" in evicted[0]["message"]
        refused = work.get("ncol", "node1")["spec"]["evictionRefusals"]
        assert [row["uid"] for row in refused] == [work.get("pod", "-n", "work", "guarded")["metadata"]["uid"]]
        for name in ("guarded", "online"):
            assert work.get("pod", "-n", "work", name)["status"]["phase"] == "Running"
    finally:
        policy(work, '{"spec":{"evict":null}}')


@pytest.mark.parametrize(
    ("lowered", "restored"),
    [
        pytest.param({"cpu": {"maxPercent": 0}}, {"cpu": {"maxPercent": 100}}, id="cpu"),
        pytest.param({"maxPods": 1}, {"maxPods": 250}, id="maxPods"),
    ],
)
def test_kubelet_restarts_under_suppression_and_below_what_is_allocated(
    work: Cluster, lowered: dict[str, object], restored: dict[str, object]
) -> None:
    work.apply(pod("one", "node1", command=SPIN), pod("two", "node1"))
    running(work, "one", "two")
    node, uid = cgroup(work, "one")
    eventually(lambda: read(work, node, uid, "cpu", "cpu.idle") == 1, 15, "suppressed")
    try:
        policy(work, json.dumps({"spec": {"oversell": lowered}}))
        eventually(lambda: work.published("node1")[GATE] is None, 15, "closed")
        assert (work.published("node1")[BE_CPU] or 0) >= 400  # what is allocated is kept
        since = work.ssh("node1", "date '+%F %T'").strip()
        work.ssh("node1", "systemctl restart kubelet")
        started = work.ssh("node1", "systemctl show kubelet -p ActiveEnterTimestampMonotonic -p NRestarts")
        eventually(lambda: "Ready" in work.kubectl("get", "node", "node1").split(), 60, "Ready")
        time.sleep(20)
        assert work.ssh("node1", "systemctl show kubelet -p ActiveEnterTimestampMonotonic -p NRestarts") == started, (
            "kubelet crashed"
        )
        log = work.ssh("node1", f"journalctl -u kubelet --since '{since}' --no-pager | grep -iE '{COMPLAINTS}'; true")
        assert log == ""
        for name in ("one", "two"):
            seen = work.get("pod", "-n", "work", name)["status"]
            assert seen["phase"] == "Running", seen
            assert seen["containerStatuses"][0]["restartCount"] == 0
        assert (work.published("node1")[BE_CPU] or 0) >= 400
        eventually(lambda: work.published("node1")[GATE] is None, 10, "still closed")
    finally:
        policy(work, json.dumps({"spec": {"oversell": restored}}))


def test_no_pod_binds_to_a_node_whose_headroom_is_gone(work: Cluster) -> None:
    """A backlog of short BE pods; the headroom drops to 0; two seconds later nothing binds there any more."""
    made = pod("x", command=["sleep", "2"], cpu="50m", limit="100m")
    template = {"metadata": {"annotations": made["metadata"]["annotations"]}, "spec": made["spec"]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "backlog", "namespace": "work"},
        "spec": {"completions": 400, "parallelism": 8, "template": template},
    }
    bound: dict[str, tuple[str, float]] = {}
    stop = threading.Event()

    def watch() -> None:
        path = r'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}'
        earlier = time.monotonic()  # what a look finds new was bound after the look before it began
        while not stop.is_set():
            began = time.monotonic()
            for line in work.kubectl("get", "pods", "-n", "work", "-o", path, check=False).splitlines():
                name, _, node = line.partition(" ")
                if node and name not in bound:
                    bound[name] = (node, earlier)
            earlier = began
            stop.wait(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work.apply(job)
        eventually(lambda: len(bound) >= 10, 60, "the backlog flows")
        policy(work, '{"spec":{"oversell":{"cpu":{"maxPercent":0}}}}')
        closed_at = time.monotonic()
        time.sleep(15)
        late = {name: (node, round(at - closed_at, 1)) for name, (node, at) in bound.items() if at > closed_at + 2}
        assert not late
        waiting = work.kubectl(
            "get", "events", "-n", "work", "--field-selector", "reason=FailedScheduling", "-o", "yaml"
        )
        # By the gate while some of the backlog still ran; with all of it ended nothing is allocated, and there is no
        # CPU.
        assert any(f"Insufficient {key}" in waiting for key in (GATE, BE_CPU))
    finally:
        policy(work, '{"spec":{"oversell":{"cpu":{"maxPercent":100}}}}')
        stop.set()
        watcher.join()
    flowing = len(bound)
    eventually(
        lambda: work.kubectl("get", "pods", "-n", "work", "--field-selector=status.phase=Running", "-o", "name"),
        60,
        "flows again",
    )
    assert flowing >= 10


def test_disabling_gives_everything_back(work: Cluster) -> None:
    work.apply(pod("one", "node1", command=SPIN))
    running(work, "one")
    node, uid = cgroup(work, "one")
    eventually(lambda: read(work, node, uid, "cpu", "cpu.cfs_quota_us") > 0, 15, "limited")
    try:
        policy(work, '{"spec":{"enabled":false}}')
        eventually(lambda: read(work, node, uid, "cpu", "cpu.cfs_quota_us") == -1, 20, "quota put back")
        assert read(work, node, uid, "cpu", "cpu.idle") == 0
        assert read(work, node, uid, "memory", "memory.limit_in_bytes") > 2**60
        assert work.published("node1")[GATE] is None
        assert work.published("node1")[BE_CPU] == 200  # allocated to the running pod
    finally:
        policy(work, '{"spec":{"enabled":true}}')
