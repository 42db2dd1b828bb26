"""Where a pod may run, as far as its own spec says: for the one pod that is looked at before it is moved.

What cannot be judged from the spec and a Node's labels and taints is an obstacle: such a pod is not moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType, field

from colocation.model import names
from colocation.model.wire import Metadata, Resources, Taint

_KNOWN: Final = (names.BE_CPU, names.BE_MEMORY, names.GATE)
"""What the manager knows to be free on other nodes."""
_BOUND: Final = ("persistentVolumeClaim", "ephemeral", "hostPath")
"""Kinds of volumes that may be on this node only."""


class Toleration(Struct, gc=False):
    """v1 Toleration."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class Expression(Struct, gc=False):
    """v1 NodeSelectorRequirement."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class Term(Struct, rename="camel"):
    """v1 NodeSelectorTerm."""

    match_expressions: tuple[Expression, ...] | None = None
    match_fields: tuple[Expression, ...] | None = None


class _Required(Struct, rename="camel"):
    node_selector_terms: tuple[Term, ...] | None = None


class _NodeAffinity(Struct):
    required: _Required | None = field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class _Affinity(Struct, rename="camel"):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: dict[str, Any] | None = None
    pod_anti_affinity: dict[str, Any] | None = None


class _Port(Struct, rename="camel"):
    host_port: int = 0


class _Container(Struct):
    name: str = ""
    resources: Resources = field(default_factory=Resources)
    ports: tuple[_Port, ...] | None = None


class _Spec(Struct, rename="camel"):
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] = ()
    node_selector: dict[str, str] = field(default_factory=dict)
    affinity: _Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    resource_claims: tuple[dict[str, Any], ...] = ()
    overhead: dict[str, Any] = field(default_factory=dict)
    resources: Resources | UnsetType = UNSET
    host_network: bool = False

    @property
    def every(self) -> tuple[_Container, ...]:
        """All containers that can request something."""
        return (*self.containers, *self.init_containers)

    @property
    def requested(self) -> set[str]:
        """Names of all resources that this pod requests somewhere."""
        whole = self.resources.requests if self.resources is not UNSET else {}
        return {key for c in self.every for key in c.resources.requests} | self.overhead.keys() | whole.keys()


class PlacedPod(Struct):
    """A pod as it is read before it is moved."""

    metadata: Metadata
    spec: _Spec = field(default_factory=_Spec)


def obstacle(pod: PlacedPod) -> str:
    """Why this pod is not moved at all, in words; empty if it may be."""
    spec, affinity = pod.spec, pod.spec.affinity or _Affinity()
    if not any(owner.controller for owner in pod.metadata.owner_references):
        return "it has no controller that would create it again"
    if affinity.pod_affinity or affinity.pod_anti_affinity:
        return "it has pod affinity, and where that allows it to run is not known here"
    if spec.topology_spread_constraints:
        return "it has spread constraints, and where those allow it to run is not known here"
    for volume, kind in ((volume, kind) for volume in spec.volumes for kind in _BOUND if volume.get(kind) is not None):
        return f"its volume {volume.get('name')} ({kind}) may be bound to this node"
    if spec.resource_claims:
        return "it claims devices, which may be on this node only"
    if spec.host_network or any(port.host_port for c in spec.every for port in c.ports or ()):
        return "it uses ports of its node, which may be taken elsewhere"
    if unknown := sorted(spec.requested.difference(_KNOWN)):
        return f"it requests {unknown[0]}, and what other nodes have of it is not known here"
    return ""


def fits(pod: PlacedPod, name: str, labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
    """Tell whether nodeSelector, required node affinity and taints let the pod onto this node."""
    spec = pod.spec
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    if any(t.effect != "PreferNoSchedule" and not _tolerated(t, spec.tolerations) for t in taints):
        return False
    node = spec.affinity.node_affinity if spec.affinity is not None else None
    if node is None or node.required is None:
        return True
    return any(_matches(term, name, labels) for term in node.required.node_selector_terms or ())


def _tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """https://github.com/kubernetes/kubernetes/blob/v1.36.3/staging/src/k8s.io/api/core/v1/toleration.go."""
    for one in tolerations:
        if one.effect not in ("", taint.effect) or one.key not in ("", taint.key):
            continue
        if one.operator == "Exists" or (one.key and one.operator in ("", "Equal") and one.value == taint.value):
            return True
    return False


def _matches(term: Term, name: str, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.match_expressions or (), term.match_fields or ()
    if not expressions and not fields:
        return False  # an empty term matches nothing
    return all(_holds(one, labels) for one in expressions) and all(
        _holds(one, {"metadata.name": name}) for one in fields
    )


def _holds(wanted: Expression, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(wanted.key), wanted.values or ()
    match wanted.operator:
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Gt" | "Lt" if value is not None and len(values) == 1:
            try:
                have, want = int(value), int(values[0])
            except ValueError:
                return False
            return have > want if wanted.operator == "Gt" else have < want
        case _:
            return False
