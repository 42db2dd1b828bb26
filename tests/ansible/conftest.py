"""The collection as it is released, installed into an empty place, and a real API server with two Nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ansible import cluster, prepare
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.config import CLONE

HOSTS = ("node1", "node2")


@dataclass(frozen=True)
class Site:
    """What an operator has: the installed collection, a kubeconfig, an inventory."""

    place: Path
    api: ApiServer

    @property
    def collection(self) -> Path:
        """Where it was installed to."""
        return self.place / "ansible_collections/openfuyao/colocation"

    def play(self, name: str, variables: dict[str, Any], *extra: str) -> tuple[int, str]:
        """Run a playbook by its name; exit status and all that it said, without its line breaks."""
        given = {
            "colocation_kubeconfig": str(self.api.kubeconfig),
            "colocation_helm_binary": str(binaries.path("helm")),
            "ansible_python_interpreter": sys.executable,
            # What waits here waits for a stand-in, which answers in a second.
            "colocation_manager_timeout": 40,
            "colocation_manager_drain_timeout": 40,
            **variables,
        }
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), f"openfuyao.colocation.{name}", *extra]
        if "-i" not in extra:
            argv += ["-i", str(inventory(self.place, HOSTS))]
        # None: as the inventory says.
        argv += ["-e", json.dumps({name: value for name, value in given.items() if value is not None})]
        env = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        env |= {"ANSIBLE_COLLECTIONS_PATH": f"{self.place}:{prepare.CACHE / 'collections'}", "ANSIBLE_FORCE_COLOR": "0"}
        done = subprocess.run(
            argv, cwd=self.place, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def state(self) -> dict[str, list[str]]:
        """What a play could have changed in the cluster."""
        kinds = (
            "namespaces",
            "crds",
            "leases -A",
            "clusterroles",
            "nodes --show-labels",
            "configmaps -A",
            "secrets -A",
        )
        found = {kind: self.api.kubectl("get", *kind.split(), "--no-headers").splitlines() for kind in kinds}
        # Their last columns are ages.
        return {
            k: [" ".join(w for w in row.split() if not w[:1].isdigit()) for row in rows] for k, rows in found.items()
        }


def inventory(place: Path, hosts: tuple[str, ...]) -> Path:
    """These hosts, all of them this machine."""
    rows = {host: {"ansible_connection": "local"} for host in hosts}
    path = place / f"{'-'.join(hosts)}.json"
    path.write_text(json.dumps({"colocation_nodes": {"hosts": rows}}))
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Built as for a release, with the chart inside; nothing but the artifact is used of this clone."""
    for module in ("build.chart", "build.collection"):
        subprocess.run([sys.executable, "-m", module], cwd=CLONE, check=True)
    archive = max((CLONE / "build/out").glob("openfuyao-colocation-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    place = tmp_path_factory.mktemp("installed")
    galaxy = str(Path(sys.executable).parent / "ansible-galaxy")
    # From there, so that this clone's ansible.cfg says nothing.
    argv = [galaxy, "collection", "install", "--no-deps", "-p", str(place), str(archive)]
    subprocess.run(argv, cwd=place, check=True)
    prepare.main()
    with ApiServer(tmp_path_factory.mktemp("api")) as api:
        for host in HOSTS:
            cluster.node(api, host, takes_part=False)
        yield Site(place, api)
