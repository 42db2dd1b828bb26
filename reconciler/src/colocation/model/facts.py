"""What the manager keeps of Pods and Nodes: a few integers each, so that 300,000 pods fit in memory."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from colocation.model import names
from colocation.model.demand import all_say, combine
from colocation.model.quantity import millicores, parse, saturate
from colocation.model.report import BePod, OnlinePod
from colocation.model.wire import Container, Node, Pod, PodCondition, Quantities, Taint

_CONDITIONS: Final = msgspec.json.Decoder(tuple[PodCondition, ...])
_RUN: Final = re.compile(r"-\d{8,}$")
"""What a CronJob puts behind its name: the minute of the run."""
_EVICTIONS: Final = ("EvictionByEvictionAPI", "TerminationByKubelet")
"""Not preemption, taints or garbage collection: these say nothing of pressure."""
Amount = TypeVar("Amount", int, int | None)


class Qos(StrEnum):
    """Class of a pod. HLS and LS are online; only what says BE is offline."""

    HLS = "HLS"
    LS = "LS"
    BE = "BE"


class PodFacts(Struct, frozen=True, gc=False):
    """One bound, unfinished pod. CPU in millicores, memory in bytes."""

    uid: str
    cgroup_uid: str
    name: str
    """namespace/name."""
    node: str
    qos: Qos
    running: bool
    cpu: int
    """Plain cpu request."""
    memory: int
    """Plain memory request."""
    be_cpu: int = 0
    be_memory: int = 0
    be_cpu_limit: int | None = None
    """With the overhead: what the pod's cgroup may use, the sandbox included."""
    be_memory_limit: int | None = None
    overhead_cpu: int = 0
    """Overhead of its RuntimeClass, in plain cpu; part of ``cpu``."""
    overhead_memory: int = 0
    priority: int = 0
    gate: int = 0
    """What it asks for of the gate: 1, where admission wrote it."""
    evicted: bool = False
    """On its way out by the Eviction API."""
    workload: str = ""
    """What runs it: namespace, kind and name of its controller, and its containers; empty: nothing, or best-effort."""

    @property
    def requests_be(self) -> bool:
        """Requests be-cpu or be-memory."""
        return self.be_cpu > 0 or self.be_memory > 0

    def as_online_pod(self) -> OnlinePod:
        """The spec's row of this pod, if the agent has to do something for online pods."""
        return OnlinePod(uid=self.cgroup_uid, memory_request=self.memory)

    def as_be_pod(self) -> BePod:
        """The spec's row of this pod."""
        return BePod(
            uid=self.cgroup_uid,
            cpu_request=self.be_cpu,
            cpu_limit=self.be_cpu_limit,
            memory_limit=self.be_memory_limit,
            priority=self.priority,
            running=self.running,
        )


class Evicted(Struct, frozen=True, gc=False):
    """A pod that its kubelet has evicted: finished, but worth counting."""

    node: str


class Published(Struct, frozen=True, gc=False):
    """Our keys as they are in a Node's status; None: the key is absent."""

    cpu: int | None = None
    memory: int | None = None
    gate: int | None = None
    consistent: bool = True
    """Capacity and allocatable say the same."""

    @property
    def absent(self) -> bool:
        """None of our keys is there, in neither capacity nor allocatable."""
        return self.cpu is None and self.memory is None and self.gate is None and self.consistent


class _Reserved(Struct, forbid_unknown_fields=True):
    cpu: str | int | float = 0
    memory: str | int | float = 0


_RESERVED: Final = msgspec.json.Decoder(_Reserved)


class NodeFacts(Struct, frozen=True, gc=False):
    """One Node: its size, what Kubernetes reserves of it, and what we published."""

    name: str
    uid: str
    resource_version: str
    labels: dict[str, str]
    cpu_capacity: int
    cpu_allocatable: int
    memory_capacity: int
    memory_allocatable: int
    published: Published = Published()
    withdrawn: str | None = None
    """The reason remembered in the annotation, if we withdrew this node."""
    cordoned: bool = False
    taints: tuple[Taint, ...] = ()
    cpu_annotated: int = 0
    memory_annotated: int = 0
    """What an annotation reserves for work outside Kubernetes."""
    problem: str | None = None
    """Why that annotation cannot be read."""

    @property
    def takes_part(self) -> bool:
        """Labelled for colocation."""
        return self.labels.get(names.NODE_LABEL) == "true"


def qos_of(pod: Pod) -> Qos:
    """The effective class: mirror, DaemonSet and system-critical pods are never BE; an unknown value is LS."""
    given = pod.metadata.annotations.get(names.QOS_ANNOTATION)
    if given == Qos.HLS:
        return Qos.HLS
    if given != Qos.BE or names.MIRROR_ANNOTATION in pod.metadata.annotations:
        return Qos.LS
    if any(owner.controller and owner.kind == "DaemonSet" for owner in pod.metadata.owner_references):
        return Qos.LS
    if (pod.spec.priority or 0) >= names.SYSTEM_CRITICAL_PRIORITY:
        return Qos.LS
    return Qos.BE


def pod_facts(pod: Pod) -> PodFacts | Evicted | None:
    """The facts of a bound, unfinished pod; None for one that is unbound or finished.

    Raises ValueError if a quantity cannot be read (the API server does not let such a pod in).
    """
    if not pod.spec.node_name or pod.status.phase == "Succeeded":
        return None
    if pod.status.phase == "Failed":
        return Evicted(pod.spec.node_name) if pod.status.reason == "Evicted" else None
    allocated = {s.name: s for s in (*pod.status.container_statuses, *pod.status.init_container_statuses)}

    def request(key: str, scale: int) -> int:
        def read(container: Container) -> int | None:
            wished = _amount(container.resources.requests, key, scale)
            status = allocated.get(container.name)
            if status is None:
                return wished
            # In-place resize: until kubelet has carried out a shrink, the pod may use what is allocated.
            # https://github.com/kubernetes/enhancements/issues/1287
            granted = _amount(status.allocated_resources, key, scale)
            actual = _amount(status.resources.requests, key, scale) if status.resources else None
            given = [amount for amount in (wished, granted, actual) if amount is not None]
            return max(given) if given else None

        overhead = _amount(pod.spec.overhead, key, scale) or 0
        pod_level = _amount(pod.spec.resources.requests, key, scale) if pod.spec.resources else None
        if pod_level is not None:
            granted = _amount(pod.status.allocated_resources, key, scale) or 0
            actual = _amount(pod.status.resources.requests, key, scale) or 0 if pod.status.resources else 0
            return saturate(max(pod_level, granted, actual) + overhead)
        return saturate(combine(pod, read, overhead) or overhead)

    def limit(key: str, more: int) -> int | None:
        def read(container: Container) -> int | None:
            return _amount(container.resources.limits, key, 1)

        whole = combine(pod, read) if all_say(pod, read) else None
        # Kubelet's rule (KEP-688, pod overhead): a limit of 0 stays 0, every other one has the overhead on top.
        return saturate(whole + more + (_amount(pod.spec.overhead, key, 1) or 0)) if whole else whole

    annotations = pod.metadata.annotations
    be_cpu, be_memory = request(names.BE_CPU, 1), request(names.BE_MEMORY, 1)
    overhead_cpu = saturate(_amount(pod.spec.overhead, "cpu", 1000) or 0)
    overhead_memory = saturate(_amount(pod.spec.overhead, "memory", 1) or 0)
    return PodFacts(
        uid=pod.metadata.uid,
        cgroup_uid=annotations.get(names.STATIC_HASH_ANNOTATION, pod.metadata.uid)
        if names.MIRROR_ANNOTATION in annotations
        else pod.metadata.uid,
        name=f"{pod.metadata.namespace}/{pod.metadata.name}",
        node=intern(pod.spec.node_name),
        qos=qos_of(pod),
        running=pod.status.phase == "Running",
        cpu=_shared(request("cpu", 1000)),
        memory=_shared(request("memory", 1)),
        be_cpu=_shared(be_cpu),
        be_memory=_shared(be_memory),
        be_cpu_limit=_shared(limit(names.BE_CPU, overhead_cpu)),
        be_memory_limit=_shared(limit(names.BE_MEMORY, overhead_memory)),
        overhead_cpu=_shared(overhead_cpu),
        overhead_memory=_shared(overhead_memory),
        priority=_shared(pod.spec.priority or 0),
        gate=_shared(request(names.GATE, 1)),
        evicted=pod.metadata.deletion_timestamp is not None and _evicted(pod.status.conditions),
        workload=_workload(pod),
    )


def _workload(pod: Pod) -> str:
    """Every ReplicaSet of a Deployment and every Job of a CronJob is the same workload; a mirror pod is of none."""
    meta = pod.metadata
    owner = next((owner for owner in meta.owner_references if owner.controller), None)
    if owner is None or owner.kind == "Node" or qos_of(pod) is Qos.BE:
        return ""
    name = owner.name
    if owner.kind == "ReplicaSet" and (made := meta.labels.get("pod-template-hash")):
        name = name.removesuffix(f"-{made}")
    elif owner.kind == "Job":
        name = _RUN.sub("", name)
    containers = ",".join(container.name for container in pod.spec.containers)
    return intern(f"{meta.namespace}/{owner.kind}/{name}/{containers}")


def _evicted(conditions: Raw) -> bool:
    """The pod was disrupted, by KEP-3329's condition: https://github.com/kubernetes/enhancements/issues/3329."""
    try:
        given = _CONDITIONS.decode(conditions)
    except msgspec.DecodeError:
        return False
    return any(c.type == "DisruptionTarget" and c.status == "True" and c.reason in _EVICTIONS for c in given)


def node_facts(node: Node) -> NodeFacts:
    """The facts of a Node. Raises ValueError if cpu or memory capacity is missing or cannot be read."""
    capacity, allocatable = node.status.capacity, node.status.allocatable
    if "cpu" not in capacity or "memory" not in capacity:
        raise ValueError(f"Node {node.metadata.name} reports no cpu or memory capacity yet")
    ours = (names.BE_CPU, names.BE_MEMORY, names.GATE)
    seen = [_amount(capacity, key, 1) for key in ours]
    reserved = _reserved(node.metadata.annotations.get(names.RESERVED_ANNOTATION))
    return NodeFacts(
        name=node.metadata.name,
        uid=node.metadata.uid,
        resource_version=node.metadata.resource_version,
        labels=node.metadata.labels,
        cpu_capacity=millicores(capacity["cpu"], round_up=False),
        cpu_allocatable=millicores(allocatable.get("cpu", capacity["cpu"]), round_up=False),
        memory_capacity=parse(capacity["memory"], round_up=False),
        memory_allocatable=parse(allocatable.get("memory", capacity["memory"]), round_up=False),
        published=Published(
            cpu=seen[0],
            memory=seen[1],
            gate=seen[2],
            consistent=seen == [_amount(allocatable, key, 1) for key in ours],
        ),
        withdrawn=node.metadata.annotations.get(names.WITHDRAWN_ANNOTATION),
        cordoned=node.spec.unschedulable,
        taints=node.spec.taints,
        cpu_annotated=reserved[0],
        memory_annotated=reserved[1],
        problem=reserved[2],
    )


def _reserved(text: str | None) -> tuple[int, int, str | None]:
    """Millicores and bytes of the annotation, or why it cannot be read: never taken for nothing reserved."""
    if text is None:
        return 0, 0, None
    try:
        given = _RESERVED.decode(text)
        cpu, memory = millicores(given.cpu), parse(given.memory)
        if cpu < 0 or memory < 0:
            raise ValueError("the reserved amount is negative")  # noqa: TRY301
    except ValueError as error:  # msgspec's errors are ValueErrors
        example = '{"cpu": "2", "memory": "4Gi"}'
        return 0, 0, f"annotation {names.RESERVED_ANNOTATION} cannot be read ({error}); it is to be like {example}"
    return cpu, memory, None


@lru_cache(8192)
def _shared(amount: Amount) -> Amount:
    """One object for equal numbers: hundreds of thousands of pods ask for the same few amounts."""
    return amount


def _amount(quantities: Quantities, key: str, scale: int) -> int | None:
    value = quantities.get(key)
    return None if value is None else parse(value, scale=scale)
