"""What to read of a cluster, and every sentence about what was read. The caller brings the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Optional

from colocation.neighbours import descheduler, kyverno, scalers, volcano
from colocation.neighbours.selectors import mapping

Items = list[dict[str, Any]]
Read = Callable[[str, str], Optional[Items]]  # noqa: UP045 (Python 3.9)
"""Path and field selector to the items: none where the kind is not served, None where they may not be read."""

CONFIGMAPS: Final = "/api/v1/configmaps"
NOT_THE_CA: Final = "metadata.name!=kube-root-ca.crt"
"""One of these is in every namespace, and says nothing."""
DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
NAMESPACES: Final = "/api/v1/namespaces"
AUTOSCALERS: Final = "/apis/autoscaling.k8s.io/v1/verticalpodautoscalers"
KYVERNO: Final = ("/apis/kyverno.io/v1/clusterpolicies", "/apis/kyverno.io/v1/policies")
SCALED: Final = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "Job": "/apis/batch/v1/jobs",
    "CronJob": "/apis/batch/v1/cronjobs",
}


def warnings(read: Read, load: Callable[[str], object]) -> list[str]:
    """Everything in this cluster that would harm best-effort pods, a sentence each, with the remedy."""
    unread: list[str] = []

    def items(path: str, fields: str = "") -> Items:
        found = read(path, fields)
        if found is None:
            unread.append(path)
        return found or []

    configmaps = items(CONFIGMAPS, NOT_THE_CA)
    autoscalers = items(AUTOSCALERS)
    deployments = items(DEPLOYMENTS)
    workloads: dict[scalers.Target, dict[str, Any]] = {}
    for kind, path in SCALED.items() if autoscalers else ():
        for workload in deployments if path == DEPLOYMENTS else items(path):
            metadata = mapping(workload.get("metadata"))
            workloads[(str(metadata.get("namespace")), kind, str(metadata.get("name")))] = workload
    namespaces = {str(mapping(n.get("metadata")).get("name")): n for n in (items(NAMESPACES) if autoscalers else ())}
    found = [
        *descheduler.warnings(configmaps, load),
        *volcano.warnings(configmaps, load),
        *scalers.autoscaler_warnings(deployments),
        *scalers.vpa_warnings(autoscalers, workloads, namespaces),
        *kyverno.warnings(policy for path in KYVERNO for policy in items(path)),
    ]
    if unread:
        found.append(f"Not looked at, because these may not be listed here: {', '.join(unread)}.")
    return found
