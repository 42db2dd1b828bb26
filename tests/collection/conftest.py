"""A real API server with the collection's CRDs, and ansible to speak with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible import installed
from tests.chart.conftest import render
from tests.lab.apiserver import ApiServer

NODES: dict[str, dict[str, str]] = {
    "master-1": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/arch": "amd64"},
    "web-1": {"pool": "web", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "eu-1a"},
    "batch-1": {
        "eks.amazonaws.com/nodegroup": "batch.big",
        "pool": "other",
        "kubernetes.io/arch": "arm64",
        "node.openfuyao.com/colocation": "true",
    },
}


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With both CRDs, and three Nodes of which one is not ready."""
    folder = tmp_path_factory.mktemp("api")
    with ApiServer(folder) as server:
        kinds = [doc for doc in yaml.safe_load_all(render()) if doc and doc["kind"] == "CustomResourceDefinition"]
        (folder / "crds.yaml").write_text(yaml.safe_dump_all(kinds))
        server.kubectl("apply", "-f", str(folder / "crds.yaml"))
        server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for at, (name, labels) in enumerate(NODES.items(), 1):
            put_node(server, folder, name, labels, f"10.0.0.{at}")
        yield server


def put_node(server: ApiServer, folder: Path, name: str, labels: dict[str, str], address: str) -> None:
    """A Node as its kubelet would have written it: nobody runs one here."""
    node: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    file = folder / f"{name}.json"
    file.write_text(json.dumps(node))
    server.kubectl("apply", "-f", str(file))
    status = {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "conditions": [beat("2026-11-21T10:00:00Z", "False" if name == "web-1" else "True")],
        "capacity": {"cpu": "8"},
    }
    set_status(server, name, status)


def beat(time: str, status: str = "True") -> dict[str, str]:
    """The condition that a kubelet writes."""
    return {
        "type": "Ready",
        "status": status,
        "lastHeartbeatTime": time,
        "lastTransitionTime": time,
        "reason": "Kubelet",
        "message": "kubelet is posting" if status == "True" else "container runtime is down",
    }


def set_status(server: ApiServer, name: str, status: dict[str, Any]) -> None:
    """As a kubelet would."""
    server.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def environment() -> dict[str, str]:
    """With the collection as its artifact installs it, whatever stands in the clone beside."""
    return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": installed.ours(), "ANSIBLE_FORCE_COLOR": "0"}


def ansible(*argv: str | Path, fails: bool = False, env: Mapping[str, str] | None = None, **more: str) -> str:
    """A program of ansible's, with the installed collection; its output. Fails if it does not end as it should."""
    known = environment() | {"ANSIBLE_LOCALHOST_WARNING": "0"}
    known |= {"ANSIBLE_INVENTORY_ENABLED": "openfuyao.colocation.nodes"} if "inventory" in str(argv[0]) else {}
    program = Path(sys.executable).parent / argv[0]
    done = subprocess.run(
        [program, *argv[1:]], cwd="/", env=known | dict(env or {}) | more, capture_output=True, text=True, check=False
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout + (done.stderr if fails else "")


def tasks(folder: Path, api: ApiServer, *wanted: dict[str, Any], check: bool = False) -> list[dict[str, Any]]:
    """What each of these tasks returned, failures included; the connection comes from module_defaults."""
    rows = [{"name": str(at), "register": f"r{at}", "ignore_errors": True, **one} for at, one in enumerate(wanted)]
    result = "{{ [" + ", ".join(f"r{at}" for at in range(len(rows))) + "] | to_json }}"
    rows.append(
        {
            "name": "told",
            "check_mode": False,
            "ansible.builtin.copy": {"content": result, "dest": str(folder / "told.json"), "mode": "0600"},
        }
    )
    play = {
        "name": "t",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "module_defaults": {"group/openfuyao.colocation.k8s": {"kubeconfig": str(api.kubeconfig)}},
        "tasks": rows,
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    ansible("ansible-playbook", "-i", "localhost,", folder / "play.yml", *(["--check", "--diff"] if check else []))
    found: list[dict[str, Any]] = json.loads((folder / "told.json").read_text())
    return found
