"""What Karmada holds, and what would go wrong with best-effort work by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from colocation.neighbours import karmada

FILES = Path(__file__).parents[4] / "files/karmada"
CPU, MEMORY, GATE = "kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods"
SHIPPED = list(yaml.safe_load_all((FILES / "interpreters.yaml").read_text()))


def cluster(name: str = "m", models: Any = None, **allocatable: Any) -> dict[str, Any]:
    summary = {"allocatable": {CPU: "6k", MEMORY: "1Gi", GATE: "500"} | allocatable, "allocated": {CPU: "500"}}
    status = {"resourceSummary": summary, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name}, "spec": {"resourceModels": models or []}, "status": status}


MODEL = {"grade": 0, "ranges": [{"name": "cpu", "min": "0", "max": "1"}, {"name": "memory", "min": "0", "max": "4Gi"}]}
OURS = {"grade": 0, "ranges": [*MODEL["ranges"], *({"name": key} for key in (CPU, MEMORY, GATE))]}  # type: ignore[misc]
RUNNING = ["karmada-scheduler-estimator-m"]


def judged(*clusters: dict[str, Any], interpreters: Any = SHIPPED, estimators: Any = RUNNING) -> list[str]:
    return karmada.warnings(clusters, interpreters, estimators)


def test_a_control_plane_with_all_in_place_gets_no_sentence() -> None:
    assert judged(cluster()) == []
    assert judged(cluster(models=[OURS])) == []


def test_each_thing_that_is_wrong_gets_its_remedy() -> None:
    (models,) = judged(cluster(models=[MODEL]))
    assert "Cluster m: spec.resourceModels are set" in models
    assert """kubectl patch cluster m --type=merge -p '{"spec": {"resourceModels": []}}'""" in models
    bare = cluster()
    bare["status"]["resourceSummary"]["allocatable"] = {"cpu": "1"}
    assert "it publishes no kubernetes.io/be-cpu" in judged(bare)[0]
    assert "no accurate estimator" in judged(cluster(), estimators=[])[0]
    assert "was not looked at" in judged(cluster(), estimators=None)[0]
    assert "for Deployment, Job" in judged(cluster(), interpreters=[])[0]
    assert "for Job:" in judged(cluster(), interpreters=SHIPPED[:1])[0]


def test_members_are_listed_with_what_they_publish() -> None:
    closed = cluster("closed")
    del closed["status"]["resourceSummary"]["allocatable"][GATE]
    lines = karmada.lines(karmada.rows([cluster(), closed, {"metadata": {"name": "new"}}]))
    assert lines[0] == f"Member m: {CPU} 6k (allocated 500), {MEMORY} 1Gi (allocated 0), {GATE} 500 (allocated 0)."
    assert lines[1].startswith("Member closed: closed to new best-effort pods; ")
    assert lines[2] == "Member new: not ready; no colocation."
