"""A PriorityClass with globalDefault that comes later: the manager reports that best-effort pods are refused."""

from __future__ import annotations

from typing import Any

import pytest

from colocation.kube.resources import POLICIES, PRIORITY_CLASSES
from colocation.model.status import ADMITTED
from tests.lab.waiting import eventually

from .cluster import Cluster, Manager
from .test_manager import publishing
from .test_rights import rights  # noqa: F401 (a fixture)

pytestmark = pytest.mark.apiserver
METRIC = "colocation_admission_default_priority_mismatch"


def condition(cluster: Cluster) -> dict[str, Any] | None:
    status = cluster.get(POLICIES.path("p")).get("status", {})
    return next((one for one in status.get("conditions", ()) if one["type"] == ADMITTED), None)


def metric(manager: Manager) -> float:
    lines = manager.http("/metrics").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(METRIC + " ")))


def test_a_default_that_came_after_the_installation_is_a_condition_a_metric_and_a_sentence(
    cluster: Cluster,
    rights: str,  # noqa: F811
) -> None:
    body = {
        "apiVersion": PRIORITY_CLASSES.group_version,
        "kind": "PriorityClass",
        "metadata": {"name": "ordinary"},
        "value": 7,
        "globalDefault": True,
    }
    cluster.policy()
    cluster.rest.create(PRIORITY_CLASSES.path(), body)
    try:
        manager = cluster.manager(f"--kubeconfig={rights}", "--default-priority-class=")
        publishing(cluster, "n1")
        found = eventually(lambda: condition(cluster), 20)
        assert found is not None
        assert (found["status"], found["reason"]) == ("False", "OtherDefaultPriorityClass")
        assert "PriorityClass ordinary has globalDefault" in found["message"]
        assert metric(manager) == 1
        assert manager.end() == 0
        assert "Forbidden" not in manager.log.read_text()
        # The release is installed again, for the class that is the default now.
        manager = cluster.manager(f"--kubeconfig={rights}", "--default-priority-class=ordinary")
        eventually(lambda: condition(cluster) is None, 30)
        assert metric(manager) == 0
    finally:
        cluster.rest.delete(PRIORITY_CLASSES.path("ordinary"))


def test_without_admission_of_ours_it_is_not_looked_at(cluster: Cluster) -> None:
    manager = cluster.manager()
    eventually(lambda: manager.json("/readyz")["leader"], 20)
    assert 'resource="priorityclasses"' not in manager.http("/metrics")
