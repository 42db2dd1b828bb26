"""From a decision to the merge patch that carries it out; None when nothing would change."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation.budget import Evaluation
from colocation.budget.explain import summarize
from colocation.kube.resources import NODE_COLOCATIONS, NODES
from colocation.manager.node import NodeState
from colocation.model import names
from colocation.model.facts import NodeFacts, Published
from colocation.model.policy import ViolationBudgets
from colocation.model.report import Capacity, NodeColocationSpec, PolicyRef

NODE: Final = "node"
SPEC: Final = "spec"
POLICY: Final = "policy"


class Urgency(IntEnum):
    """Order of writing: what takes away, what the agents must know, what gives, what can wait."""

    SHRINK = 0
    SPEC = 1
    GROW = 2
    LATER = 3


class Job(Struct, frozen=True):
    """One write. ``key`` is what it is about: a newer job takes an older one's place."""

    key: tuple[str, str]
    """(NODE or SPEC, node name) or (POLICY, policy name)."""
    urgency: Urgency
    method: str
    path: str
    body: bytes
    """JSON: of ten thousand jobs that wait after a start, the text is a tenth of what the same as dicts takes."""
    label: str
    before: Published = Published()
    evaluation: Evaluation | None = None
    """For a Node: its keys before, and the decision that this job carries out."""
    since: float | None = None
    """When the report arrived that this answers, on the manager's clock; None: it answers none."""

    @property
    def summary(self) -> str:
        """Why, in a sentence."""
        return "" if self.evaluation is None else summarize(self.evaluation)


def node_job(node: NodeFacts, evaluation: Evaluation, since: float | None = None) -> Job | None:
    """The patch that makes a Node carry the decision, on the version the decision was made on; ``since``: see Job."""
    before, decision = node.published, evaluation.decision
    wanted = (decision.cpu, decision.memory, decision.gate)
    if (
        (before.cpu, before.memory, before.gate) == wanted
        and before.consistent
        and node.withdrawn == decision.withdrawn
    ):
        return None
    amounts = {
        key: None if value is None else str(value)
        for key, value in zip((names.BE_CPU, names.BE_MEMORY, names.GATE), wanted, strict=True)
    }
    metadata: dict[str, Any] = {"resourceVersion": node.resource_version}
    if node.withdrawn != decision.withdrawn:
        metadata["annotations"] = {names.WITHDRAWN_ANNOTATION: decision.withdrawn}
    takes = (
        (decision.gate or 0) < (before.gate or 0)
        or (decision.cpu or 0) < (before.cpu or 0)
        or (decision.memory or 0) < (before.memory or 0)
    )
    return Job(
        key=(NODE, node.name),
        urgency=Urgency.SHRINK if takes else Urgency.GROW,
        method="PATCH",
        path=NODES.path(node.name, sub="status"),
        # Kubelet copies capacity over allocatable: only equal values last.
        body=msgspec.json.encode({"metadata": metadata, "status": {"capacity": amounts, "allocatable": amounts}}),
        label="nodes/status",
        before=before,
        evaluation=evaluation,
        since=since,
    )


def wanted_spec(node: NodeState, facts: NodeFacts) -> NodeColocationSpec | None:
    """The spec for this node's agent; None: no object, because the node takes no part and has none of our keys."""
    winner = node.selection.winner if node.selection else None
    if not facts.takes_part and (facts.published.absent or node.foreign):
        return None
    if node.foreign and (winner is None or not winner.spec.enabled):
        return None  # not ours to publish for: the other manager's numbers stand
    capacity = Capacity(cpu=facts.cpu_capacity, memory=facts.memory_capacity)
    if winner is None:
        return NodeColocationSpec(capacity=capacity, pods=node.be_pods_for_agent())
    protect, told = winner.spec.protect, node.colocation.spec if node.colocation else None
    return NodeColocationSpec(
        enabled=facts.takes_part and winner.spec.enabled,
        engine=winner.spec.engine,
        policy=PolicyRef(name=winner.name),
        capacity=capacity,
        report=winner.spec.report,
        suppress=winner.spec.suppress,
        evict=winner.spec.evict,
        protect=protect,
        rubik=winner.spec.rubik if winner.spec.engine == "rubik" else None,
        violation_budgets=ViolationBudgets(
            cpu=winner.spec.oversell.cpu.violation_budget, memory=winner.spec.oversell.memory.violation_budget
        ),
        pods=node.be_pods_for_agent(),
        online=node.online_pods_for_agent() if protect.memory_low_percent or protect.burst_percent else (),
        eviction_refusals=node.refusals,
        fleet_scores=node.fleet_scores or (told.fleet_scores if told is not None else None),
    )


def spec_job(node: NodeState, facts: NodeFacts) -> Job | None:
    """The creation, patch or deletion that makes the NodeColocation say what is wanted."""
    if node.agrees:
        return None
    spec, known = wanted_spec(node, facts), node.colocation
    key, label = (SPEC, node.name), NODE_COLOCATIONS.plural
    if spec is None:
        if known is None:
            return None
        only = {"preconditions": {"uid": known.uid}} if known.uid else {}
        return Job(key, Urgency.SPEC, "DELETE", NODE_COLOCATIONS.path(node.name), msgspec.json.encode(only), label)
    owner = [{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": facts.uid}]
    if known is None:
        whole = {
            "apiVersion": NODE_COLOCATIONS.group_version,
            "kind": "NodeColocation",
            "metadata": {"name": node.name, "ownerReferences": owner},
            "spec": _without_none(msgspec.to_builtins(spec)),
        }
        return Job(key, Urgency.SPEC, "POST", NODE_COLOCATIONS.path(), msgspec.json.encode(whole), label)
    patch: dict[str, Any] = {}
    urgency = Urgency.SPEC
    if known.spec == spec:
        msgspec.structs.force_setattr(known, "spec", spec)  # rows and all: one copy is enough
    else:
        # The whole object, with null for absent fields: a merge patch removes a field by null.
        patch["spec"] = spec
        if known.spec is not None and msgspec.structs.replace(known.spec, fleet_scores=spec.fleet_scores) == spec:
            urgency = Urgency.LATER
    if known.owner_uid != facts.uid:
        patch["metadata"] = {"ownerReferences": owner}
    if not patch:
        node.agree(facts, spec)
        return None
    if known.resource_version:  # if it was written since: 409, decide again
        patch["metadata"] = {**patch.get("metadata", {}), "resourceVersion": known.resource_version}
    return Job(key, urgency, "PATCH", NODE_COLOCATIONS.path(node.name), msgspec.json.encode(patch), label)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
