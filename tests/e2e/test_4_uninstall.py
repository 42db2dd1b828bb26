"""uninstall.yml with best-effort pods still running: leaves nothing, and a second run changes nothing."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import differences, snapshot
from tests.e2e.pods import SPIN, pod
from tests.e2e.test_1_rollout import recap
from tests.e2e.test_2_data import running
from tests.lab.cluster import Cluster

pytestmark = pytest.mark.lab


def test_uninstall_leaves_nothing(rolled_out: Cluster, before: dict[str, object]) -> None:
    cluster = rolled_out
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
    cluster.kubectl("wait", "--for=create", "-n", "work", "serviceaccount/default", "--timeout=30s")
    cluster.apply(pod("one", "node1", command=SPIN))
    running(cluster, "one")
    cluster.playbook("uninstall")
    assert not cluster.kubectl("get", "pods", "-n", "work", "--ignore-not-found"), "BE pods are drained"
    cluster.kubectl("delete", "namespace", "work")
    after = snapshot(cluster)
    assert differences(before, after) == {}
    assert after.keys() == before.keys()


def test_a_second_uninstall_changes_nothing(cluster: Cluster) -> None:
    output = cluster.playbook("uninstall", quiet=True)
    assert {host: row["changed"] for host, row in recap(output).items() if row["changed"]} == {}, output
