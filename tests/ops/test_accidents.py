"""What goes wrong on machines while plays run: a node that is down, ssh that is cut, power that fails, a full disk.

Each time: what the operator is told, what was not touched, and that the next run finishes. At the end nothing is left.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from build.paths import CLONE
from tests.e2e.conftest import differences, snapshot
from tests.lab import machines
from tests.lab.cluster import Cluster
from tests.lab.config import Node
from tests.lab.waiting import eventually
from tests.ops import versions
from tests.ops.conftest import agents, changed, command, lease, play

pytestmark = pytest.mark.lab
STATE = "/var/lib/openfuyao-colocation"
FILE = "/etc/sysctl.d/90-openfuyao-colocation.conf"
NODE2 = ("--limit", "node2")


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> dict[str, object]:
    """What cluster and machines looked like before anything was rolled out."""
    return snapshot(cluster)


def node2(cluster: Cluster) -> Node:
    return cluster.lab.nodes[1]


def sysctl(value: int) -> tuple[str, str]:
    """A kernel parameter that each node has for itself."""
    return "-e", json.dumps({"colocation_node_sysctls": {"net.core.somaxconn": value}})


def somaxconn(cluster: Cluster) -> int:
    return int(cluster.ssh("node2", "sysctl -n net.core.somaxconn"))


def inside(cluster: Cluster, script: str, *, check: bool = True) -> None:
    """Run in node2 without ssh: in the namespaces of its init."""
    pid = machines.daemon(cluster.lab, "node2").pid
    while pid and Path(f"/proc/{pid}/comm").read_text() != "systemd\n":
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    enter = ["nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    subprocess.run([*enter, "/bin/sh", "-c", script], capture_output=True, text=True, check=check)


def boot(cluster: Cluster) -> None:
    machines.start(cluster.lab, node2(cluster))
    machines.wait_ssh(cluster.lab, node2(cluster))
    boot_id = cluster.ssh("node2", "cat /proc/sys/kernel/random/boot_id").strip()
    eventually(lambda: ready(cluster, boot_id), 120, "node2 is Ready again")


def ready(cluster: Cluster, boot_id: str) -> bool:
    """Of this boot: the API server calls a Node Ready for a while after its machine has gone."""
    status = cluster.get("node", "node2")["status"]
    up = any({"type": "Ready", "status": "True"}.items() <= each.items() for each in status["conditions"])
    return up and status["nodeInfo"]["bootID"] == boot_id


def meanwhile(cluster: Cluster, line: str, times: int, event: Callable[[int], object], *extra: str) -> tuple[int, str]:
    """Run `site`; when it has said this line so often, something happens. Its status and all that it said."""
    argv, env = command(cluster, versions.ours(), "site", *extra)
    with subprocess.Popen(
        argv, cwd=CLONE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        output, seen = "", 0
        for each in running.stdout:
            output += each
            seen += line in each
            if line in each and seen == times:
                event(running.pid)
    assert seen >= times, output[-4000:]
    assert "Traceback" not in output, output
    return running.returncode, output


def finish(cluster: Cluster, *extra: str) -> None:
    """The next run finishes, and the one after it has nothing to do."""
    play(cluster, versions.ours(), "site", *extra)
    assert cluster.nodes() == ["node1", "node2"]
    both = dict.fromkeys(("node1", "node2"), versions.ours().number)
    # site waits until the node publishes: kubelet's next look at the agent's readiness may come after that
    eventually(lambda: agents(cluster) == both, 60, "both agents ready")
    assert changed(play(cluster, versions.ours(), "site", *extra)) == 0
    assert lease(cluster) == ""


def test_a_node_that_is_down_is_named_before_anything_changes_and_left_out_if_wanted(
    cluster: Cluster, before: dict[str, object]
) -> None:
    machines.stop(cluster.lab, node2(cluster))
    try:
        output = " ".join(play(cluster, versions.ours(), "site", fails=True).split())
        assert "Inventory host node2 cannot be reached" in output
        assert "Nothing was changed." in output
        assert cluster.nodes() == []
        assert lease(cluster) == ""
        play(cluster, versions.ours(), "site", "-e", "colocation_max_fail_percentage=50", fails=True)
        assert cluster.nodes() == ["node1"], "the run went on without it"
        eventually(lambda: agents(cluster) == {"node1": versions.ours().number}, 60, "its agent is ready")
        assert lease(cluster) == ""
    finally:
        boot(cluster)


def test_a_kernel_parameter_that_is_misspelt_is_refused_before_anything_changes(cluster: Cluster) -> None:
    misspelt = ("-e", json.dumps({"colocation_node_sysctls": {"net.core.somaxcon": 1}}))
    was = cluster.nodes()
    output = " ".join(play(cluster, versions.ours(), "site", *misspelt, fails=True).split())
    assert "its kernel has no parameter net.core.somaxcon: correct colocation_node_sysctls" in output
    assert "Nothing was changed." in output
    assert (cluster.nodes(), lease(cluster)) == (was, "")


def test_ssh_that_is_cut_while_images_are_brought_is_told_and_the_next_run_finishes(cluster: Cluster) -> None:
    """Node by node: node2's turn is the second. Its sshd ends, and with it the connections that are open."""
    try:
        status, output = meanwhile(
            cluster,
            "Bring the images to the node]",
            2,
            lambda _pid: inside(cluster, "systemctl stop ssh; pkill -KILL sshd; true"),
            "-e",
            "colocation_serial=1",
        )
        assert status != 0
        assert "fatal: [node2]: UNREACHABLE!" in output
        assert cluster.nodes() == ["node1"]
    finally:
        inside(cluster, "systemctl start ssh")
    finish(cluster)


def test_power_that_fails_in_the_middle_of_site_is_told_and_the_next_run_finishes(cluster: Cluster) -> None:
    try:
        status, output = meanwhile(
            cluster,
            "Prepare the node]",
            2,
            lambda _pid: inside(cluster, "kill -KILL -1; systemctl --force --force poweroff", check=False),
            "-e",
            "colocation_serial=1",
            *sysctl(4322),
        )
        assert status != 0
        assert "fatal: [node2]: UNREACHABLE!" in output
    finally:
        machines.stop(cluster.lab, node2(cluster))
        boot(cluster)
    finish(cluster, *sysctl(4322))
    assert somaxconn(cluster) == 4322


def test_a_node_that_was_rebooted_offers_again_as_prepared_without_a_play(cluster: Cluster) -> None:
    machines.stop(cluster.lab, node2(cluster))
    boot(cluster)
    assert somaxconn(cluster) == 4322
    eventually(lambda: agents(cluster).get("node2") == versions.ours().number, 120, "its agent reports")
    eventually(lambda: cluster.explain("node2")["cpu"]["published"] > 0, 60, "it offers")
    assert changed(play(cluster, versions.ours(), "site", *sysctl(4322))) == 0


def test_a_run_that_is_interrupted_by_hand_is_finished_by_the_next(cluster: Cluster) -> None:
    play(cluster, versions.ours(), "uninstall")
    status, _said = meanwhile(
        cluster,
        "Install or change the chart]",
        1,
        # Not while ansible forks the worker: a signal at that moment is a traceback of its own.
        lambda pid: subprocess.run(["sh", "-c", f"sleep 1; kill -INT {pid}"], check=True),
    )
    assert status not in (0, -signal.SIGKILL)
    finish(cluster)


def test_a_full_disk_is_told_with_its_file_and_the_next_run_finishes(cluster: Cluster) -> None:
    play(cluster, versions.ours(), "remove_nodes", *NODE2)
    was = somaxconn(cluster)
    cluster.ssh("node2", f"mkdir {STATE} && mount -t tmpfs -o size=4k tmpfs {STATE}")
    output = play(cluster, versions.ours(), "add_nodes", *NODE2, *sysctl(4323), fails=True)
    assert "0 MiB are free for the node's state, 256 are needed" in output
    assert (cluster.nodes(), somaxconn(cluster)) == (["node1"], was)
    # Headroom for one file, and none to replace it: it runs full between the first note and the last.
    full = ("-e", "colocation_preflight_disk_mib=0")
    output = play(cluster, versions.ours(), "add_nodes", *NODE2, *sysctl(4323), *full, fails=True)
    assert f"The node could not be prepared: [Errno 28] No space left on device: '{STATE}/before/node.json'" in output
    assert cluster.nodes() == ["node1"]
    cluster.ssh("node2", f"cp -a {STATE} /srv/kept && umount {STATE} && rmdir {STATE} && mv /srv/kept {STATE}")
    cluster.ssh(
        "node2", "rm -rf /root/.ansible && mkdir /root/.ansible && mount -t tmpfs -o size=8m tmpfs /root/.ansible"
    )
    output = play(cluster, versions.ours(), "add_nodes", *NODE2, *sysctl(4323), fails=True)
    assert "fatal: [node2]" in output
    assert cluster.nodes() == ["node1"]
    cluster.ssh("node2", "umount /root/.ansible")
    play(cluster, versions.ours(), "add_nodes", *NODE2, *sysctl(4323))
    assert somaxconn(cluster) == 4323
    assert cluster.nodes() == ["node1", "node2"]
    assert changed(play(cluster, versions.ours(), "add_nodes", *NODE2, *sysctl(4323))) == 0
    play(cluster, versions.ours(), "remove_nodes", *NODE2)
    assert somaxconn(cluster) == was, "what was noted before the disk was full is still known"


def test_a_file_that_cannot_be_written_is_named_and_the_next_run_finishes(cluster: Cluster) -> None:
    finish(cluster, *sysctl(4324))
    cluster.ssh("node2", "mount --bind /etc/sysctl.d /etc/sysctl.d && mount -o remount,bind,ro /etc/sysctl.d")
    try:
        output = play(cluster, versions.ours(), "site", *sysctl(4325), fails=True)
        assert f"The node could not be prepared: [Errno 30] Read-only file system: '{FILE}'" in output
    finally:
        cluster.ssh("node2", "umount /etc/sysctl.d")
    finish(cluster, *sysctl(4325))
    assert "= 4325" in cluster.ssh("node2", f"cat {FILE}")


def test_after_all_that_uninstall_leaves_everything_as_it_was(cluster: Cluster, before: dict[str, object]) -> None:
    play(cluster, versions.ours(), "uninstall")
    assert differences(before, snapshot(cluster)) == {}
    assert changed(play(cluster, versions.ours(), "uninstall")) == 0
