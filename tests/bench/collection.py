# SPDX-License-Identifier: Apache-2.0
"""The playbook `site`: seconds and remote tasks a host, on two real nodes and on 100 light ones. Root, and a lab.

The floor is `ansible -m setup` with the smallest subset of facts, on the same hosts with the same settings.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from colocation.kube.login import kubeconfig
from colocation.kube.rest import Rest
from tests.bench.figures import Figure, Report, figure
from tests.bench.simulated import Simulated
from tests.bench.targets import Targets
from tests.lab import machines
from tests.lab.cluster import confirmed
from tests.lab.config import CLONE, Lab, cache_dir
from tests.lab.errors import LabError
from tests.lab.progress import say, step

HOSTS = 100
SMALL = 25
"""Hosts at which settings are compared."""
GROWTH = (25, 50, HOSTS)
SETTINGS = {"ANSIBLE_FORKS": "20", "ANSIBLE_PIPELINING": "1"}
"""What docs/how-to/many-nodes.md advises."""
FILES = Path(__file__).parent / "files"
IMAGE = CLONE / "build/out/colocation-image.tar"
SETUP = ("-m", "ansible.builtin.setup", "-a", "gather_subset=min")
VARIABLES = """        colocation_kubeconfig: {kubeconfig}
        colocation_helm_binary: {helm}
        colocation_chart_values:
          manager:
            nodeSelector:
              kubernetes.io/hostname: node1
"""


def run(*, full: bool) -> Report:
    """Both sizes; ``full`` changes nothing."""
    if os.geteuid() != 0:
        raise LabError("bench collection: it makes machines and network namespaces, and needs root")
    with step("the lab, image and chart"):
        for module in ("build.image", "build.chart"):
            _python("-m", module)
        _python("-m", "tests.lab", "down")
        _python("-m", "tests.lab", "up")
    lab = Lab.from_env()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            figures = [*_two(lab, Path(scratch)), *_many(lab, Path(scratch))]
    finally:
        _python("-m", "tests.lab", "down")
    words = (
        f"Two nodes are the lab's machines. The {HOSTS} are one sshd each, in namespaces of their own here, and "
        "Nodes of the lab's cluster whose kubelet and agent are simulated; control machine, API server and hosts "
        f"share the cores. Unless said otherwise: {', '.join(f'{k}={v}' for k, v in SETTINGS.items())}. "
        "Remote tasks: those of the host with most."
    )
    return Report("Speed of the collection", words, figures)


def _two(lab: Lab, scratch: Path) -> list[Figure]:
    run = Ansible(lab.inventory, scratch)
    with step("site on two nodes"):
        cold, tasks = run.site()
        again, idle = run.site()
        run.timed([*run.playbook("uninstall"), *confirmed(lab, "uninstall")])
    return [
        figure("2-cold", cold, "s", note="Image brought to both nodes, chart installed, both publish."),
        figure("2-cold-tasks", tasks, "remote tasks a host"),
        figure("2-again", again, "s", note="Nothing to do."),
        figure("2-again-tasks", idle, "remote tasks a host", most=6),
    ]


def _many(lab: Lab, scratch: Path) -> list[Figure]:
    targets = Targets(scratch, HOSTS)
    rest = Rest(kubeconfig(str(lab.kubeconfig)), connections=12)
    simulated = Simulated(rest, list(targets.addresses))
    run = Ansible(targets.inventory, scratch)
    with step(f"{HOSTS} light hosts"):
        machines.load_image(lab, lab.nodes[0], IMAGE)
        targets.start(VARIABLES.format(kubeconfig=lab.kubeconfig, helm=lab.bin / "helm"))
        simulated.start()
    try:
        return _timed(run)
    finally:
        simulated.stop()
        targets.stop()
        rest.close()


def _timed(run: Ansible) -> list[Figure]:
    with step(f"setup and site on {HOSTS} hosts"):
        run.setup()  # makes the connections, which everything after it finds open
        setups = {count: statistics.median(run.setup(count) for _ in range(3)) for count in GROWTH}
        cold, tasks = run.site()
        again = {count: run.site(count) for count in GROWTH}
    figures = [
        figure("100-cold", cold, "s", floor=setups[HOSTS], note="Nothing is there; no image is brought."),
        figure("100-cold-tasks", tasks, "remote tasks a host"),
        *(
            figure(f"{n}-again", again[n][0], "s", floor=setups[n], most_ratio=6 if n == HOSTS else None)
            for n in GROWTH
        ),
        figure("100-again-tasks", again[HOSTS][1], "remote tasks a host", most=6),
        figure(
            "seconds-a-host", (again[HOSTS][0] - again[SMALL][0]) / (HOSTS - SMALL), "s",
            note=f"How much each host more costs with nothing to do, from {SMALL} to {HOSTS} hosts.",
        ),
    ]  # fmt: skip
    with step(f"settings, on {SMALL} hosts"):
        for name, changed in {
            "25-again-no-pipelining": {"ANSIBLE_PIPELINING": "0"},
            "25-again-5-forks": {"ANSIBLE_FORKS": "5"},
            "25-again-50-forks": {"ANSIBLE_FORKS": "50"},
            "25-again-defaults": {"ANSIBLE_PIPELINING": "0", "ANSIBLE_FORKS": "5"},
        }.items():
            figures.append(figure(name, run.site(SMALL, changed)[0], "s", floor=setups[SMALL]))
        every = run.timed([*run.command("ansible", SMALL), *SETUP[:2]])
        note = "Ansible's usual gathering of facts; no play of ours gathers any. Floor: the smallest subset."
        figures.append(figure("25-setup-all-facts", every, "s", floor=setups[SMALL], note=note))
    return figures


class Ansible:
    """ansible and ansible-playbook as an operator runs them, timed."""

    def __init__(self, inventory: Path, scratch: Path) -> None:
        self._inventory, self._counted = inventory, scratch / "tasks.json"
        self._sockets = scratch / "cp"

    def site(self, count: int = 0, changed: Mapping[str, str] | None = None) -> tuple[float, int]:
        """Seconds, and the most remote tasks that a host had."""
        took = self.play("site", count, changed)
        tasks: dict[str, list[str]] = json.loads(self._counted.read_text())
        hosts = {name: done for name, done in tasks.items() if name != "localhost"}
        most = max(hosts.values(), key=len)
        say(f"  remote tasks: {', '.join(most)}")
        return took, len(most)

    def play(self, playbook: str, count: int = 0, changed: Mapping[str, str] | None = None) -> float:
        """Seconds."""
        limit = ["--limit", f"colocation_nodes[0:{count - 1}]"] if count else []
        return self.timed([*self.playbook(playbook), *limit], changed)

    def playbook(self, name: str) -> list[str]:
        """The program, for all hosts."""
        binary = str(Path(sys.executable).parent / "ansible-playbook")
        return [binary, f"playbooks/{name}.yml", "-i", str(self._inventory)]

    def setup(self, count: int = 0) -> float:
        """Seconds for the smallest subset of facts."""
        return self.timed([*self.command("ansible", count), *SETUP])

    def command(self, program: str, count: int = 0) -> list[str]:
        """The program, for so many hosts."""
        hosts = f"colocation_nodes[0:{count - 1}]" if count else "colocation_nodes"
        return [str(Path(sys.executable).parent / program), hosts, "-i", str(self._inventory)]

    def timed(self, argv: list[str], changed: Mapping[str, str] | None = None) -> float:
        """Run it; a failure ends the bench with what it said."""
        env = {
            **os.environ,
            **SETTINGS,
            **(changed or {}),
            "ANSIBLE_COLLECTIONS_PATH": f"{CLONE / '.collections'}:{cache_dir() / 'collections'}",
            "ANSIBLE_CALLBACK_PLUGINS": str(FILES),
            "ANSIBLE_CALLBACKS_ENABLED": "remote_tasks",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._sockets),
            "REMOTE_TASKS": str(self._counted),
        }
        began = time.monotonic()
        done = subprocess.run(argv, cwd=CLONE, env=env, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode:
            raise LabError(f"{' '.join(argv)[:200]}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return took


def _python(*args: str) -> None:
    subprocess.run([sys.executable, *args], cwd=CLONE, check=True)
