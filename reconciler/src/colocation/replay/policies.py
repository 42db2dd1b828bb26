"""Policies on recorded usage: what each would have published, how often, and how well. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from colocation.budget import Candidate, PodSums, Selection, add_up
from colocation.budget.evaluate import Evaluation, ReportView, evaluate
from colocation.budget.window import Windows
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.phrase import phrase
from colocation.model.policy import PolicySpec, part
from colocation.model.report import NodeColocationStatus, PodUsage, Usage
from colocation.model.wire import ColocationPolicy
from colocation.predict.peak import EVERY_SECONDS, Histories
from colocation.predict.together import NOTHING, Wanted
from colocation.replay.shape import REQUEST, STEP_SECONDS, Pod


class Step(Struct, frozen=True):
    """One moment of a replay: what the node carried, and whether that was written now."""

    cpu: int
    memory: int
    written: bool


def replay(
    node: NodeFacts, selection: Selection, reports: Iterable[tuple[NodeColocationStatus, PodSums]], seconds: float
) -> Iterable[Step]:
    """What would have been published, report by report, each ``seconds`` after the one before."""
    windows, now = Windows(), 0.0
    for status, pods in reports:
        view = ReportView(status=status, arrived=now, since_start=True)
        evaluation: Evaluation = evaluate(node, selection, view, pods, windows, now)
        after = Published(evaluation.decision.cpu, evaluation.decision.memory, evaluation.decision.gate)
        yield Step(after.cpu or 0, after.memory or 0, after != node.published)
        node = msgspec.structs.replace(node, published=after)
        now += seconds


def replay_policies(
    policies: Iterable[ColocationPolicy], nodes: list[list[Pod]], result: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Each policy on each node of a trace: figures by policy and resource, parts of one."""
    rows, done = [], 0
    for wire in policies:
        shares: dict[str, list[float]] = {"cpu": [], "memory": []}
        over = {"cpu": 0, "memory": 0}
        writes = 0
        for pods in nodes:
            facts, online = _node(pods)
            candidate = Candidate(wire.metadata.name, 0, wire.spec)
            used = [
                (s.node.cpu or 0, s.node.memory or 0) if s.node else (0, 0) for s, _ in _reports(pods, online, None)
            ]
            steps = replay(
                facts, Selection(candidate, (), phrase("onlyPolicy")), _reports(pods, online, wire.spec), STEP_SECONDS
            )
            # What was published from one report until the next is judged by what was used then.
            for step, (cpu, memory) in zip(steps, [*used[1:], used[-1]], strict=True):
                shares["cpu"].append(step.cpu / facts.cpu_capacity)
                shares["memory"].append(step.memory / facts.memory_capacity)
                over["cpu"] += step.cpu > facts.cpu_capacity - cpu
                over["memory"] += step.memory > facts.memory_capacity - memory
                writes += step.written
            done += 1
            result(done)
        hours = len(shares["cpu"]) * STEP_SECONDS / 3600
        rows += [
            {
                "policy": wire.metadata.name,
                "resource": resource,
                "mean": sum(shares[resource]) / len(shares[resource]),
                "least": min(shares[resource]),
                "most": max(shares[resource]),
                "tooMuch": over[resource] / len(shares[resource]),
                "writes": writes / hours,
            }
            for resource in ("cpu", "memory")[: min(len(pod) for node in nodes for pod in node)]
        ]
    return rows


def _node(pods: list[Pod]) -> tuple[NodeFacts, list[PodFacts]]:
    cpu, memory = REQUEST["cpu"], REQUEST["memory"]
    size = (cpu * len(pods), memory * len(pods))
    facts = NodeFacts("node", "uid", "1", {names.NODE_LABEL: "true"}, size[0], size[0], size[1], size[1])
    return facts, [PodFacts(f"p{i}", f"p{i}", f"p{i}", "node", Qos.LS, True, cpu, memory) for i in range(len(pods))]


def _wanted(spec: PolicySpec, pods: int) -> tuple[Wanted, Wanted]:
    """What the policy has the agent forecast."""
    return (
        Wanted(REQUEST["cpu"] * pods, part(spec.oversell.cpu.violation_budget)),
        Wanted(REQUEST["memory"] * pods, part(spec.oversell.memory.violation_budget)),
    )


def _reports(
    pods: list[Pod], online: list[PodFacts], spec: PolicySpec | None
) -> Iterator[tuple[NodeColocationStatus, PodSums]]:
    """What the agent would have reported, prediction included, and what the pods come to under this policy."""
    by = (spec.oversell.cpu.strategy, spec.oversell.memory.strategy) if spec else None
    histories = Histories() if by and "predicted" in by else None
    wanted = _wanted(spec, len(pods)) if spec else (NOTHING, NOTHING)
    for at in range(min(len(pod[0]) for pod in pods)):
        rows = []
        for number, pod in enumerate(pods):
            percent = [min(100.0, max(0.0, column[at])) for column in pod]
            cpu = int(percent[0] * REQUEST["cpu"] / 100)
            memory = int(percent[1] * REQUEST["memory"] / 100) if len(percent) > 1 else 0
            rows.append(PodUsage(uid=f"p{number}", cpu=cpu, cpu_peak=cpu, memory=memory, memory_peak=memory))
        if histories is not None:
            minutes = int(STEP_SECONDS / EVERY_SECONDS)
            for minute in range(minutes):  # the agent learns each minute, the trace has a value each five
                now = at * STEP_SECONDS + minute * EVERY_SECONDS
                histories.learn(now, rows, [r.uid for r in rows], cpu=wanted[0], memory=wanted[1])
            rows = [histories.with_prediction(row) for row in rows]
        total = Usage(cpu=sum(r.cpu or 0 for r in rows), memory=sum(r.memory or 0 for r in rows))
        status = NodeColocationStatus(observed_at=str(at), node=total, system=Usage(cpu=0, memory=0), pods=tuple(rows))
        yield status, add_up(online, status, by)
