"""The computation as a tree of named terms that add up to the published number.

The JSON form is versioned (`SCHEMA`) and documented in docs/explain.schema.json; command line, Ansible module
and console all show this one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct

from colocation.budget.compute import Budget
from colocation.budget.evaluate import Evaluation, ReportView
from colocation.budget.levers import levers
from colocation.budget.select import Selection
from colocation.budget.sums import NONE_KNOWN, KnownPeaks, Resource, estimate
from colocation.budget.window import Windows
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.quantity import human_bytes, human_millicores

SCHEMA: Final = "colocation.openfuyao.com/explain/v1"
TOP_PODS: Final = 10


class Term(Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of the sum: its signed value, where it comes from, and the terms it is made of."""

    name: str
    value: int
    source: str
    terms: tuple[Term, ...] = ()


class ResourceExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One resource from capacity to the published number. Values in millicores or bytes."""

    unit: str
    terms: tuple[Term, ...]
    free: int
    """The terms' sum."""
    ceiling: int
    quantum: int
    result: int
    """free, clamped to 0 .. ceiling, down to a quantum; 0 with a problem."""
    problem: str | None
    headroom: int
    """Smallest result of the grow window."""
    rises_in_seconds: float | None
    allocated: int
    allocated_running: int
    on_node: int | None
    """What the Node carries now."""
    published: int | None
    """The amount to publish: equal to on_node, except while a write is under way."""
    summary: str


class PolicyExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which policy counts, and why."""

    name: str | None
    generation: int | None
    reason: str
    others: tuple[str, ...]


class ReportExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which report counts."""

    observed_at: str | None
    age_seconds: float | None
    since_manager_start: bool
    problem: str | None
    suspicions: tuple[str, ...]
    """What in it cannot be true; the number is computed all the same, and bounded by maxPercent."""


class GateExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """May new BE pods come, and if not, why."""

    open: bool
    max_pods: int | None
    closed_reasons: tuple[str, ...]


class PodExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the pods that take most."""

    name: str
    qos: str
    cpu: int
    cpu_rule: str
    memory: int
    memory_rule: str


class EvictionExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One pod of the list from which the agent asks for one to leave, the first choice first."""

    pod: str
    """namespace/name; a uid where the node has no best-effort pod of it."""
    reason: str
    message: str
    next: bool
    """The manager evicts this one, or is about to."""
    refused: str | None
    """What the API server answered when it refused to evict the pod."""


class Explanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a node has the number it has."""

    schema: str
    node: str
    reason: str
    withdrawn: str | None
    policy: PolicyExplanation
    report: ReportExplanation
    cpu: ResourceExplanation | None
    memory: ResourceExplanation | None
    gate: GateExplanation
    online_pods: int
    be_pods: int
    top_pods: tuple[PodExplanation, ...]
    would_change: tuple[str, ...]
    """What would change the number, the most telling first."""
    be_cpu_used: int | None
    be_memory_used: int | None
    evictions: tuple[EvictionExplanation, ...] = ()
    left_out: tuple[str, ...] = ()
    """Best-effort pods that cannot be in the spec, and why: they get no limits."""


def explain(
    node: NodeFacts,
    selection: Selection,
    report: ReportView,
    pods: Collection[PodFacts],
    evaluation: Evaluation,
    windows: Windows,
    now: float,
    *,
    evictions: tuple[EvictionExplanation, ...] = (),
    left_out: tuple[str, ...] = (),
    siblings: KnownPeaks = NONE_KNOWN,
) -> Explanation:
    """Tell an evaluation as a tree: its own sums, and of the ``pods`` behind them those that take most."""
    winner = selection.winner
    status = report.status
    top = top_pods(node, pods, report, selection, siblings=siblings)
    engine = status.engine if status is not None else None
    return Explanation(
        schema=SCHEMA,
        node=node.name,
        reason=summarize(evaluation),
        withdrawn=evaluation.withdraw,
        policy=PolicyExplanation(
            name=winner.name if winner else None,
            generation=winner.generation if winner else None,
            reason=selection.reason,
            others=selection.losers,
        ),
        report=ReportExplanation(
            observed_at=status.observed_at if status else None,
            age_seconds=None if report.arrived is None else round(now - report.arrived, 1),
            since_manager_start=report.since_start,
            problem=report.problem,
            suspicions=tuple(report.suspicions.values()),
        ),
        cpu=_resource(evaluation.cpu, evaluation, node, windows, now),
        memory=_resource(evaluation.memory, evaluation, node, windows, now),
        gate=GateExplanation(
            open=evaluation.decision.gate is not None,
            max_pods=evaluation.decision.gate,
            closed_reasons=evaluation.decision.closed,
        ),
        online_pods=sum(pod.qos is not Qos.BE for pod in pods),
        be_pods=sum(pod.qos is Qos.BE for pod in pods),
        top_pods=top,
        would_change=levers(node, evaluation, windows, now),
        be_cpu_used=engine.cpu_used if engine else None,
        be_memory_used=engine.memory_used if engine else None,
        evictions=evictions,
        left_out=left_out,
    )


def summarize(evaluation: Evaluation) -> str:
    """One sentence: what limits this node's number now."""
    if evaluation.withdraw is not None:
        return f"withdrawn: {evaluation.withdraw}"
    parts = [
        f"{budget.resource}: {_limit(budget, headroom)}"
        for budget, headroom in (
            (evaluation.cpu, evaluation.headroom_cpu),
            (evaluation.memory, evaluation.headroom_memory),
        )
        if budget is not None
    ]
    if evaluation.decision.closed:
        parts.insert(0, "closed to new BE pods: " + " and ".join(evaluation.decision.closed))
    if evaluation.held:
        parts.append("held until the agent reports again (the manager has just started)")
    return "; ".join(parts)


def _limit(budget: Budget, headroom: int) -> str:
    say = _say(budget.resource)
    if budget.problem:
        return f"nothing, because {budget.problem}"
    if headroom < budget.result:
        return f"{say(headroom)}, growing to {say(budget.result)} when that has lasted"
    if budget.free <= 0:
        taken = say(budget.capacity - budget.free)
        return f"nothing, because online use, system and margin take {taken} of {say(budget.capacity)}"
    if budget.free > budget.ceiling:
        return f"{say(headroom)}, the most that maxPercent allows"
    return f"{say(headroom)} of {say(budget.capacity)} left beside online use {say(budget.online)}"


def _resource(
    budget: Budget | None, evaluation: Evaluation, node: NodeFacts, windows: Windows, now: float
) -> ResourceExplanation | None:
    if budget is None:
        return None
    cpu = budget.resource is Resource.CPU
    window = windows.cpu if cpu else windows.memory
    rises = window.rises_at()
    allocated = evaluation.allocated
    headroom = evaluation.headroom_cpu if cpu else evaluation.headroom_memory
    terms = _terms(budget, evaluation, now)
    return ResourceExplanation(
        unit="millicores" if cpu else "bytes",
        terms=terms,
        free=budget.free,
        ceiling=budget.ceiling,
        quantum=budget.quantum,
        result=budget.result,
        problem=budget.problem,
        headroom=headroom,
        rises_in_seconds=None if rises is None else round(max(0.0, rises - now), 1),
        allocated=allocated.cpu if cpu else allocated.memory,
        allocated_running=allocated.cpu_running if cpu else allocated.memory_running,
        on_node=node.published.cpu if cpu else node.published.memory,
        published=evaluation.decision.cpu if cpu else evaluation.decision.memory,
        summary=_limit(budget, headroom),
    )


def _terms(budget: Budget, evaluation: Evaluation, now: float) -> tuple[Term, ...]:
    """The sum, each term with the policy or the report that it comes from."""
    say = _say(budget.resource)
    winner, arrived = evaluation.selection.winner, evaluation.report.arrived
    assert winner is not None  # noqa: S101 - without one there is no budget
    oversell = winner.spec.oversell.cpu if budget.resource is Resource.CPU else winner.spec.oversell.memory
    policy = f"policy {winner.name}"
    report = "report" if arrived is None else f"report, {now - arrived:.0f} s old"
    measured = "not measured" if budget.system_usage is None else f"measured {say(budget.system_usage)}"
    annotated = f", annotation {say(budget.annotated)}" if budget.annotated else ""
    system = f"{report}: max({measured} outside pods, reserved {say(budget.reserved)}{annotated})"
    kept = f"{policy}: reclaimPercent {oversell.reclaim_percent} keeps back the rest"
    online = (
        f"{report}: HLS and LS pods, strategy {oversell.strategy} of {policy}{_forecast_source(budget, evaluation)}"
    )
    return (
        Term(name="capacity", value=budget.capacity, source="Node.status.capacity"),
        Term(name="margin", value=-budget.margin, source=kept),
        Term(name="system", value=-budget.system, source=system),
        Term(name="online", value=-budget.online, source=online),
        Term(name="unrequested", value=-budget.unrequested, source=f"{report}: use of BE pods that asked for no be-*"),
        Term(
            name="overhead", value=-budget.overhead, source="RuntimeClass overhead of BE pods, in plain cpu and memory"
        ),
    )


def _forecast_source(budget: Budget, evaluation: Evaluation) -> str:
    """How the common forecast of the learnt pods is computed, if it is used."""
    winner, status = evaluation.selection.winner, evaluation.report.status
    if winner is None or status is None or status.forecasts is None:
        return ""
    cpu = budget.resource is Resource.CPU
    forecast = status.forecasts.cpu if cpu else status.forecasts.memory
    oversell = winner.spec.oversell.cpu if cpu else winner.spec.oversell.memory
    if forecast is None or oversell.strategy != "predicted":
        return ""
    say = _say(budget.resource)
    return (
        f"; learnt pods together: now {say(forecast.usage)}, peak within an hour {say(forecast.expected)} "
        f"+ margin {say(max(0, forecast.peak - forecast.expected))} = {say(forecast.peak)} "
        f"(violations allowed {forecast.violation_budget / 10_000:g} %, seen {forecast.violations / 10_000:.2f} %; "
        f"peaks one by one: {say(forecast.pod_peaks)})"
    )


def top_pods(
    node: NodeFacts,
    pods: Collection[PodFacts],
    report: ReportView,
    selection: Selection,
    most: int = TOP_PODS,
    siblings: KnownPeaks = NONE_KNOWN,
) -> tuple[PodExplanation, ...]:
    """The online pods that take the largest part of the node, be it of its cpu or of its memory."""
    if selection.winner is None or report.status is None:
        return ()
    oversell = selection.winner.spec.oversell
    rows = {row.uid: row for row in report.status.pods}
    explained = []
    for pod in pods:
        if pod.qos is Qos.BE:
            continue
        row = rows.get(pod.cgroup_uid)
        cpu = estimate(pod, row, Resource.CPU, oversell.cpu.strategy, siblings.get(pod.workload))
        memory = estimate(pod, row, Resource.MEMORY, oversell.memory.strategy, siblings.get(pod.workload))
        explained.append(
            PodExplanation(
                name=pod.name,
                qos=pod.qos,
                cpu=cpu.amount,
                cpu_rule=cpu.rule,
                memory=memory.amount,
                memory_rule=memory.rule,
            )
        )
    size = max(1, node.cpu_capacity), max(1, node.memory_capacity)
    explained.sort(key=lambda p: (-max(p.cpu / size[0], p.memory / size[1]), p.name))
    return tuple(explained[:most])


def _say(resource: Resource) -> Callable[[int], str]:
    return human_millicores if resource is Resource.CPU else human_bytes
