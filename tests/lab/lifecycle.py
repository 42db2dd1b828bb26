# SPDX-License-Identifier: Apache-2.0
"""A lab from nothing to Ready, and back to nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from . import binaries, cgroups, control_plane, machines, network, preflight
from .config import Lab
from .debian import ensure_packages
from .errors import LabError
from .images import ensure_images
from .inventory import write_access, write_inventory
from .machine_base import ensure_base
from .pki import Pki
from .process import Daemon, end_commands, run, start_time, wait_until
from .progress import say, step

_NODE_SECONDS = 120.0


def build() -> None:
    """Everything a lab is made of, without starting one."""
    ensure_packages()
    binaries.ensure()
    ensure_base()
    ensure_images()


def up(lab: Lab) -> None:
    """Start a lab; one that is up already is left as it is, a broken one is replaced."""
    with _alone(lab):
        _up(lab)


def _up(lab: Lab) -> None:
    if lab.state.exists():
        if healthy(lab):
            if running(lab).node_count != lab.node_count:
                raise LabError(f"a lab with {running(lab).node_count} nodes is up; `python3 -m tests.lab down` first")
            say("the lab is up already")
            return
        say("what an earlier run left is taken away first")
        _take_down(lab)
    preflight.check(lab)
    build()
    try:
        _start(lab)
    except BaseException as error:
        say("interrupted: taking down what was started" if isinstance(error, KeyboardInterrupt) else "failed")
        if isinstance(error, KeyboardInterrupt) or not os.environ.get("LAB_KEEP_FAILED"):
            _take_down(lab)
        raise


def _start(lab: Lab) -> None:
    lab.run.mkdir(parents=True)
    lab.state.chmod(0o700)
    (lab.state / "lab.json").write_text(json.dumps({"nodes": lab.node_count, "mem_kb": lab.mem_kb}) + "\n")
    with step(f"starting the control plane and {lab.node_count} nodes", "about 15 s"):
        pki = Pki(lab.pki)
        write_access(lab, pki)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", lab.hub, "-f", lab.ssh_key])
        network.up(lab)
        control_plane.start(lab, "etcd", "apiserver")
        base, images = ensure_base(), ensure_images()
        with ThreadPoolExecutor(lab.node_count) as pool:
            try:
                list(pool.map(lambda node: machines.prepare(lab, node, pki, base, images), lab.nodes))
            except BaseException:
                end_commands()
                raise
        write_inventory(lab)
        for node in lab.nodes:
            machines.start(lab, node)
        control_plane.wait_ready(lab)
        control_plane.start(lab)
        for node in lab.nodes:
            machines.wait_ssh(lab, node)
        wait_nodes(lab)


def wait_nodes(lab: Lab, seconds: float = _NODE_SECONDS) -> None:
    """Wait until every node is Ready and pods are let in (ServiceAccount `default` exists)."""

    def happened() -> bool:
        states = node_states(lab)
        if any(states.get(node.name) != "True" for node in lab.nodes):
            return False
        return bool(control_plane.kubectl(lab, "get", "serviceaccount", "default", "-o", "name", check=False))

    if not wait_until(happened, seconds, 0.5):
        late = [node.name for node in lab.nodes if node_states(lab).get(node.name) != "True"]
        what = ", ".join(late) or "ServiceAccount default"
        raise LabError(f"not Ready after {seconds:.0f} s: {what}; see {lab.logs}")


def node_states(lab: Lab) -> dict[str, str]:
    """Every Node's Ready condition: True, False or Unknown."""
    path = '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
    answer = control_plane.kubectl(lab, "get", "nodes", "--request-timeout=5s", "-o", f"jsonpath={path}", check=False)
    return dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)


def healthy(lab: Lab) -> bool:
    """Whether every process runs, and the API server and every node are Ready."""
    names = machines.recorded(lab)
    processes = [control_plane.daemon(lab, name) for name in control_plane.COMPONENTS]
    processes += [machines.daemon(lab, name) for name in names]
    if not names or any(process.pid is None for process in processes) or not control_plane.ready(lab):
        return False
    states = node_states(lab)
    return all(states.get(name) == "True" for name in names)


def running(lab: Lab) -> Lab:
    """The lab as it was started: its own number of nodes and memory, not today's environment."""
    try:
        kept = json.loads((lab.state / "lab.json").read_text())
    except (OSError, ValueError):
        return lab
    return replace(lab, node_count=int(kept["nodes"]), mem_kb=int(kept["mem_kb"]))


def stop_part(lab: Lab, name: str) -> None:
    """Stop one component of the control plane, or one machine (which keeps its disk)."""
    if name in control_plane.COMPONENTS:
        control_plane.stop(lab, name)
    else:
        machines.stop(lab, lab.node(name))


def start_part(lab: Lab, name: str) -> None:
    """Start one that was stopped."""
    if name in control_plane.COMPONENTS:
        control_plane.start(lab, name)
    elif machines.daemon(lab, name).pid is None:
        machines.start(lab, lab.node(name))


def down(lab: Lab, *, force: bool = False) -> None:
    """Take everything away; also half a lab, also twice. Ctrl-C waits until it is done."""
    with _alone(lab):
        if lab.state.exists() or force:
            _take_down(lab)
        else:
            say("no lab is up")


def _alone(lab: Lab) -> AbstractContextManager[None]:
    """One `up` or `down` of a lab at a time: a second `up` would take the first for a broken one."""
    return binaries.cache_lock(f"{lab.hub}.lock")


def _take_down(lab: Lab) -> None:
    kept = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        with step("taking the lab down", "about 5 s"):
            _down(running(lab))
    finally:
        for sign, handler in kept.items():
            signal.signal(sign, handler)


def _down(lab: Lab) -> None:
    names = machines.recorded(lab)
    with ThreadPoolExecutor(max(1, len(names))) as pool:
        list(pool.map(lambda name: machines.stop(lab, lab.node(name)), names))
    control_plane.stop(lab)
    end_recorded(lab)
    _sweep(lab)
    network.down(lab)
    stuck: list[Path] = []
    if not wait_until(lambda: not stuck_groups(lab, stuck), 5, 0.2):
        say(f"cgroups that could not be removed: {', '.join(map(str, stuck))}")
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    if inside := [mount for mount in mounts if mount.startswith(f"{lab.state}/")]:
        raise LabError(f"not removing {lab.state}: mounted below it: {', '.join(inside)}")
    if lab.state.exists():
        shutil.rmtree(lab.state)


def end_recorded(lab: Lab) -> None:
    """End what was started beside the lab and has a record there: a way to its console."""
    for record in sorted(lab.run.glob("*.pid")):
        Daemon(record).stop(3)


def stuck_groups(lab: Lab, stuck: list[Path]) -> list[Path]:
    """Try to remove the cgroups; keeps the list of those that would not go for a message."""
    stuck[:] = cgroups.remove(lab)
    return stuck


def _sweep(lab: Lab) -> None:
    """End what lost its record: processes in the lab's own cgroups or namespaces are the lab's."""
    for _ in range(10):
        left = set(cgroups.members(lab))
        for name in network.namespaces(lab):
            left.update(int(pid) for pid in run(["ip", "netns", "pids", name], check=False).stdout.split())
        left = {pid for pid in left - {os.getpid()} if start_time(pid) is not None}
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_until(lambda pids=left: all(start_time(pid) is None for pid in pids), 3)  # type: ignore[misc]
