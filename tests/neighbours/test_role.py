"""The role colocation_descheduler on a real API server, and the real descheduler with its policies and its rights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from colocation.neighbours import descheduler
from tests.chart.conftest import container, pod
from tests.collection.conftest import ansible
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.process import run

from .test_descheduler import OWNER, cluster, start, uids

__all__ = ["cluster"]
NAME = "colocation-descheduler"
LOW = {"thresholds": {"cpu": 4}, "targetThresholds": {"cpu": 5}}
CLASSICAL: dict[str, Any] = {
    "HighNodeUtilization": {"thresholds": {"cpu": 1}, "evictionModes": ["OnlyThresholdingResources"]},
    "LowNodeUtilization": LOW,
    "PodLifeTime": {"maxPodLifeTimeSeconds": 3600},
    "RemoveDuplicates": {},
    "RemoveFailedPods": {"minPodLifetimeSeconds": 60},
    "RemovePodsHavingTooManyRestarts": {"podRestartThreshold": 100},
    "RemovePodsViolatingInterPodAntiAffinity": {},
    "RemovePodsViolatingNodeAffinity": {"nodeAffinityType": ["requiredDuringSchedulingIgnoredDuringExecution"]},
    "RemovePodsViolatingNodeTaints": {},
    "RemovePodsViolatingTopologySpreadConstraint": {"constraints": ["DoNotSchedule"]},
}
FILTERS: list[dict[str, Any]] = [
    {},
    {"include_namespaces": ["default"]},
    {"exclude_namespaces": ["kube-system"], "evict_local_storage": False},
    {"labels": {"matchLabels": {"app": "a"}}, "keep_volume_claims": True},
    {"priority": 1000, "min_replicas": 2},
    {"priority_class": "system-cluster-critical", "keep_without_pdb": True},
]


def role(api: ApiServer, folder: Path, *, fails: bool = False, check: bool = False, **asked: Any) -> str:
    """A play of the role alone."""
    given = {
        "colocation_descheduler_image": "r.example/descheduler:v0.36.0",
        "colocation_kubeconfig": str(api.kubeconfig),
    }
    given |= {f"colocation_descheduler_{name}": value for name, value in asked.items()}
    named = {"role": "openfuyao.colocation.colocation_descheduler", "vars": given}
    play: dict[str, Any] = {
        "name": "t",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "roles": [named],
    }
    play["vars"] = {"ansible_python_interpreter": sys.executable}
    file = folder / "role.yml"
    file.write_text(yaml.safe_dump([play]))
    options = ["--check"] if check else []
    return ansible("ansible-playbook", "-i", "localhost,", file, *options, fails=fails)


def ours(api: ApiServer) -> set[str]:
    """Each object of the role's, by kind."""
    kinds = "deployments,cronjobs,jobs,configmaps,serviceaccounts,clusterroles,clusterrolebindings"
    answer = api.kubectl("get", kinds, "-A", "-l", f"app.kubernetes.io/name={NAME}", "-o", "json")
    return {item["kind"] for item in json.loads(answer)["items"]}


def policy(api: ApiServer) -> dict[str, Any]:
    text = api.kubectl("get", "configmap", NAME, "-n", "kube-system", "-o", "jsonpath={.data.policy\\.yaml}")
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def as_account(api: ApiServer, folder: Path) -> Path:
    """A kubeconfig with a token of the role's ServiceAccount: all that the descheduler may do comes from the role."""
    token = api.kubectl("create", "token", NAME, "-n", "kube-system").strip()
    config = yaml.safe_load(Path(api.kubeconfig).read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = folder / "account.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def cycle(kubeconfig: Path, folder: Path, document: dict[str, Any]) -> str:
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(document))
    binaries.ensure("descheduler")
    line = ["--secure-port=0", f"--policy-config-file={file}", "--descheduling-interval=0", "--v=3"]
    return run([binaries.path("descheduler"), f"--kubeconfig={kubeconfig}", *line], timeout=120).stderr


SHARED = {"ConfigMap", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"}


def test_each_kind_is_applied_once_takes_the_place_of_the_others_and_goes(api: ApiServer, tmp_path: Path) -> None:
    role(api, tmp_path, check=True, profiles=["tidy"])
    assert ours(api) == set(), "check mode changes nothing"
    for kind in ("CronJob", "Deployment", "Job"):
        assert "changed=0" not in role(api, tmp_path, kind=kind, profiles=["tidy"])
        assert ours(api) == {*SHARED, kind}
        assert "changed=0" in role(api, tmp_path, kind=kind, profiles=["tidy"])
    role(api, tmp_path, kind="Job", profiles=["compact"])
    jobs = json.loads(api.kubectl("get", "jobs", "-n", "kube-system", "-o", "json"))["items"]
    assert len([job for job in jobs if not job["metadata"].get("deletionTimestamp")]) == 1, (
        "the Job of before is removed"
    )
    role(api, tmp_path, state="absent")
    assert ours(api) == set()


def test_what_cannot_be_stops_the_play_before_anything_is_changed(api: ApiServer, tmp_path: Path) -> None:
    told = role(api, tmp_path, fails=True, profiles=["ballance"], strategies={"LowNodeUtilisation": LOW})
    assert "Did you mean balance?" in told
    assert "Did you mean LowNodeUtilization?" in told
    assert ours(api) == set()


def test_the_role_evicts_no_best_effort_pod_for_online_balance_and_has_the_rights_it_needs(
    cluster: ApiServer, tmp_path: Path
) -> None:
    one = {"cpu": "100m", "memory": "64Mi"}
    for at in range(2):
        start(
            cluster,
            pod(container("c", one, one), qos="LS", metadata={"name": f"owned{at}", "ownerReferences": [OWNER]}),
        )
    be, online = uids(cluster, "be"), uids(cluster, "owned")
    role(cluster, tmp_path, strategies={"LowNodeUtilization": LOW}, limits={})
    try:
        log = cycle(as_account(cluster, tmp_path), tmp_path, policy(cluster))
    finally:
        role(cluster, tmp_path, state="absent")
    assert "forbidden" not in log, [line for line in log.splitlines() if "forbidden" in line][:3]
    assert uids(cluster, "be") == be
    left = uids(cluster, "owned")
    assert len(left) < len(online), "online pods are evicted with the rights of the role\n" + log[-3000:]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: "+".join(filters) or "none")
def test_each_policy_is_taken_by_the_real_program(api: ApiServer, tmp_path: Path, filters: dict[str, Any]) -> None:
    from ansible_collections.openfuyao.colocation.plugins.module_utils.descheduler import _policy  # noqa: PLC0415

    judging = {"HighNodeUtilization", "LowNodeUtilization"} if "include_namespaces" in filters else set()
    chosen = {name: args for name, args in CLASSICAL.items() if name not in judging}
    for name, args in chosen.items():
        asked = {"strategies": {name: args}, "filters": filters, "limits": {"node": 1, "namespace": 2, "total": 3}}
        assert _policy.problems(asked) == []
        decoded(api, tmp_path, _policy.policy(asked))


@pytest.mark.parametrize("name", ["balance", "compact", "tidy"])
def test_each_profile_is_taken_by_the_real_program(cluster: ApiServer, tmp_path: Path, name: str) -> None:
    from ansible_collections.openfuyao.colocation.plugins.module_utils.descheduler import _policy  # noqa: PLC0415

    document = _policy.policy({"profiles": [name], "prometheus_url": "http://127.0.0.1:9", "limits": {"node": 1}})
    log = decoded(cluster, tmp_path, document)
    # balance asks Prometheus with its ServiceAccount's token, which only a pod has: it is decoded, and fails there.
    assert ("prometheus client not initialized" in log) == (name == "balance"), log[-2000:]


def decoded(api: ApiServer, folder: Path, document: dict[str, Any]) -> str:
    """Taken by the strict decoder and by every plugin's validation; preflight finds no harm in it."""
    log = cycle(api.kubeconfig, folder, document)
    configmap = {"metadata": {"name": "d"}, "data": {"policy.yaml": yaml.safe_dump(document)}}
    assert descheduler.warnings([configmap], yaml.safe_load) == []
    return log
