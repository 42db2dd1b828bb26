"""A cluster that accepts system priorities only under a quota of that scope, as GKE does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .conftest import NAMESPACE, Pods, install, pod

CLASSES = ("system-node-critical", "system-cluster-critical")
RESTRICTED = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "ResourceQuota",
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "ResourceQuotaConfiguration",
                "limitedResources": [
                    {
                        "resource": "pods",
                        "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": list(CLASSES)}],
                    }
                ],
            },
        }
    ],
}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_charts_pods_are_accepted_where_system_priorities_are_restricted(tmp_path: Path, *, enabled: bool) -> None:
    config = tmp_path / "admission.yaml"
    config.write_text(yaml.safe_dump(RESTRICTED))
    with ApiServer(tmp_path, [f"--admission-control-config-file={config}"]) as server:
        install(server, f"priorityQuota.enabled={str(enabled).lower()}")
        pods = Pods(server, NAMESPACE)
        if not enabled:
            for name in CLASSES:
                assert "insufficient quota to match these scopes" in pods.refusal(pod(qos=None, priorityClassName=name))
            return
        where = ["resourcequota", "colocation-priorities", f"--namespace={NAMESPACE}"]
        hard = json.loads(server.kubectl("get", *where, "-o=json"))["spec"]["hard"]
        status = json.dumps({"status": {"hard": hard, "used": {"pods": "0"}}})
        server.kubectl("patch", *where, "--subresource=status", "--type=merge", "-p", status)
        for name in CLASSES:
            wanted = pod(qos=None, priorityClassName=name)
            eventually(lambda wanted=wanted: pods.admits(wanted), 10, name)  # type: ignore[misc]
