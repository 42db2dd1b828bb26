"""The few fields of Kubernetes objects that are decoded from the API server's JSON; everything else is skipped.

Structs are short-lived: `colocation.model.facts` turns them into what is kept.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

from colocation.model.policy import PolicySpec
from colocation.model.report import NodeColocationStatus

Quantities = dict[str, str | int | float]


class OwnerReference(Struct, rename="camel", gc=False):
    """metav1.OwnerReference."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Metadata(Struct, rename="camel"):
    """metav1.ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()


class Resources(Struct, rename="camel"):
    """ResourceRequirements."""

    requests: Quantities = field(default_factory=dict)
    limits: Quantities = field(default_factory=dict)


class Container(Struct, rename="camel"):
    """A container of any kind; a sidecar is an init container that restarts always."""

    name: str = ""
    resources: Resources = field(default_factory=Resources)
    restart_policy: str | None = None


class ContainerStatus(Struct, rename="camel"):
    """The resources that kubelet really applied to a container (in-place resize)."""

    name: str = ""
    allocated_resources: Quantities = field(default_factory=dict)
    resources: Resources | None = None


class PodSpec(Struct, rename="camel"):
    """The fields of a pod's spec that its demand depends on."""

    node_name: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: Quantities = field(default_factory=dict)
    resources: Resources | None = None


class PodStatus(Struct, rename="camel"):
    """The fields of a pod's status that its demand depends on."""

    phase: str = ""
    reason: str = ""
    conditions: Raw = Raw(b"[]")
    """Looked at only where a pod is on its way out: parsing them all would cost as much as everything else."""
    allocated_resources: Quantities = field(default_factory=dict)
    resources: Resources | None = None
    """The pod-level resources that kubelet really applied (in-place resize)."""
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Struct, rename="camel"):
    """v1 Pod."""

    metadata: Metadata
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


class PodCondition(Struct, gc=False):
    """The fields of a pod's condition that say whether it was evicted."""

    type: str = ""
    status: str = ""
    reason: str = ""


class Taint(Struct, frozen=True, gc=False):
    """v1 Taint."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Struct):
    """The fields of a Node's spec that we read."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(Struct, rename="camel"):
    """The fields of a Node's status that the budget depends on."""

    capacity: Quantities = field(default_factory=dict)
    allocatable: Quantities = field(default_factory=dict)


class Node(Struct, rename="camel"):
    """v1 Node."""

    metadata: Metadata
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class ColocationPolicy(Struct, rename="camel"):
    """Our policy object as a person writes it: a field that is not understood is an error."""

    metadata: Metadata
    spec: PolicySpec = PolicySpec()


class StoredPolicy(Struct, rename="camel"):
    """Our policy object as it is in the API, perhaps written by another version: read by `colocation.lenient`."""

    metadata: Metadata
    spec: Any = None
    status: Any = None


class NodeColocation(Struct, rename="camel"):
    """Our node object. Spec and status are decoded apart: garbage in one must not cost the other, nor the watch."""

    metadata: Metadata
    spec: Raw = Raw(b"{}")
    status: Raw = Raw(b"null")


__all__ = [
    "ColocationPolicy",
    "Container",
    "ContainerStatus",
    "Metadata",
    "Node",
    "NodeColocation",
    "NodeColocationStatus",
    "Pod",
    "Resources",
    "StoredPolicy",
]
