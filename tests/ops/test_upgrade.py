"""Upgrade in waves, rollback, and what excludes two rollouts: between versions that were really built."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from colocation.model.names import BE_CPU
from tests.e2e.pods import SPIN, pod
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually
from tests.ops import versions
from tests.ops.conftest import NS, agents, changed, command, lease, manager, play
from tests.ops.versions import Version

pytestmark = pytest.mark.lab
SYSCTL = "net.ipv4.tcp_fin_timeout"  # each node has its own: it belongs to the network namespace
SETTINGS = ("-e", json.dumps({"colocation_node_sysctls": {SYSCTL: "42"}}))
NEW, BROKEN = "0.2.0", "0.2.1"


@pytest.fixture(scope="module")
def new() -> Version:
    """The version to upgrade to."""
    return versions.make(NEW)


@pytest.fixture(scope="module")
def broken() -> Version:
    """A version whose agent ends at once (a fault that is injected)."""
    return versions.make(BROKEN, broken_agent=True)


@pytest.fixture(scope="module")
def old(cluster: Cluster) -> Version:
    """This version, rolled out; offline work runs on it."""
    version = versions.ours()
    play(cluster, version, "site")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
    cluster.kubectl("wait", "--for=create", "-n", "work", "serviceaccount/default", "--timeout=30s")
    cluster.apply(pod("one", "node1", command=SPIN))
    cluster.kubectl("wait", "-n", "work", "--for=condition=Ready", "pod/one", "--timeout=60s")
    return version


@pytest.fixture
def other_holder(cluster: Cluster) -> Iterator[None]:
    """Somebody else's rollout, on another machine, that is alive."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "ann@elsewhere:1:1", "leaseDurationSeconds": 600, "acquireTime": now, "renewTime": now}
    metadata = {"name": "colocation-rollout", "namespace": "kube-system"}
    cluster.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    yield
    cluster.kubectl("delete", "lease", "-n", "kube-system", "colocation-rollout")


def revision(cluster: Cluster) -> int:
    secrets = cluster.get("secrets", *NS, "-l", "owner=helm,name=colocation")["items"]
    return max(int(s["metadata"]["labels"]["version"]) for s in secrets)


def test_there_is_nothing_to_upgrade_on_a_cluster_without_it(cluster: Cluster) -> None:
    if cluster.nodes():
        pytest.skip("a lab that was kept")
    output = play(cluster, versions.ours(), "upgrade", fails=True)
    assert "The playbook site does that. Nothing was changed." in output
    assert lease(cluster) == ""


def test_a_misspelt_variable_is_told_before_anything_is_changed(cluster: Cluster, old: Version) -> None:
    output = play(cluster, old, "site", "-e", "colocation_manager_timout=5", fails=True)
    assert "There is no variable colocation_manager_timout. Did you mean colocation_manager_timeout?" in output
    assert "Nothing was changed." in output
    play(cluster, old, "site", "-e", "colocation_mine=5", "-e", '{"colocation_own_variables": ["colocation_mine"]}')


def test_check_mode_of_an_upgrade_changes_nothing(cluster: Cluster, old: Version, new: Version) -> None:
    before = revision(cluster)
    play(cluster, new, "upgrade", "--check", "--diff")
    assert (revision(cluster), manager(cluster)) == (before, old.number)
    assert set(agents(cluster).values()) == {old.number}


def test_another_rollout_is_not_interfered_with(
    cluster: Cluster, old: Version, new: Version, other_holder: None
) -> None:
    for playbook in ("site", "upgrade", "rollback", "uninstall"):
        output = play(cluster, new, playbook, fails=True)
        assert "Another rollout is at work: ann@elsewhere" in output, playbook
    assert manager(cluster) == old.number


def test_an_upgrade_goes_in_waves_and_offline_work_stays_limited(cluster: Cluster, old: Version, new: Version) -> None:
    uid = cluster.get("pod", "-n", "work", "one")["metadata"]["uid"]
    policies = {"colocation_policies": [{"name": "default", "spec": {}}, {"name": "second", "spec": {"priority": -1}}]}
    output = play(cluster, new, "upgrade", *SETTINGS, "-e", json.dumps(policies))
    waves = re.findall(r"^changed: \[(node\d) -> localhost\]$", output.partition("wave by wave")[2], re.MULTILINE)
    assert waves == ["node1", "node2"], output
    assert manager(cluster) == NEW
    assert agents(cluster) == {"node1": NEW, "node2": NEW}
    assert cluster.ssh("node1", f"sysctl -n {SYSCTL}").strip() == "42"
    assert "second" in cluster.kubectl("get", "cpol", "-o", "name")
    one = cluster.get("pod", "-n", "work", "one")
    assert (one["metadata"]["uid"], one["status"]["phase"]) == (uid, "Running")
    quota = cluster.ssh("node1", f"cat /sys/fs/cgroup/cpu/kubepods/besteffort/pod{uid}/cpu.cfs_quota_us")
    assert 0 < int(quota) <= 30_000
    assert "rollback goes back to chart " + old.number in output
    assert lease(cluster) == ""


def test_a_second_upgrade_and_a_site_after_it_change_nothing(cluster: Cluster, old: Version, new: Version) -> None:
    policies = {"colocation_policies": [{"name": "default", "spec": {}}, {"name": "second", "spec": {"priority": -1}}]}
    for playbook in ("upgrade", "site"):
        output = play(cluster, new, playbook, *SETTINGS, "-e", json.dumps(policies))
        assert changed(output) == 0, output
    assert f"rollback goes back to chart {old.number}" in output, "a run that changes nothing is no step"


def test_an_older_chart_is_refused_before_anything_is_changed(cluster: Cluster, old: Version, new: Version) -> None:
    for playbook in ("site", "upgrade"):
        output = play(cluster, old, playbook, fails=True)
        assert re.search(rf"The cluster runs chart {NEW}.*the older\s+{old.number}", output, re.DOTALL), output
    assert manager(cluster) == NEW


def test_a_rollback_puts_release_agents_policies_and_settings_back(
    cluster: Cluster, old: Version, new: Version
) -> None:
    play(cluster, old, "rollback")  # with the older collection: what is needed is noted in the cluster
    assert manager(cluster) == old.number
    assert agents(cluster) == {"node1": old.number, "node2": old.number}
    assert cluster.kubectl("get", "cpol", "-o", "name").split() == ["colocationpolicy.colocation.openfuyao.com/default"]
    assert cluster.get("cpol", "default")["spec"]["oversell"]["growAfterSeconds"] == 5  # as tests/e2e/rollout.yml says
    assert cluster.ssh("node1", f"sysctl -n {SYSCTL}").strip() == "60"
    assert cluster.ssh("node1", "ls /etc/sysctl.d/90-openfuyao-colocation.conf", check=False) == ""


def test_a_second_rollback_changes_nothing(cluster: Cluster, old: Version) -> None:
    before = revision(cluster)
    output = play(cluster, old, "rollback")
    assert changed(output) == 0
    assert revision(cluster) == before
    assert "nothing to go back to" in output


def test_a_policy_that_the_inventory_names_no_longer_is_removed(cluster: Cluster, old: Version) -> None:
    policies = {"colocation_policies": [{"name": "other", "spec": {"oversell": {"growAfterSeconds": 5}}}]}
    by_hand = {"kind": "ColocationPolicy", "metadata": {"name": "by-hand"}, "spec": {"priority": -5}}
    cluster.apply({"apiVersion": "colocation.openfuyao.com/v1alpha1", **by_hand})
    play(cluster, old, "site", "-e", json.dumps(policies))
    assert {name.rpartition("/")[2] for name in cluster.kubectl("get", "cpol", "-o", "name").split()} == {
        "other",
        "by-hand",
    }
    play(cluster, old, "rollback")
    assert "policy" not in cluster.kubectl("get", "cpol", "other", "-o", "name", "--ignore-not-found")
    cluster.kubectl("delete", "cpol", "by-hand")


def test_a_manager_that_does_not_start_is_rolled_back_before_any_agent_changes(
    cluster: Cluster, old: Version, new: Version
) -> None:
    values = json.dumps({"colocation_chart_values": {"image": {"tag": "nosuch"}}})
    output = play(cluster, new, "upgrade", "-e", values, fails=True)
    assert re.search(r"the manager does not start: \w+ of image \S+:nosuch", output), output
    assert manager(cluster) == old.number
    assert agents(cluster) == {"node1": old.number, "node2": old.number}


def test_an_agent_that_does_not_start_closes_the_gate_and_is_rolled_back(
    cluster: Cluster, old: Version, broken: Version
) -> None:
    output = play(cluster, broken, "upgrade", fails=True)
    assert "node1: its new agent does not start: CrashLoopBackOff" in output
    assert "The cluster was brought back to where it was." in output
    assert "node2: its new agent" not in output, "the second wave never began"
    assert manager(cluster) == old.number
    assert agents(cluster) == {"node1": old.number, "node2": old.number}
    assert lease(cluster) == ""


def test_a_killed_upgrade_is_undone_from_another_control_machine(cluster: Cluster, old: Version, new: Version) -> None:
    argv, env = command(cluster, new, "upgrade", "-e", "colocation_manager_lease=60", *SETTINGS)
    with subprocess.Popen(
        argv, cwd="/", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        eventually(lambda: agents(cluster).get("node1") == NEW, 240, "the first wave")
        os.killpg(running.pid, signal.SIGKILL)
    argv, env = command(cluster, old, "rollback")
    # In a PID namespace of its own it cannot see that the run is dead.
    namespaces = ["unshare", "--uts", "--pid", "--fork", "--mount-proc"]
    elsewhere = [*namespaces, "sh", "-c", 'hostname elsewhere; exec "$@"', "sh", *argv]

    def undone() -> bool:
        done = subprocess.run(elsewhere, cwd="/", env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "Another rollout is at work: " in done.stdout, done.stdout[-4000:]
        return done.returncode == 0

    eventually(undone, 180, "the dead holder's Lease is free", every=5)
    assert manager(cluster) == old.number
    assert agents(cluster) == {"node1": old.number, "node2": old.number}
    assert cluster.ssh("node2", f"sysctl -n {SYSCTL}").strip() == "60"


def test_a_killed_upgrade_is_finished_by_running_it_again(cluster: Cluster, old: Version, new: Version) -> None:
    argv, env = command(cluster, new, "upgrade")
    with subprocess.Popen(
        argv, cwd="/", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        eventually(
            lambda: "pending" in cluster.kubectl("get", "cm", *NS, "colocation-rollout", "-o", "yaml"), 240, "begun"
        )
        os.killpg(running.pid, signal.SIGKILL)
    output = play(cluster, new, "upgrade")  # at once: the holder of the Lease was on this machine, and is dead
    assert agents(cluster) == {"node1": NEW, "node2": NEW}
    assert f"rollback goes back to chart {old.number}" in output


def helm(cluster: Cluster, *args: str) -> None:
    argv = [str(cluster.lab.bin / "helm"), "--kubeconfig", str(cluster.lab.kubeconfig), *NS, *args]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_by_helm_alone_an_agent_that_crashes_stops_the_update_at_its_first_node(
    cluster: Cluster, new: Version, broken: Version
) -> None:
    """Without the collection's waves: the DaemonSet's own update waits for an agent that has reported and enforces."""
    chart = broken.tree / f"build/out/colocation-package-{BROKEN}.tgz"
    values = ("--reuse-values", "--set", f"image.tag={BROKEN},agent.updateStrategy=RollingUpdate")
    helm(cluster, "upgrade", "colocation", str(chart), *values)  # the image came to the nodes with the upgrade above
    try:
        eventually(lambda: BROKEN in str(agents(cluster)), 120, "the first new agent")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            left = [node for node, version in agents(cluster).items() if version == NEW]
            assert len(left) == 1, agents(cluster)
            assert (cluster.published(left[0])[BE_CPU] or 0) > 0
            time.sleep(2)
    finally:
        helm(cluster, "rollback", "colocation")  # to OnDelete, as the collection has it: nobody replaces the agents
        cluster.kubectl("delete", "pods", *NS, "-l", "app.kubernetes.io/component=agent", "--wait=false")
    eventually(lambda: agents(cluster) == {"node1": NEW, "node2": NEW}, 180, "both agents are the older ones again")


def test_uninstall_forgets_the_steps(cluster: Cluster, new: Version, old: Version) -> None:
    play(cluster, new, "uninstall")
    assert lease(cluster) == ""
    assert not cluster.kubectl("get", "ns", "openfuyao-colocation", "--ignore-not-found")
    for node in ("node1", "node2"):
        left = cluster.ssh(node, "ctr -n k8s.io images ls -q")
        assert "colocation" not in left, "images of both versions are gone"
