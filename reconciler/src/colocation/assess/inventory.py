"""What the API server says: nodes, pools, pods, and what is in the way. Lists only; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, field

from colocation.assess.shape import Inventory, NodeTrace
from colocation.assess.workloads import Budgets, advise
from colocation.decoding import decode
from colocation.kube.resources import NODES, PODS, Resource
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.model.facts import NodeFacts, node_facts
from colocation.model.wire import Metadata, Node, Pod

T = TypeVar("T")
PDBS: Final = Resource("policy/v1", "poddisruptionbudgets", namespaced=True)
QUOTAS: Final = Resource("v1", "resourcequotas", namespaced=True)
DEPLOYMENTS: Final = Resource("apps/v1", "deployments", namespaced=True)
DAEMON_SETS: Final = Resource("apps/v1", "daemonsets", namespaced=True)
POOL_LABELS: Final = (
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "kubernetes.azure.com/agentpool",
    "cce.cloud.com/cce-nodepool",
    "alibabacloud.com/nodepool-id",
    "node.cluster.x-k8s.io/machine-deployment",
    "kops.k8s.io/instancegroup",
    "node-pool",
    "pool",
)
_CONTROL: Final = "node-role.kubernetes.io/control-plane"
_MANAGERS: Final = {
    "koord-manager": "Koordinator", "koordlet": "Koordinator", "volcano-agent": "Volcano's agent",
    "katalyst-agent": "Katalyst", "katalyst-controller": "Katalyst", "crane-agent": "Crane", "craned": "Crane",
    "colocation-overquota-agent": "openFuyao colocation", "overquota-agent": "openFuyao colocation",
}  # fmt: skip
CLUSTER_ROLE: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: colocation-assess}
rules:
  - {apiGroups: [""], resources: [nodes, pods, services, resourcequotas], verbs: [list]}
  - {apiGroups: [""], resources: [services/proxy], verbs: [get]}    # the way to Prometheus
  - {apiGroups: [apps], resources: [deployments, daemonsets], verbs: [list]}
  - {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [list]}
  - {apiGroups: [metrics.k8s.io], resources: [nodes, pods], verbs: [list]}
  - {apiGroups: [monitoring.coreos.com], resources: [prometheuses], verbs: [list]}
"""


class InventoryError(Exception):
    """The cluster cannot be looked at, and what to do about it."""


class _Address(Struct):
    type: str = ""
    address: str = ""


class _NodeStatus(Struct):
    addresses: tuple[_Address, ...] = ()


class _NodeAddresses(Struct):
    status: _NodeStatus = field(default_factory=_NodeStatus)


class _Version(Struct, rename="camel"):
    git_version: str = ""


class _Any(Struct):
    metadata: Metadata
    spec: dict[str, Any] = field(default_factory=dict)


class SeenNode(Struct, frozen=True):
    """One Node."""

    facts: NodeFacts
    pool: str
    names: tuple[str, ...]
    """Name and addresses, as Prometheus may call it."""

    def trace(self) -> NodeTrace:
        """Without use yet."""
        facts = self.facts
        return NodeTrace(
            name=facts.name,
            pool=self.pool,
            cpu_capacity=facts.cpu_capacity,
            cpu_allocatable=facts.cpu_allocatable,
            memory_capacity=facts.memory_capacity,
            memory_allocatable=facts.memory_allocatable,
            cpu_reserved=facts.cpu_annotated,
            memory_reserved=facts.memory_annotated,
        )


class Cluster(Struct):
    """All that was listed."""

    nodes: list[SeenNode]
    pods: dict[tuple[str, str], Pod]
    """By namespace and name."""
    inventory: Inventory
    notes: list[str]


def look(rest: Rest, pool_label: str | None = None, title: str = "") -> Cluster:
    """List everything. Raises InventoryError where nodes or pods cannot be listed."""
    notes: list[str] = []
    nodes, selectors = _nodes(rest, pool_label)
    pods = {(pod.metadata.namespace, pod.metadata.name): pod for pod in _must(rest, PODS, Pod)}
    inventory = Inventory(cluster=title, selectors=selectors)
    try:
        inventory.kubernetes = rest.get("/version", _Version).git_version
    except (ApiError, msgspec.DecodeError):
        notes.append("The version of Kubernetes could not be read.")
    pdbs = _may(rest, PDBS, notes, "workloads with a PodDisruptionBudget are not distinguished from others")
    budgets = Budgets([(one.metadata.namespace, one.spec.get("selector") or {}) for one in pdbs])
    inventory.candidates, inventory.at_risk = advise(pods.values(), budgets)
    inventory.obstacles = _obstacles(rest, nodes, notes, inventory.kubernetes)
    return Cluster(nodes, pods, inventory, notes)


def created(pod: Any) -> float | None:
    """Unix seconds of a creationTimestamp."""
    try:
        return datetime.fromisoformat(str(pod)).timestamp()
    except ValueError:
        return None


def _nodes(rest: Rest, pool_label: str | None) -> tuple[list[SeenNode], dict[str, dict[str, str]]]:
    seen: list[SeenNode] = []
    selectors: dict[str, dict[str, str]] = {}
    for raw in _raw(rest, NODES):
        try:
            node, where = decode(raw, Node), decode(raw, _NodeAddresses)
            facts = node_facts(node)
        except (msgspec.DecodeError, ValueError):
            continue  # no capacity yet: it offers nothing
        pool, selector = pool_of(facts.labels, pool_label)
        selectors[pool] = selector
        seen.append(SeenNode(facts, pool, (facts.name, *(a.address for a in where.status.addresses))))
    if not seen:
        raise InventoryError("the cluster has no Node that reports its capacity: there is nothing to assess")
    return seen, selectors


def pool_of(labels: Mapping[str, str], pool_label: str | None) -> tuple[str, dict[str, str]]:
    """A node's pool, and the labels by which a policy selects it."""
    for label in (pool_label,) if pool_label else POOL_LABELS:
        if label in labels:
            return labels[label], {label: labels[label]}
    if _CONTROL in labels:
        return "control-plane", {_CONTROL: labels[_CONTROL]}
    return "default", {}


def _obstacles(rest: Rest, nodes: list[SeenNode], notes: list[str], version: str) -> list[str]:
    found: list[str] = []
    minor = version.removeprefix("v").split(".")[1:2]
    if minor and minor[0].rstrip("+").isdigit() and int(minor[0].rstrip("+")) < 30:
        found.append(f"Kubernetes {version}: colocation needs 1.30 or newer.")
    carrying = [n.facts.name for n in nodes if not n.facts.published.absent]
    if carrying:
        found.append(
            f"{len(carrying)} nodes already carry {names.BE_CPU}, {carrying[0]} for one: see site -e migrate=true."
        )
    for resource in (DEPLOYMENTS, DAEMON_SETS):
        for one in _may(rest, resource, notes, "other managers and a descheduler are not looked for"):
            name = f"{resource.plural[:-1]} {one.metadata.namespace}/{one.metadata.name}"
            if one.metadata.name in _MANAGERS:
                found.append(
                    f"{_MANAGERS[one.metadata.name]} runs ({name}): two managers must not publish for one node."
                )
            elif "descheduler" in one.metadata.name:
                found.append(f"A descheduler runs ({name}): exclude best-effort pods, or it moves them for low use.")
    for one in _may(rest, QUOTAS, notes, "quotas are not looked at"):
        hard = one.spec.get("hard") or {}
        limited = sorted(key for key in hard if key in ("pods", "count/pods", "requests.cpu", "cpu", "requests.memory"))
        if limited:
            found.append(
                f"Quota {one.metadata.namespace}/{one.metadata.name} limits {', '.join(limited)}: best-effort pods "
                "there count by pods and be-*, no longer by cpu and memory; see docs/admission.md."
            )
    return found


def _must(rest: Rest, resource: Resource, kind: type[T]) -> Iterator[T]:
    for raw in _raw(rest, resource):
        yield decode(raw, kind)


def _raw(rest: Rest, resource: Resource) -> Iterator[msgspec.Raw]:
    try:
        for page in rest.pages(resource, {}):
            yield from page.items or []
    except ApiError as error:
        if error.code == 0:
            raise InventoryError(f"the API server does not answer: {error.message}") from error
        if error.code in (401, 403):
            raise InventoryError(
                f"not allowed to list {resource.plural}: {error.message}\nAsk for this, bound to you:\n{CLUSTER_ROLE}"
            ) from error
        raise InventoryError(f"{resource.plural} cannot be listed: {error}") from error


def _may(rest: Rest, resource: Resource, notes: list[str], cost: str) -> list[_Any]:
    try:
        return [decode(raw, _Any) for page in rest.pages(resource, {}) for raw in page.items or []]
    except (ApiError, msgspec.DecodeError) as error:
        why = "not allowed" if isinstance(error, ApiError) and error.code == 403 else str(error)
        notes.append(f"{resource.plural} could not be listed ({why}): {cost}. `--cluster-role` prints the rights.")
        return []
