# SPDX-License-Identifier: Apache-2.0
"""A lab as its operator sees it: kubectl, the manager's explanation, and ansible-playbook. For demo and tests."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import yaml

from colocation.cli.common import CliError, ask_manager
from colocation.model.names import BE_CPU, BE_MEMORY, GATE, NAMESPACE
from colocation.model.quantity import parse

from .config import CLONE, Lab, cache_dir

KEYS = (BE_CPU, BE_MEMORY, GATE)


def confirmed(lab: Lab, playbook: str) -> list[str]:
    """What uninstall asks for, that this is the cluster that is meant; nothing for other playbooks."""
    if playbook != "uninstall":
        return []
    server = yaml.safe_load(lab.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return ["-e", f"colocation_uninstall={urlsplit(server).netloc}"]


class Cluster:
    """A running lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True, seconds: float = 180) -> str:
        """Run kubectl; raises RuntimeError with what it said."""
        command = [str(self.lab.bin / "kubectl"), "--kubeconfig", str(self.lab.kubeconfig), *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *args: str) -> dict[str, Any]:
        """One object, or a List, as a dictionary."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json"))
        return answer

    def apply(self, *manifests: str | dict[str, Any]) -> None:
        """Apply YAML texts or objects."""
        texts = [each if isinstance(each, str) else json.dumps(each) for each in manifests]
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(texts))

    def ssh(self, node: str, *command: str, check: bool = True) -> str:
        """Run a command in a machine, as root."""
        argv = [sys.executable, "-m", "tests.lab", "ssh", node, *command]
        env = {**os.environ, "LAB_ID": str(self.lab.ident)}
        done = subprocess.run(argv, cwd=CLONE, env=env, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{node}: {' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def published(self, node: str) -> dict[str, int | None]:
        """What a Node offers to best-effort pods, by key; None: the key is absent. Capacity and allocatable agree."""
        status = self.get("node", node)["status"]
        capacity, allocatable = (
            {key: None if (text := status[part].get(key)) is None else parse(text) for key in KEYS}
            for part in ("capacity", "allocatable")
        )
        assert capacity == allocatable, f"capacity and allocatable differ on {node}"
        return capacity

    def nodes(self) -> list[str]:
        """Names of the nodes that take part."""
        given = self.kubectl("get", "nodes", "-l", "node.openfuyao.com/colocation=true", "-o", "name")
        return sorted(line.removeprefix("node/") for line in given.split())

    def explain(self, node: str) -> dict[str, Any]:
        """The manager's explanation, as `colocation explain` asks for it."""
        who = argparse.Namespace(kubeconfig=str(self.lab.kubeconfig), context=None, namespace=NAMESPACE, manager=None)
        try:
            answer: dict[str, Any] = ask_manager(who, f"/v1/explain/{node}")
        except CliError as error:
            raise RuntimeError(f"explain {node}: {error}") from error
        return answer

    def playbook(self, name: str, *extra: str, quiet: bool = False) -> str:
        """Run a playbook of the collection as an operator would; its output if ``quiet``."""
        command = [str(CLONE / ".venv/bin/ansible-playbook"), f"playbooks/{name}.yml", "-i", str(self.lab.inventory)]
        command += confirmed(self.lab, name)
        colour = "1" if not quiet and sys.stdout.isatty() else "0"
        path = f"{CLONE / '.collections'}:{cache_dir() / 'collections'}"
        env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": path, "ANSIBLE_FORCE_COLOR": colour}
        done = subprocess.run([*command, *extra], cwd=CLONE, env=env, capture_output=quiet, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"ansible-playbook {name}.yml failed\n{(done.stdout or '')[-6000:]}{(done.stderr or '')[-2000:]}"
            )
        return done.stdout or ""


@contextmanager
def fresh() -> Iterator[Cluster]:
    """A new lab, nothing rolled out, gone afterwards. E2E_KEEP=1 leaves it up, and takes one that is up."""
    keep = bool(os.environ.get("E2E_KEEP"))
    for step in ("up",) if keep else ("down", "up"):
        subprocess.run([sys.executable, "-m", "tests.lab", step], cwd=CLONE, check=True)
    try:
        yield Cluster(Lab.from_env())
    finally:
        if not keep:
            subprocess.run([sys.executable, "-m", "tests.lab", "down"], cwd=CLONE, check=True)
