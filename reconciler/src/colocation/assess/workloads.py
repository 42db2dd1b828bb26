"""Which workloads look like best-effort work, and which online ones a busier node would hurt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from colocation.assess.shape import Workload
from colocation.model.facts import PodFacts, Qos, pod_facts, qos_of
from colocation.model.names import SYSTEM_CRITICAL_PRIORITY
from colocation.model.wire import Pod

_SPARK: Final = ("spark-app-selector", "spark-role", "sparkoperator.k8s.io/app-name")
_BATCH_KINDS: Final = ("Job", "CronJob", "Workflow", "PyTorchJob", "TFJob", "MPIJob", "RayJob", "SparkApplication")
_SYSTEM: Final = "kube-system"
_MOST: Final = 50
"""Workloads in each list: the largest."""


class Budgets:
    """PodDisruptionBudgets, by what they select."""

    def __init__(self, selectors: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Namespaces and label selectors."""
        self._by_namespace: dict[str, list[dict[str, str]]] = {}
        for namespace, selector in selectors:
            labels = selector.get("matchLabels") or {}
            self._by_namespace.setdefault(namespace, []).append(dict(labels))

    def cover(self, pod: Pod) -> bool:
        """A budget selects it, by its matchLabels."""
        have = pod.metadata.labels.items()
        return any(labels.items() <= have for labels in self._by_namespace.get(pod.metadata.namespace, ()))


class _Group(Struct):
    pods: list[Pod]
    facts: list[PodFacts]


def owner_of(pod: Pod) -> str:
    """Kind/name of the owner, without the hash that a Deployment or CronJob adds to its children's names."""
    owner = next((o for o in pod.metadata.owner_references if o.controller), None)
    if owner is None:
        return f"Pod/{pod.metadata.name}"
    name = owner.name
    if owner.kind == "ReplicaSet" and (label := pod.metadata.labels.get("pod-template-hash")):
        return f"Deployment/{name.removesuffix('-' + label)}"
    if owner.kind == "Job" and (stem := name.rpartition("-"))[2].isdigit() and len(stem[2]) >= 8:
        return f"CronJob/{stem[0]}"
    return f"{owner.kind}/{name}"


def advise(pods: Iterable[Pod], budgets: Budgets) -> tuple[list[Workload], list[Workload]]:
    """(candidates for BE, online workloads at risk), largest requests first."""
    groups: dict[tuple[str, str], _Group] = {}
    for pod in pods:
        facts = pod_facts(pod)
        if not isinstance(facts, PodFacts) or qos_of(pod) is Qos.BE or _system(pod):
            continue
        group = groups.setdefault((pod.metadata.namespace, owner_of(pod)), _Group([], []))
        group.pods.append(pod)
        group.facts.append(facts)
    candidates: list[Workload] = []
    at_risk: list[Workload] = []
    for (namespace, name), group in groups.items():
        batch = batch_reasons(name, group.pods, budgets)
        online = [] if batch else risk_reasons(group.pods, group.facts)
        for reasons, into in ((batch, candidates), (online, at_risk)):
            if reasons:
                into.append(
                    Workload(
                        namespace=namespace, name=name, pods=len(group.pods),
                        cpu_request=sum(f.cpu for f in group.facts),
                        memory_request=sum(f.memory for f in group.facts), reasons=reasons,
                    )
                )  # fmt: skip
    return _largest(candidates), _largest(at_risk)


def batch_reasons(name: str, pods: list[Pod], budgets: Budgets) -> list[str]:
    """Why it looks like best-effort work; empty: it does not."""
    kind, pod = name.partition("/")[0], pods[0]
    reasons = []
    if kind in _BATCH_KINDS:
        reasons.append(f"a {kind}")
    if any(label in pod.metadata.labels for label in _SPARK):
        reasons.append("Spark")
    if (pod.spec.priority or 0) < 0:
        reasons.append(f"priority {pod.spec.priority}")
    if reasons and not any(budgets.cover(one) for one in pods):
        reasons.append("no PodDisruptionBudget")
    return reasons


def risk_reasons(pods: list[Pod], facts: list[PodFacts]) -> list[str]:
    """Why a busier node would hurt it; empty: it would not."""
    containers = [c for pod in pods for c in pod.spec.containers]
    reasons = []
    if all(f.cpu == 0 for f in facts):
        reasons.append("no cpu request: it has no weight against others")
    if all(f.memory == 0 for f in facts):
        reasons.append("no memory request: it is the first to be killed")
    if any("cpu" in c.resources.limits for c in containers):
        reasons.append("a cpu limit: it is throttled even where the node is idle")
    return reasons


def near_limit(limit: int | None, peak: int) -> bool:
    """Within a tenth of its memory limit."""
    return limit is not None and peak * 10 >= limit * 9


def _system(pod: Pod) -> bool:
    daemon = any(o.controller and o.kind in ("DaemonSet", "Node") for o in pod.metadata.owner_references)
    critical = (pod.spec.priority or 0) >= SYSTEM_CRITICAL_PRIORITY
    return daemon or critical or pod.metadata.namespace == _SYSTEM


def _largest(workloads: list[Workload]) -> list[Workload]:
    return sorted(workloads, key=lambda one: (-one.cpu_request, -one.memory_request, one.namespace, one.name))[:_MOST]
