"""One lab for the whole session, beside any that the developer has up (its own LAB_ID)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

os.environ.setdefault("LAB_ID", "9")

from tests.lab.cluster import Cluster, fresh
from tests.lab.waiting import eventually

LIST_FILES = (
    # /etc/fakesysctl is the lab's own: what a node shows as its memory, written anew at each boot
    "find /etc /usr/local /opt /root /srv -xdev -type f -not -path '/root/.ansible/*' -not -path '/etc/fakesysctl/*' "
    "-exec sha256sum {} + | sort -k2"
)
LIST_SYSCTLS = r"sysctl -a -r '^net\.core\.'"  # those that each node has for itself
LIST_UNITS = "systemctl list-units --all --plain --no-legend | grep -iE 'coloc|openfuyao'; true"
KNOBS = (
    "cpu/kubepods/cpu.shares cpu/kubepods/besteffort/cpu.shares cpu/kubepods/besteffort/cpu.idle "
    "cpu/kubepods/besteffort/cpu.cfs_quota_us memory/kubepods/besteffort/memory.limit_in_bytes"
)
VALUES = Path(__file__).parent / "rollout.yml"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A fresh lab, nothing rolled out. To write tests by: E2E_KEEP=1 leaves it up and takes one that is up."""
    if os.geteuid() != 0:
        pytest.skip("machines need root")
    with fresh() as lab:
        yield lab


@pytest.fixture(scope="session")
def before(cluster: Cluster) -> dict[str, object]:
    """What the cluster and the machines looked like before anything was rolled out."""
    return snapshot(cluster)


@pytest.fixture(scope="session")
def rolled_out(cluster: Cluster, before: dict[str, object]) -> Cluster:
    """The lab after site.yml."""
    cluster.playbook("site", "-e", f"@{VALUES}")
    return cluster


@pytest.fixture
def work(rolled_out: Cluster) -> Iterator[Cluster]:
    """A namespace `work` of the test's own, gone afterwards with its pods; both nodes open again."""
    cluster = rolled_out
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
    eventually(lambda: cluster.kubectl("get", "sa", "-n", "work", "default", check=False), 20, "ServiceAccount of work")
    yield cluster
    cluster.kubectl("delete", "namespace", "work", "--wait=false")
    cluster.kubectl("delete", "pods", "-n", "work", "--all", "--grace-period=0", "--force", check=False)
    eventually(lambda: not cluster.kubectl("get", "ns", "work", "--ignore-not-found"), 90, "namespace work gone")
    eventually(lambda: all(cluster.explain(n)["gate"]["open"] for n in cluster.nodes()), 60, "both nodes open")


def snapshot(cluster: Cluster) -> dict[str, object]:
    """All that uninstall has to leave as it was: API objects, Nodes, and the machines' files and cgroup values."""
    kinds = "crd,clusterrole,clusterrolebinding,priorityclass,namespace,mutatingwebhookconfiguration"
    kinds += ",validatingadmissionpolicy,validatingadmissionpolicybinding"
    if not os.environ.get("KUBE"):  # an older Kubernetes has only webhooks for that
        kinds += ",mutatingadmissionpolicy,mutatingadmissionpolicybinding"
    seen: dict[str, object] = {"objects": sorted(cluster.kubectl("get", kinds, "-o", "name").split())}
    for node in cluster.get("nodes")["items"]:
        name = node["metadata"]["name"]
        labels, status = node["metadata"]["labels"], node["status"]
        annotations = {k: v for k, v in node["metadata"].get("annotations", {}).items() if "openfuyao" in k}
        seen[name] = {
            "labels": labels,
            "annotations": annotations,
            "capacity": sorted(status["capacity"]),
            "allocatable": sorted(status["allocatable"]),
        }
        # Whole files by checksum where a roll-out could write.
        seen[f"{name} files"] = cluster.ssh(name, LIST_FILES).splitlines()
        seen[f"{name} state"] = cluster.ssh(name, "find /var/lib/openfuyao-colocation 2>/dev/null | sort; true").split()
        seen[f"{name} cgroups"] = cluster.ssh(name, f"cd /sys/fs/cgroup; grep -H . {KNOBS}").splitlines()
        seen[f"{name} images"] = sorted(cluster.ssh(name, "ctr -n k8s.io images ls -q").split())
        seen[f"{name} sysctls"] = cluster.ssh(name, LIST_SYSCTLS).splitlines()
        seen[f"{name} units"] = cluster.ssh(name, LIST_UNITS).split()
    return seen


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """What is not as it was; of a list only what is gone (-) and what is new (+)."""
    found: dict[str, object] = {}
    for key, now in after.items():
        was = before.get(key)
        if isinstance(was, list) and isinstance(now, list) and was != now:
            gone, new = [each for each in was if each not in now], [each for each in now if each not in was]
            found[key] = [*(f"- {each}" for each in gone), *(f"+ {each}" for each in new)]
        elif was != now:
            found[key] = {"before": was, "after": now}
    return found
