"""A control plane of Karmada as its API shows it, in two kinds without their schemas, and a member beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.config import CLONE

from .conftest import tasks
from .test_neighbours import crd, thing


@pytest.fixture(scope="module")
def karmada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """NOT Karmada: a second API server with two of its kinds."""
    with ApiServer(tmp_path_factory.mktemp("karmada")) as server:
        for one in (
            crd("cluster.karmada.io", "v1alpha1", "Cluster", "clusters", "Cluster"),
            crd(
                "config.karmada.io",
                "v1alpha1",
                "ResourceInterpreterCustomization",
                "resourceinterpretercustomizations",
                "Cluster",
            ),
        ):
            server.kubectl("apply", "-f", "-", stdin=json.dumps(one))
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        summary = {"allocatable": {"kubernetes.io/be-cpu": "6000"}, "allocated": {}}
        models = [{"grade": 0, "ranges": [{"name": "cpu", "min": "0", "max": "1"}]}]
        member = thing("cluster.karmada.io/v1alpha1", "Cluster", "m", spec={"resourceModels": models})
        server.kubectl("apply", "-f", "-", stdin=json.dumps({**member, "status": {"resourceSummary": summary}}))
        yield server


def test_karmada_is_looked_at_and_a_members_kubeconfig_is_refused(
    api: ApiServer, karmada: ApiServer, tmp_path: Path
) -> None:
    ask: dict[str, Any] = {
        "openfuyao.colocation.karmada_info": {"kubeconfig": str(karmada.kubeconfig), "estimators": []}
    }
    before, member = tasks(tmp_path, api, ask, {"openfuyao.colocation.karmada_info": {}})
    assert before["problems"] == []
    assert before["lines"] == [
        "Member m: not ready; closed to new best-effort pods; kubernetes.io/be-cpu 6000 (allocated 0)."
    ]
    assert [s.split(":")[0] for s in before["warnings_found"][:2]] == ["Cluster m", "Cluster m"]
    assert "No ResourceInterpreterCustomization" in before["warnings_found"][2]
    assert "serves no Clusters of Karmada" in member["problems"][0]

    karmada.kubectl("apply", "-f", str(CLONE / "files/karmada/interpreters.yaml"))
    karmada.kubectl("patch", "cluster", "m", "--type=merge", "-p", '{"spec": {"resourceModels": []}}')
    (after,) = tasks(
        tmp_path,
        api,
        {
            "openfuyao.colocation.karmada_info": {
                "kubeconfig": str(karmada.kubeconfig),
                "estimators": ["karmada-scheduler-estimator-m"],
            }
        },
    )
    assert after["warnings_found"] == []
