"""The JSON patch that makes a pod what its class says: what the chart's MutatingAdmissionPolicies do, to the letter.

``tests/chart`` runs one table of pods through both, on a real API server, and compares what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, field

from colocation.model import names
from colocation.model.facts import Qos
from colocation.model.quantity import millicores, parse
from colocation.model.wire import OwnerReference, Quantities

PREEMPTABLE_ANNOTATION: Final = "volcano.sh/preemptable"
DEFAULT_SCHEDULER: Final = "default-scheduler"
SYSTEM_CLASSES: Final = ("system-node-critical", "system-cluster-critical")
MOST_MILLICORES: Final = 9 * 10**15
"""More than any node has; the policies' integers end not far above."""
_CONVERTED: Final = {"cpu": names.BE_CPU, "memory": names.BE_MEMORY}
_ON_OUR_NODES: Final = {"key": names.NODE_LABEL, "operator": "In", "values": ["true"]}
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"

Patch = list[dict[str, Any]]
"""RFC 6902. All operations are ``add``, which replaces what is there."""


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator chooses; the chart's values of the same names."""

    be_scheduler: str = ""
    hls_scheduler: str = ""
    hls_node_affinity: bool = False
    default_priority_class: str = ""
    """The cluster's PriorityClass with globalDefault: a pod that carries it has chosen none."""


class _ContainerResources(Struct):
    requests: Quantities = field(default_factory=dict)
    limits: Quantities = field(default_factory=dict)


class _PodContainer(Struct):
    resources: _ContainerResources = field(default_factory=_ContainerResources)


class _PodMetadata(Struct, rename="camel"):
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class _Spec(Struct, rename="camel"):
    containers: tuple[_PodContainer, ...] = ()
    init_containers: tuple[_PodContainer, ...] = ()
    priority_class_name: str = ""
    scheduler_name: str = DEFAULT_SCHEDULER
    affinity: dict[str, Any] | None = None


class NewPod(Struct):
    """The fields of a pod that is being made which the decision rests on."""

    metadata: _PodMetadata = field(default_factory=_PodMetadata)
    spec: _Spec = field(default_factory=_Spec)


def mutate(pod: NewPod, settings: Settings, default: str = "") -> Patch:
    """What to change; empty when all is well. ``default``: the class of the namespace, for pods that name none."""
    annotations = pod.metadata.annotations or {}
    qos = annotations.get(names.QOS_ANNOTATION, default)
    if qos not in list(Qos) or not _ours(pod, annotations):
        return []
    wanted = {names.QOS_ANNOTATION: qos}
    if qos == Qos.BE:
        wanted[PREEMPTABLE_ANNOTATION] = "true"
    return [
        *_entries("/metadata/annotations", pod.metadata.annotations, wanted),
        *_entries("/metadata/labels", pod.metadata.labels, {names.QOS_LABEL: qos}),
        *(_best_effort(pod.spec) if qos == Qos.BE else ()),
        *_priority(pod.spec, qos, settings),
        *_schedule(pod.spec, qos, settings),
    ]


def _ours(pod: NewPod, annotations: dict[str, str]) -> bool:
    """Mirror pods cannot be changed; DaemonSet and system pods have the class that they have."""
    return (
        names.MIRROR_ANNOTATION not in annotations
        and not any(owner.kind == "DaemonSet" and owner.controller for owner in pod.metadata.owner_references)
        and pod.spec.priority_class_name not in SYSTEM_CLASSES
    )


def _entries(path: str, found: dict[str, str] | None, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
    if found is None:
        yield _add(path, wanted)
        return
    for key, value in wanted.items():
        if found.get(key) != value:
            yield _add(f"{path}/{_escape(key)}", value)


def _best_effort(spec: _Spec) -> Iterator[dict[str, Any]]:
    for kind, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for at, container in enumerate(containers):
            first = kind == "containers" and at == 0
            for part in ("requests", "limits"):
                quantities: Quantities = getattr(container.resources, part)
                changed = converted(quantities, ticket=first)
                if changed != quantities:
                    yield _add(f"/spec/{kind}/{at}/resources/{part}", changed)


def converted(asked: Quantities, *, ticket: bool) -> Quantities:
    """Plain cpu and memory as be-cpu (millicores) and be-memory (bytes), rounded up; and the gate's ticket, once a pod.

    What is there of be-* stays: then plain amounts are dropped, so that nothing doubles when a LimitRange puts them
    back.
    """
    changed: Quantities = {}
    for key, amount in asked.items():
        ours = _CONVERTED.get(key)
        if key == names.GATE or (ours and ours in asked):
            continue
        if key == "cpu":
            changed[names.BE_CPU] = str(min(MOST_MILLICORES, millicores(amount)))
        elif key == "memory":
            changed[names.BE_MEMORY] = str(parse(amount))
        else:
            changed[key] = amount
    if ticket:
        changed[names.GATE] = "1"
    return changed


def _priority(spec: _Spec, qos: str, settings: Settings) -> Iterator[dict[str, Any]]:
    if spec.priority_class_name not in ("", settings.default_priority_class):
        return
    name, value, policy = _PRIORITIES[qos]
    # All three: a name alone is refused, because the number was set before us.
    yield _add("/spec/priorityClassName", name)
    yield _add("/spec/priority", value)
    yield _add("/spec/preemptionPolicy", policy)


_PRIORITIES: Final[dict[str, tuple[str, int, str]]] = {
    Qos.BE: ("priority-be", -100, "Never"),
    Qos.HLS: ("priority-hls", 1000, "Never"),
    Qos.LS: ("priority-ls", 0, "PreemptLowerPriority"),
}


def _schedule(spec: _Spec, qos: str, settings: Settings) -> Iterator[dict[str, Any]]:
    scheduler = {Qos.BE: settings.be_scheduler, Qos.HLS: settings.hls_scheduler}.get(Qos(qos), "")
    if scheduler and spec.scheduler_name == DEFAULT_SCHEDULER != scheduler:
        yield _add("/spec/schedulerName", scheduler)
    if qos != Qos.HLS or not settings.hls_node_affinity:
        return
    node = (spec.affinity or {}).get("nodeAffinity")
    required = (node or {}).get(_REQUIRED)
    terms = (required or {}).get("nodeSelectorTerms") or []
    path = f"/spec/affinity/nodeAffinity/{_REQUIRED}"
    # Terms are alternatives: each gets the label. One without any expression must still match nothing.
    for at, term in enumerate(terms):
        expressions = term.get("matchExpressions")
        if expressions and not any(e["key"] == names.NODE_LABEL for e in expressions):
            yield _add(f"{path}/nodeSelectorTerms/{at}/matchExpressions/-", _ON_OUR_NODES)
        elif not expressions and term.get("matchFields"):
            yield _add(f"{path}/nodeSelectorTerms/{at}/matchExpressions", [_ON_OUR_NODES])
    if terms:
        return
    whole: Any = {"nodeSelectorTerms": [{"matchExpressions": [_ON_OUR_NODES]}]}
    if node is not None:
        yield _add(path, whole)
    elif spec.affinity is not None:
        yield _add("/spec/affinity/nodeAffinity", {_REQUIRED: whole})
    else:
        yield _add("/spec/affinity", {"nodeAffinity": {_REQUIRED: whole}})


def _add(path: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
