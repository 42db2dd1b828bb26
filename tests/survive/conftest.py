"""One machine for the session (MACHINE=v1: a node of the lab; v2: the emulated one), a manager, an agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ.setdefault("LAB_ID", "9")
os.environ.setdefault("LAB_NODES", "1")

from colocation.model.quantity import parse
from tests.lab.apiserver import free_ports
from tests.lab.config import CLONE, Lab

from .agent import Agent
from .cluster import BE_CPU, busy, clear, limited, pod, policy, running, values
from .machine import KIND, LabMachine, Machine, VmMachine


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A fresh one, kubelet Ready. E2E_KEEP=1: a lab that is up is taken, and left up."""
    if os.geteuid() != 0:
        pytest.skip("machines need root")
    made: Machine
    if KIND == "v2":
        made = VmMachine(tmp_path_factory.mktemp("v2"))
    else:
        if not os.environ.get("E2E_KEEP"):
            subprocess.run([sys.executable, "-m", "tests.lab", "down"], cwd=CLONE, check=True)
        subprocess.run([sys.executable, "-m", "tests.lab", "up"], cwd=CLONE, check=True)
        made = LabMachine(Lab.from_env())
    try:
        if isinstance(made, VmMachine):
            made.start()
        yield made
    finally:
        if KIND == "v2" or not os.environ.get("E2E_KEEP"):
            made.close()


@pytest.fixture(scope="session")
def manager(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A real manager, as a process of this host: it tells the agent the policy and the node's best-effort pods."""
    crds = sorted((CLONE / "charts/colocation-package/templates/crds").glob("*.yaml"))
    machine.apply(*(_plain(path) for path in crds))
    machine.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    machine.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "openfuyao-colocation"}})
    machine.kubectl("label", "node", machine.name, "node.openfuyao.com/colocation=true", "--overwrite")
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "colocation", "manager", f"--kubeconfig={machine.kubeconfig}"]
    argv += [f"--listen=127.0.0.1:{port}", "--namespace=openfuyao-colocation"]
    log = tmp_path_factory.mktemp("manager") / "log"
    env = {**os.environ, "PYTHONPATH": str(CLONE / "reconciler/src")}
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, env=env)
    policy(machine)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def installed(machine: Machine, manager: subprocess.Popen[bytes]) -> Agent:
    """The agent, on the machine, started once."""
    agent = Agent(machine)
    agent.start()
    return agent


@pytest.fixture
def agent(machine: Machine, manager: subprocess.Popen[bytes], installed: Agent) -> Iterator[Agent]:
    """The agent at work, the policy on, the node offers; no pods before, none after."""

    def offers() -> bool:
        assert manager.poll() is None, f"the manager has ended with {manager.returncode}"
        return parse(machine.get("node", machine.name)["status"]["allocatable"].get(BE_CPU, "0")) > 100

    clear(machine)
    policy(machine)
    installed.start()
    machine.eventually(offers, 60, "the node offers")
    yield installed
    clear(machine)


@pytest.fixture
def held(machine: Machine, agent: Agent) -> str:
    """uid of a best-effort pod that is held."""
    machine.apply(pod(machine, "one", busy(machine)))
    uid = running(machine, "one")["one"]
    machine.eventually(lambda: limited(values(machine)[uid]), 60, "held")
    return uid


def _plain(path: Path) -> dict[str, Any]:
    """A CRD of the chart without the lines that are Helm's."""
    lines = [line for line in path.read_text().splitlines() if "{{" not in line]
    made: dict[str, Any] = yaml.safe_load("\n".join(lines))
    return json.loads(json.dumps(made, default=str))  # type: ignore[no-any-return]
