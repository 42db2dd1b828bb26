"""The computation as a tree of named terms that add up to the published number.

The JSON form is versioned (`SCHEMA`) and documented in docs/explain.schema.json; command line, Ansible module
and console all show this one.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from colocation.budget.compute import Budget
from colocation.budget.evaluate import Evaluation, ReportView
from colocation.budget.levers import levers
from colocation.budget.select import Selection
from colocation.budget.sums import NONE_KNOWN, KnownPeaks, Resource, estimate
from colocation.budget.window import Windows
from colocation.model.answers import (
    EXPLAIN_SCHEMA,
    EvictionExplanation,
    Explanation,
    GateExplanation,
    PodExplanation,
    PolicyExplanation,
    ReportExplanation,
    ResourceExplanation,
    Term,
)
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.phrase import Phrase, phrase, say, say_all

TOP_PODS: Final = 10
MOST_NAMED: Final = 100
"""Best-effort pods that are named."""


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
    would_change = levers(node, evaluation, windows, now)
    top = top_pods(node, pods, report, selection, siblings=siblings)
    engine = status.engine if status is not None else None
    return Explanation(
        schema=EXPLAIN_SCHEMA,
        node=node.name,
        reason=summarize(evaluation),
        withdrawn=say(evaluation.withdraw) if evaluation.withdraw else None,
        policy=PolicyExplanation(
            name=winner.name if winner else None,
            generation=winner.generation if winner else None,
            reason=selection.reason,
            others=selection.losers,
            reasons=(selection.why,),
        ),
        report=ReportExplanation(
            observed_at=status.observed_at if status else None,
            age_seconds=None if report.arrived is None else round(now - report.arrived, 1),
            since_manager_start=report.since_start,
            problem=report.problem,
            suspicions=tuple(report.suspicions.values()),
            suspicion_codes=tuple(report.suspicions),
        ),
        cpu=_resource(evaluation.cpu, evaluation, node, windows, now),
        memory=_resource(evaluation.memory, evaluation, node, windows, now),
        gate=GateExplanation(
            open=evaluation.decision.gate is not None,
            max_pods=evaluation.decision.gate,
            closed_reasons=tuple(say_all((one,)) for one in evaluation.decision.closed),
            closed_phrases=evaluation.decision.closed,
        ),
        online_pods=sum(pod.qos is not Qos.BE for pod in pods),
        be_pods=sum(pod.qos is Qos.BE for pod in pods),
        top_pods=top,
        would_change=tuple(say_all((one,)) for one in would_change),
        levers=would_change,
        reasons=phrases(evaluation),
        be_cpu_used=engine.cpu_used if engine else None,
        be_memory_used=engine.memory_used if engine else None,
        evictions=evictions,
        left_out=left_out,
        best_effort=tuple(sorted(pod.name for pod in pods if pod.qos is Qos.BE)[:MOST_NAMED]),
    )


def summarize(evaluation: Evaluation) -> str:
    """One sentence: what limits this node's number now."""
    return say_all(phrases(evaluation))


def phrases(evaluation: Evaluation) -> tuple[Phrase, ...]:
    """The same by its parts."""
    if evaluation.withdraw is not None:
        return phrase("withdrawn"), evaluation.withdraw
    parts: list[Phrase] = []
    if evaluation.decision.closed:
        parts += (phrase("closed"), *evaluation.decision.closed)
    for budget, headroom in (
        (evaluation.cpu, evaluation.headroom_cpu),
        (evaluation.memory, evaluation.headroom_memory),
    ):
        if budget is not None:
            parts.append(_limit(budget, headroom))
    if evaluation.held:
        parts.append(phrase("held"))
    return tuple(parts)


def _limit(budget: Budget, headroom: int) -> Phrase:
    say = partial(phrase, resource=budget.resource)
    if budget.problem:
        return say("problem", problem=budget.problem)
    if headroom < budget.result:
        return say("growing", headroom=headroom, result=budget.result)
    if budget.free <= 0:
        return say("taken", taken=budget.capacity - budget.free, capacity=budget.capacity)
    if budget.free > budget.ceiling:
        return say("ceiling", headroom=headroom)
    return say("left", headroom=headroom, capacity=budget.capacity, online=budget.online)


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
    terms, limit = _terms(budget, evaluation, now), _limit(budget, headroom)
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
        summary=say(limit),
        summaries=(limit,),
    )


def _terms(budget: Budget, evaluation: Evaluation, now: float) -> tuple[Term, ...]:
    """The sum, each term with the policy or the report that it comes from."""
    say = partial(phrase, resource=budget.resource)
    winner, arrived = evaluation.selection.winner, evaluation.report.arrived
    assert winner is not None  # noqa: S101 - without one there is no budget
    oversell = winner.spec.oversell.cpu if budget.resource is Resource.CPU else winner.spec.oversell.memory
    report = phrase("report") if arrived is None else phrase("reportAge", ageSeconds=round(now - arrived))
    usage = budget.system_usage
    system = [
        report,
        phrase("largest"),
        say("notMeasured") if usage is None else say("outsidePods", measured=usage),
        say("reserved", reserved=budget.reserved),
        *([say("annotated", annotated=budget.annotated)] if budget.annotated else []),
    ]
    kept = phrase("ofMargin", policy=winner.name, reclaimPercent=oversell.reclaim_percent)
    online = phrase("ofOnline", strategy=oversell.strategy, policy=winner.name)
    return (
        _term("capacity", budget.capacity, phrase("ofCapacity")),
        _term("margin", -budget.margin, kept),
        _term("system", -budget.system, *system),
        _term("online", -budget.online, report, online, *_forecast(budget, evaluation)),
        _term("unrequested", -budget.unrequested, report, phrase("ofUnrequested")),
        _term("overhead", -budget.overhead, phrase("ofOverhead")),
    )


def _term(name: str, value: int, *sources: Phrase) -> Term:
    return Term(name=name, value=value, source=say_all(sources, named=False), sources=sources)


def _forecast(budget: Budget, evaluation: Evaluation) -> tuple[Phrase, ...]:
    """How the common forecast of the learnt pods is computed, if it is used."""
    winner, status = evaluation.selection.winner, evaluation.report.status
    if winner is None or status is None or status.forecasts is None:
        return ()
    cpu = budget.resource is Resource.CPU
    forecast = status.forecasts.cpu if cpu else status.forecasts.memory
    oversell = winner.spec.oversell.cpu if cpu else winner.spec.oversell.memory
    if forecast is None or oversell.strategy != "predicted":
        return ()
    return (
        phrase(
            "ofForecast",
            budget.resource,
            usage=forecast.usage,
            expected=forecast.expected,
            margin=max(0, forecast.peak - forecast.expected),
            peak=forecast.peak,
            allowedPercent=f"{forecast.violation_budget / 10_000:g}",
            seenPercent=f"{forecast.violations / 10_000:.2f}",
            podPeaks=forecast.pod_peaks,
        ),
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
