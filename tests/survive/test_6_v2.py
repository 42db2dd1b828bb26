"""What only a kernel of one's own can show: the probe, real v2 files, CPUs unplugged, swap."""

from __future__ import annotations

import json
import time

import pytest

from tests.lab.config import CLONE

from .agent import PYTHON, Agent
from .cluster import busy, pod, running
from .machine import KIND, Machine

pytestmark = [pytest.mark.lab, pytest.mark.skipif(KIND != "v2", reason="a node of the lab shares the host's kernel")]
WANTED = {
    *("cpu.quota", "cpu.burst", "cpu.idle", "memory.limit", "memory.high", "memory.low", "memory.reclaim"),
    *("io.throttle", "psi.cgroup", "psi.proc"),
}


def once(machine: Machine) -> dict[str, object]:
    """A report of ``colocation agent --once``, over three rounds' time."""
    answer: dict[str, object] = json.loads(machine.ssh(f"{PYTHON} -m colocation agent --once --interval 3"))
    return answer


def test_the_probe_tries_every_knob_of_v2_and_leaves_nothing(machine: Machine, agent: Agent) -> None:
    found = json.loads(machine.ssh(f"{PYTHON} -m colocation.node.probe"))
    assert (found["cgroup_version"], found["cgroup_driver"]) == (2, "systemd")
    works = {name for name, row in found["features"].items() if row["available"]}
    print(found["kernel"], {name: row["reason"] for name, row in found["features"].items() if not row["available"]})
    assert works >= WANTED, {name: found["features"][name]["reason"] for name in WANTED - works}
    assert machine.ssh("find /sys/fs/cgroup -name 'colocation-probe-*'") == ""
    result = machine.get("ncol", machine.name)["status"]["capabilities"]
    assert set(result["features"]) == works, "the same probe serves the report"


def test_the_component_tests_on_real_cgroups_of_v2(machine: Machine, agent: Agent) -> None:
    agent.stop()  # its rounds would cost the tests time
    for folder in ("reconciler/tests/unit/node",):
        machine.push(CLONE / folder, f"/opt/clone/{folder}")
    machine.push(CLONE, "/opt/clone", "pyproject.toml")
    machine.ssh("ln -sfn /opt/colocation/src /opt/clone/reconciler/src")
    files = " ".join(f"reconciler/tests/unit/node/test_real{name}.py" for name in ("", "_extra", "_oom"))
    answer = machine.ssh(f"cd /opt/clone && {PYTHON} -m pytest -q -p no:cacheprovider {files} 2>&1; true")
    print(answer)
    last = answer.strip().splitlines()[-1]
    assert " passed" in last, answer
    assert "failed" not in last, answer
    assert "error" not in last, answer


def test_a_cpu_that_is_unplugged_lowers_what_offline_work_may_use(machine: Machine, agent: Agent) -> None:
    machine.apply(pod(machine, "one", busy(machine)))
    running(machine, "one")
    agent.rounds(7)
    try:
        machine.ssh("echo 0 > /sys/devices/system/cpu/cpu1/online")
        machine.eventually(lambda: 0 <= agent.metric("be_cpu_allowed_cores") <= 0.6, 15, "60 % of one core")
        time.sleep(5)
        assert agent.metric("be_cpu_allowed_cores") <= 0.6
    finally:
        machine.ssh("echo 1 > /sys/devices/system/cpu/cpu1/online")
    faults = agent.metric("faults_total")
    assert faults == 0
    agent.rounds(7)
    assert agent.metric("node_cpu_cores") <= 2.1


def test_swapped_out_memory_is_in_use_all_the_same(machine: Machine, agent: Agent) -> None:
    agent.stop()
    hold = ["sh", "-c", "(head -c 64000000 /dev/zero; sleep 100000) | tail"]
    machine.apply(pod(machine, "holder", hold, kind="plain"))
    uid = running(machine, "holder")["holder"]
    group = (
        f"/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid.replace('-', '_')}.slice"
    )
    current = f"cat {group}/memory.current"
    machine.eventually(lambda: int(machine.ssh(current)) > 64_000_000, 30, "it holds 64 MB")
    machine.ssh(
        "dd if=/dev/zero of=/swap bs=1M count=128 2>/dev/null && chmod 600 /swap && mkswap /swap && swapon /swap"
    )
    try:
        # Kubelet gives containers no swap unless it is told to (LimitedSwap); to tell it takes a restart.
        machine.ssh(f"for f in {group}/*/memory.swap.max; do echo max > $f; done")
        machine.ssh(f"echo 40M > {group}/memory.reclaim; true")
        swapped = int(machine.ssh(f"cat {group}/memory.swap.current"))
        assert swapped > 20 << 20, "the kernel swapped nothing out"
        assert int(machine.ssh(current)) < 50_000_000
        (row,) = [row for row in once(machine)["pods"] if row["uid"] == uid]  # type: ignore[attr-defined]
        assert row["memory"] > 60_000_000, "in use, wherever it is"
    finally:
        machine.kubectl("delete", "pod", "holder", "--grace-period=0", "--force")
        machine.ssh("swapoff /swap; rm -f /swap")
