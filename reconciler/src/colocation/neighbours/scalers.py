"""Scalers that would grow a cluster for best-effort pods, or evict them for requests that they cannot have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from colocation.model.names import QOS_ANNOTATION
from colocation.neighbours.descheduler import BE_PRIORITY
from colocation.neighbours.selectors import BE, listing, mapping, title, whole

CUTOFF: Final = "--expendable-pods-priority-cutoff"
DEFAULT_CLASS: Final = "colocation.openfuyao.com/default-qos-level"
Target = tuple[str, str, str]
"""Namespace, kind and name of a workload."""


def autoscaler_warnings(deployments: Iterable[dict[str, Any]]) -> list[str]:
    """A sentence for each cluster-autoscaler that counts best-effort pods."""
    found = []
    for deployment in deployments:
        for argument in _cutoffs(deployment):
            cutoff = whole(argument)
            if cutoff is not None and cutoff <= BE_PRIORITY:
                found.append(
                    f"{title(deployment, 'Deployment')} has {CUTOFF}={cutoff}: best-effort pods have priority "
                    f"{BE_PRIORITY}, so pending ones grow the cluster and running ones keep nodes from going. Set it "
                    f"above {BE_PRIORITY} (its default is -10)."
                )
    return found


def _cutoffs(deployment: dict[str, Any]) -> Iterator[str]:
    """Both ways in which a flag and its value are written."""
    for container in listing(mapping(template(deployment).get("spec")).get("containers")):
        line = [str(word) for part in ("command", "args") for word in listing(mapping(container).get(part))]
        for word, after in zip(line, [*line[1:], ""]):  # noqa: B905 (Python 3.9 knows no strict)
            if word.startswith(f"{CUTOFF}="):
                yield word.partition("=")[2]
            elif word == CUTOFF:
                yield after


def vpa_warnings(
    autoscalers: Iterable[dict[str, Any]],
    workloads: Mapping[Target, dict[str, Any]],
    namespaces: Mapping[str, dict[str, Any]],
) -> list[str]:
    """A sentence for each VerticalPodAutoscaler that acts on best-effort pods."""
    found = []
    for autoscaler in autoscalers:
        spec = mapping(autoscaler.get("spec"))
        mode = mapping(spec.get("updatePolicy")).get("updateMode", "Auto")
        namespace = str(mapping(autoscaler.get("metadata")).get("namespace"))
        reference = mapping(spec.get("targetRef"))
        target = (namespace, str(reference.get("kind")), str(reference.get("name")))
        if mode == "Off" or _class_of(workloads.get(target), namespaces.get(namespace)) != BE:
            continue
        acts = "gives cpu and memory to" if mode == "Initial" else "evicts, for cpu and memory that they cannot have,"
        found.append(
            f"{title(autoscaler, 'VerticalPodAutoscaler')} {acts} the best-effort pods of {target[1]} {target[2]}: "
            "admission turns plain cpu and memory into be-cpu and be-memory, or drops them where those are there. Set "
            "updatePolicy.updateMode: Off for it."
        )
    return found


def _class_of(workload: dict[str, Any] | None, namespace: dict[str, Any] | None) -> str:
    if workload is None:
        return ""
    notes = mapping(mapping(template(workload).get("metadata")).get("annotations"))
    labels = mapping(mapping((namespace or {}).get("metadata")).get("labels"))
    return str(notes.get(QOS_ANNOTATION, labels.get(DEFAULT_CLASS, "")))


def template(workload: dict[str, Any]) -> dict[str, Any]:
    """The pods of a workload; a CronJob has them one floor down."""
    spec = mapping(workload.get("spec"))
    return mapping(mapping(mapping(spec.get("jobTemplate")).get("spec")).get("template")) or mapping(
        spec.get("template")
    )
