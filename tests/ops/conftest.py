"""One lab for these tests, with its own LAB_ID, and ansible-playbook of any version's tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("LAB_ID", "8")

from build.paths import CLONE
from tests.lab.cluster import Cluster, confirmed, fresh
from tests.ops.versions import Version

VALUES = CLONE / "tests/e2e/rollout.yml"
QUICK = ("-e", f"@{VALUES}", "-e", "colocation_health_soak=4", "-e", "colocation_health_pressure_rise=90")
"""Other labs load this machine too, and every node sees the whole machine's pressure."""
NS = ("-n", "openfuyao-colocation")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A fresh lab, nothing rolled out. E2E_KEEP=1 leaves it up and takes one that is up."""
    if os.geteuid() != 0:
        pytest.skip("machines need root")
    with fresh() as lab:
        yield lab


def command(
    cluster: Cluster, version: Version, playbook: str, *extra: str, own: bool = False
) -> tuple[list[str], dict[str, str]]:
    """What an operator with this version of the collection types, and the environment it needs.

    ``own``: with no settings but those of the inventory and ``extra``.
    """
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), f"openfuyao.colocation.{playbook}"]
    argv += [
        "-i",
        str(cluster.lab.inventory),
        "-e",
        f"colocation_image_archive={version.image}",
        *confirmed(cluster.lab, playbook),
        *(() if own else QUICK),
        *extra,
    ]
    return argv, {**os.environ, "ANSIBLE_COLLECTIONS_PATH": version.path, "ANSIBLE_FORCE_COLOR": "0"}


def play(cluster: Cluster, version: Version, playbook: str, *extra: str, fails: bool = False, own: bool = False) -> str:
    """Run a playbook of a version; all that it said."""
    argv, env = command(cluster, version, playbook, *extra, own=own)
    done = subprocess.run(argv, cwd="/", env=env, capture_output=True, text=True, check=False)
    given = done.stdout + done.stderr
    assert bool(done.returncode) == fails, f"{playbook} ended with {done.returncode}:\n{given[-8000:]}"
    assert "Traceback" not in given, given
    return given


def changed(output: str) -> int:
    """The sum of `changed` in the recap."""
    rows = re.findall(r"^\S+\s+: ok=.*? changed=(\d+) ", output, re.MULTILINE)
    assert rows, output
    return sum(map(int, rows))


def agents(cluster: Cluster) -> dict[str, str]:
    """Node to the version of its agent: that of its running container's image, and only if its report agrees."""
    found = {}
    for pod in cluster.get(*("pods", *NS, "-l", "app.kubernetes.io/component=agent"))["items"]:
        name = pod["spec"]["nodeName"]
        version = pod["spec"]["containers"][0]["image"].rpartition(":")[2]
        reported = cluster.get("ncol", name).get("status", {}).get("agentVersion")
        ready = all(s.get("ready") for s in pod["status"].get("containerStatuses", [{}]))
        found[name] = version if version == reported and ready else f"{version}, reported {reported}, ready {ready}"
    return found


def manager(cluster: Cluster) -> str:
    """The version of the manager that answers."""
    deployment = cluster.get("deployment", *NS, "colocation-manager")
    assert deployment["status"].get("availableReplicas") == 1, deployment["status"]
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])


def lease(cluster: Cluster) -> str:
    """The Lease's name if there is one."""
    return cluster.kubectl(
        "get", "lease", "-n", "kube-system", "colocation-rollout", "-o", "name", "--ignore-not-found"
    )
