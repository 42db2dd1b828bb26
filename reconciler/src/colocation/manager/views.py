"""What the HTTP server answers: one node explained, and the cluster in one table. Runs on the loop's thread.

It returns Structs and plain values that do not change any more: they are encoded on the thread that answers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from colocation import budget
from colocation.budget import Candidate
from colocation.budget.explain import phrases, summarize
from colocation.manager.loop import Loop
from colocation.manager.node import NodeState
from colocation.model.answers import Amounts, Carried, Explanation, Row, WhatIf
from colocation.model.facts import NodeFacts, Qos
from colocation.model.phrase import say, say_all


def explain(loop: Loop, name: str, now: float) -> Explanation | None:
    """The explanation of a node; None if there is no such node."""
    node = loop.state.nodes.get(name)
    if node is None or node.facts is None or node.evaluation is None or node.selection is None:
        return None
    return budget.explain(
        node.facts,
        node.selection,
        node.report,
        list(node.pods.values()),
        node.evaluation,
        node.windows,
        now,
        evictions=(*loop.evictions.explanations(node, now), *loop.moves.explanations(node)),
        left_out=node.left_out,
        siblings=node.sums.siblings if node.sums is not None else budget.NONE_KNOWN,
    )


def rows(loop: Loop, now: float, nodes: Sequence[str]) -> list[Row]:
    """These nodes in the report, as far as they take part or carry something of ours."""
    known = [loop.state.nodes[name] for name in nodes if name in loop.state.nodes]
    return [
        _row(node, node.facts, now)
        for node in known
        if node.facts is not None and (node.facts.takes_part or not node.facts.published.absent)
    ]


def _row(node: NodeState, facts: NodeFacts, now: float) -> Row:
    evaluation, status, arrived = node.evaluation, node.report.status, node.report.arrived
    online = [pod for pod in node.pods.values() if pod.qos is not Qos.BE]
    used = status.node if status else None
    engine = status.engine if status else None
    winner = node.selection.winner if node.selection else None
    pressure = status.pressure if status else None
    capabilities = status.capabilities if status else None
    requests = status.eviction_requests if status else ()
    written = node.written_at
    return Row(
        node=node.name,
        policy=winner.name if winner else None,
        open=facts.published.gate is not None,
        withdrawn=say(evaluation.withdraw) if evaluation and evaluation.withdraw else None,
        report_age_seconds=None if arrived is None else round(now - arrived, 1),
        online_pods=len(online),
        be_pods=len(node.pods) - len(online),
        cpu=Amounts(
            capacity=facts.cpu_capacity,
            online_requested=sum(pod.cpu for pod in online),
            used=used.cpu if used else None,
            published=facts.published.cpu,
            allocated=evaluation.allocated.cpu if evaluation else 0,
            used_by_be=engine.cpu_used if engine else None,
        ),
        memory=Amounts(
            capacity=facts.memory_capacity,
            online_requested=sum(pod.memory for pod in online),
            used=used.memory if used else None,
            published=facts.published.memory,
            allocated=evaluation.allocated.memory if evaluation else 0,
            used_by_be=engine.memory_used if engine else None,
        ),
        reason=summarize(evaluation) if evaluation else "not evaluated yet",
        reasons=phrases(evaluation) if evaluation else (),
        withdrawal=evaluation.withdrawal if evaluation else None,
        pressure_cpu=pressure.cpu if pressure else None,
        pressure_memory=pressure.memory if pressure else None,
        throttled_pods=engine.throttled_pods if engine else None,
        cpu_quota=engine.cpu_quota if engine else None,
        suspicions=tuple(node.report.suspicions),
        published_age_seconds=None if written is None else round(now - written, 1),
        eviction_requests=len(requests),
        starved=sum(one.reason == "CpuStarved" for one in requests),
        engine=engine.mode if engine else None,
        kernel=capabilities.kernel or None if capabilities else None,
        cgroup_version=capabilities.cgroup_version or None if capabilities else None,
        agent_version=status.agent_version or None if status else None,
    )


def names_of(loop: Loop, _now: float) -> list[str]:
    """All nodes, by name."""
    return sorted(loop.state.nodes)


def simulate(
    loop: Loop, now: float, wanted: Sequence[Candidate], gone: Collection[str], nodes: Sequence[str]
) -> list[WhatIf]:
    """What these nodes carry, and would carry under these policies in the place of those of the same name."""
    rows: list[WhatIf] = []
    replaced = {*gone, *(candidate.name for candidate in wanted)}
    for name in nodes:
        node = loop.state.nodes.get(name)
        if node is None or node.facts is None or not node.facts.takes_part:
            continue
        others = [c for c in loop.state.candidates(name) if c.name not in replaced]
        selection = budget.select_policy([*others, *wanted], node.facts.labels)
        by = budget.strategies(selection, node.report.status)
        sums = node.sums
        if sums is None or sums.strategies != by:
            sums = budget.add_up(node.pods.values(), node.report.status, by, node.gone_be, loop.state.workloads)
        result = budget.what_if(node.facts, selection, node.report, sums, now, loop.state.hearing)
        held, winner = node.facts.published, node.selection.winner if node.selection else None
        rows.append(
            WhatIf(
                node=name,
                now=_carries(winner.name if winner else None, held.cpu, held.memory, held.gate),
                then=_carries(result.policy, result.decision.cpu, result.decision.memory, result.decision.gate),
                reason=say_all(result.reasons),
                reasons=result.reasons,
                allocated_cpu=sums.allocated.cpu,
                allocated_memory=sums.allocated.memory,
            )
        )
    return rows


def _carries(policy: str | None, cpu: int | None, memory: int | None, gate: int | None) -> Carried:
    return Carried(policy=policy, cpu=cpu, memory=memory, open=gate is not None, max_pods=gate)
