"""A cluster to look at: a real API server, a real manager, and reports as agents write them; and consoles for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from build import npm
from colocation.cli import grant
from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODE_COLOCATIONS, NODES, POLICIES
from colocation.kube.rest import Rest
from reconciler.tests.component.cluster import GI, NAMESPACE, Cluster, Manager, crds
from tests.chart.conftest import render
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.waiting import eventually

SOURCES = Path(__file__).parents[2] / "reconciler/src"
NODE_COUNT = 100
BUSY = 20
"""The first of them run pods."""
STARVED, PRESSED, SILENT, CLOSED, SUSPECT = "node-007", "node-008", "node-009", "node-010", "node-011"
OUTSIDE = ("spare-1", "spare-2")
"""Nodes that do not take part."""
ACCOUNTS = {"operator": "operator", "reader": "reader", "numbers": "", "stranger": ""}
"""ServiceAccount to what `colocation grant` gives it."""


class Console:
    """``colocation console`` as a process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def end(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def alive(self) -> bool:
        """It answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/login", timeout=2):
                return True
        except urllib.error.HTTPError:  # behind a proxy it has no such page
            return True


class World:
    """All of it."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.rest = Rest(kubeconfig(str(api.kubeconfig)))
        self.cluster = Cluster(api, self.rest, folder, 1)
        self.consoles: list[Console] = []
        self._uids: dict[str, list[tuple[str, bool]]] = {}
        self._token_file = folder / "manager-token"

    # -- made once ---------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """CRDs, accounts, nodes, pods, policies, a manager, and a report of each node but one."""
        api = self.api
        api.kubectl("apply", "-f", "-", stdin=crds())
        api.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        api.kubectl("create", "namespace", NAMESPACE)
        shown = ("templates/readers.yaml", "templates/guards/operators.yaml")
        api.kubectl("apply", "-f", "-", stdin=render(*(f"--show-only={one}" for one in shown)))
        for account, role in ACCOUNTS.items():
            self.account(account)
            if role:
                made = grant.bindings(role, f"system:serviceaccount:{NAMESPACE}:{account}", NAMESPACE)
                api.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(made))
        self.may_see_numbers("numbers")
        self.policies()
        for number in range(NODE_COUNT):
            self.cluster.node(f"node-{number:03}", cpu="16", memory="64Gi")
        for name in OUTSIDE:
            self.cluster.node(name, cpu="16", memory="64Gi", label=False)
        for number in range(0, NODE_COUNT, 4):  # every fourth one
            name = f"node-{number:03}"
            self.rest.patch(NODES.path(name), {"metadata": {"labels": {"pool": "batch"}}})
        self.manager = self.another_manager()
        self._pods()
        names = NODE_COLOCATIONS.path()
        eventually(lambda: len(self.cluster.get(names)["items"]) >= NODE_COUNT, 120, "specs of all nodes")
        self.reports()
        eventually(lambda: self.cluster.published("node-099")[0], 60, "the first numbers")

    def policies(self) -> None:
        """Two: one for all nodes, one of more weight for those of a pool."""
        usage = {
            "cpu": {"strategy": "usage", "reclaimPercent": 60},
            "memory": {"strategy": "usage"},
            "growAfterSeconds": 0,
            "staleAfterSeconds": 7200,
        }
        self.cluster.policy("default", oversell=usage)
        batch = usage | {"cpu": {"strategy": "usage", "reclaimPercent": 80}}
        self.cluster.policy("batch", oversell=batch, priority=10, nodeSelector={"matchLabels": {"pool": "batch"}})

    def _pods(self) -> None:
        for number in range(BUSY):
            name = f"node-{number:03}"
            self._pod(f"web-{number:03}", name, cpu="4", memory="8Gi")
            self._pod(f"batch-{number:03}", name, be=(2000, 4 * GI))
        self._pod("batch-full", CLOSED, be=(9000, 8 * GI))

    def _pod(self, name: str, node: str, **more: Any) -> None:
        made = self.cluster.pod(name, node, running=True, **more)
        self._uids.setdefault(node, []).append((made["metadata"]["uid"], "be" in more))

    def reports(self) -> None:
        """One of each node, but of the silent one."""
        for number in range(NODE_COUNT):
            name = f"node-{number:03}"
            if name != SILENT:
                self.report(name)

    def report(self, name: str, cpu: int | None = None, **more: Any) -> None:
        """What the agent of a node would write now."""
        number = int(name[-3:])
        pods = self._uids.get(name, [])
        online = 2000 + 40 * number if cpu is None else cpu
        be = sum(1200 for _, best_effort in pods if best_effort)
        memory = (10 + number % 8) * GI
        given: dict[str, Any] = {
            "observedAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "windowSeconds": 60,
            "agentVersion": "0.1.0",
            "node": {"cpu": 500 + online + be, "memory": 2 * GI + memory},
            "system": {"cpu": 500, "memory": 2 * GI},
            "pods": [
                {"uid": uid, "cpu": 1200 if best_effort else online, "memory": GI if best_effort else memory}
                for uid, best_effort in pods
            ],
            "pressure": {"cpu": 41.0 if name == PRESSED else 0.4, "memory": 0.0},
            "capabilities": {"kernel": "6.6.0-72.oe2403", "cgroupVersion": 2, "features": ["cpu.idle", "cpu.max"]},
            "engine": {"mode": "quota", "cpuUsed": be, "memoryUsed": GI if be else 0},
        }
        if name == STARVED:
            given["engine"] |= {"cpuQuota": 200, "cpuUsed": 200, "throttledPods": 1}
            given["pressure"] = {"cpu": 12.0, "memory": 0.0}
        if name == SUSPECT:
            given["node"] = {"cpu": 24_000, "memory": 20 * GI}  # of a node with 16 cores
        self.rest.patch(NODE_COLOCATIONS.path(name, sub="status"), {"status": given | more})

    # -- used by tests -----------------------------------------------------------------------------------------------

    def account(self, name: str) -> None:
        """A ServiceAccount without any right."""
        self.api.kubectl("create", "serviceaccount", name, f"--namespace={NAMESPACE}")

    def may_see_numbers(self, account: str) -> None:
        """The one right that the report needs, and no other."""
        subject = f"--serviceaccount={NAMESPACE}:{account}"
        binding = ["rolebinding", f"{account}-explain", "--role=colocation-explain", f"--namespace={NAMESPACE}"]
        self.api.kubectl("create", *binding, subject)

    def token(self, account: str, seconds: int = 3600) -> str:
        """A token for the API server, as a person has one made."""
        made = self.api.kubectl("create", "token", account, f"--namespace={NAMESPACE}", f"--duration={seconds}s")
        return made.strip()

    def another_manager(self) -> Manager:
        """One more, ready."""
        made = self.cluster.manager(ready=False)
        eventually(lambda: made.http("/readyz"), 90, "the manager is ready")
        return made

    def console(self, *more: str, manager: Manager | None = None, host: str = "127.0.0.1") -> Console:
        """Another console; ``host``: at which addresses it listens."""
        npm.place()
        self._token_file.write_text(self.cluster.token(seconds=3600))
        (port,) = free_ports(1)
        log = self.folder / f"console{len(self.consoles)}.log"
        argv = [sys.executable, "-m", "colocation", "console", f"--listen={host}:{port}", "--probes=127.0.0.1:0"]
        argv += [f"--namespace={NAMESPACE}", f"--api-server={self.api.url}", f"--api-ca={self.api.ca_cert}"]
        argv += [f"--manager=http://127.0.0.1:{(manager or self.manager).port}", f"--manager-token={self._token_file}"]
        argv += ["--cluster=test", *more]
        with log.open("wb") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": str(SOURCES)})
        made = Console(process, port, log)
        self.consoles.append(made)
        eventually(made.alive, 60, f"the console answers: {log.read_text()[-2000:]}")
        return made

    def policy(self, name: str) -> dict[str, Any]:
        """As the API server has it."""
        found: dict[str, Any] = self.cluster.get(POLICIES.path(name))
        return found

    def close(self) -> None:
        """End everything."""
        for console in self.consoles:
            console.end()
        for manager in self.cluster.managers:
            with contextlib.suppress(Exception):
                manager.end()
        self.rest.close()


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """A filled world; ends with the block."""
    with ApiServer(folder / "api") as api:
        made = World(api, folder)
        try:
            made.fill()
            yield made
        finally:
            made.close()
