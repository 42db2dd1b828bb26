"""The agent as a unit of the machine's systemd, with this clone's sources: killed and started without a container."""

from __future__ import annotations

import hashlib
import shutil
import sys
import urllib.request
from pathlib import Path

from tests.lab import binaries
from tests.lab.config import CLONE, cache_dir
from tests.lab.process import run
from tests.lab.progress import step

from .machine import AGENT_PORT, Machine

HOME, STATE = "/opt/colocation", "/var/lib/openfuyao-colocation"
JOURNAL = f"{STATE}/journal"
FILES = Path(__file__).parent / "files"
PYTHON = f"env PYTHONPATH={HOME}/src:{HOME}/py python3"
_TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
_UNIT = """\
[Unit]
Description=the agent under test
StartLimitIntervalSec=0

[Service]
Environment=PYTHONPATH={home}/src:{home}/py KUBERNETES_SERVICE_HOST={host} KUBERNETES_SERVICE_PORT={port}
ExecStartPre=/bin/sh -c 'mkdir -p {tokens} && cp {home}/login/* {tokens}/'
ExecStart={command}
Restart=always
RestartSec=0.2
"""
# The releases the whole clone is tested with; pytest for what runs on the machine itself.
_WANTED = ("msgspec", "urllib3", "prometheus-client", "PyYAML", "pytest", "hypothesis")


def packages() -> Path:
    """Python packages for the machines' Python 3.11 (their base is Debian 12, whatever this host is)."""
    pins = [line.split("#")[0].strip() for line in (CLONE / "requirements/dev.txt").read_text().splitlines()]
    wanted = [pin for pin in pins if pin.partition("==")[0] in _WANTED]
    home = cache_dir() / f"machine-python-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:8]}"
    with binaries.cache_lock("machine-python.lock"):
        if not home.is_dir():
            temporary = home.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            with step("fetching Python packages for the machines", "seconds, once"):
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                only = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
                only += [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "_2_17", "_2_28")]
                run([*pip, *only, f"--target={temporary}", *wanted])
            temporary.rename(home)
    return home


class Agent:
    """Installed, not started."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        host, port = machine.api
        self.command = f"/usr/bin/python3 -m colocation agent --node={machine.name} --listen=0.0.0.0:{AGENT_PORT}"
        machine.push(packages(), f"{HOME}/py")
        machine.push(CLONE / "reconciler/src", f"{HOME}/src", "colocation")
        machine.push(FILES, f"{HOME}/files")
        # Its rights are tested elsewhere (tests/chart, tests/e2e); here it may do anything.
        subject = {"kind": "ServiceAccount", "name": "agent", "namespace": "agent-under-test"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        machine.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "agent-under-test"}},
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "agent", "namespace": "agent-under-test"},
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "agent-under-test"},
                "subjects": [subject],
                "roleRef": role,
            },
        )
        token = machine.kubectl("create", "token", "-n", "agent-under-test", "agent", "--duration=8h")
        machine.ssh(f"umask 077; mkdir -p {HOME}/login; cat > {HOME}/login/token", stdin=token)
        machine.ssh(f"cat > {HOME}/login/ca.crt", stdin=machine.ca.read_text())
        unit = _UNIT.format(home=HOME, host=host, port=port, tokens=_TOKENS, command=self.command)
        machine.ssh("cat > /etc/systemd/system/agent.service; systemctl daemon-reload", stdin=unit)

    def start(self) -> None:
        """Start it, and wait until it has done three rounds: all that is wanted is there then, or refused."""
        self.machine.ssh("systemctl start agent")
        self.rounds(3)

    def rounds(self, more: int) -> None:
        """Wait for so many rounds more (of a new process: counted from its first)."""
        try:
            before = self.metric("rounds_total")
        except OSError:
            before = 0.0

        def done() -> bool:
            now = self.metric("rounds_total")
            return now >= before + more or (now < before and now >= more)

        self.machine.eventually(done, 20 + more * 2, f"{more} rounds of the agent")

    def stop(self) -> None:
        """SIGTERM; values stay."""
        self.machine.ssh("systemctl stop agent")

    def kill(self) -> None:
        """kill -9; systemd starts it again."""
        self.machine.ssh("systemctl kill -s KILL agent")

    def kill_for_good(self) -> None:
        """kill -9, and nobody starts it again."""
        self.machine.ssh("systemctl kill -s KILL agent; systemctl stop agent")

    def restore(self) -> str:
        """``colocation agent --restore``."""
        return self.machine.ssh(f"{PYTHON} -m colocation agent --restore")

    def metric(self, name: str) -> float:
        """One of its numbers. Raises OSError while it does not answer, KeyError for what it does not tell."""
        with urllib.request.urlopen(f"http://{self.machine.agent_address()}/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        rows = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return float(rows[f"colocation_agent_{name}"])

    def log(self, since: str = "-1h") -> str:
        """What it said."""
        return self.machine.ssh(f"journalctl -u agent --no-pager -o cat --since='{since}'")
