"""The record of a changed published number, as one line and for the log: enough to explain the change later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from colocation.budget.compute import Budget
from colocation.budget.evaluate import Evaluation
from colocation.budget.sums import Resource
from colocation.model import names
from colocation.model.answers import PodExplanation
from colocation.model.facts import Published
from colocation.model.phrase import say, say_all
from colocation.model.quantity import human_bytes, human_millicores

_TERMS: Final = ("capacity", "margin", "system", "online", "unrequested", "overhead")
PERCENT: Final = 10
"""A change by more than this ratio is recorded."""


def moved(before: Published, after: Published) -> bool:
    """A key came, went, or changed by more than `PERCENT` of what it was."""
    return any(_far(b, a) for b, a in ((before.cpu, after.cpu), (before.memory, after.memory)))


def _far(before: int | None, after: int | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) * 100 > before * PERCENT


def direction(before: Published, after: Published, evaluation: Evaluation) -> str:
    """The Event's reason, in one word."""
    if evaluation.withdraw is not None:
        return "Withdrawn"
    if before.cpu is None:
        return "Published"
    fell = (after.cpu or 0) < (before.cpu or 0) or (after.memory or 0) < (before.memory or 0)
    return "PublishedDecreased" if fell else "PublishedIncreased"


def one_line(
    before: Published, after: Published, evaluation: Evaluation, age: float | None, top: Sequence[PodExplanation]
) -> str:
    """Every term of both sums, the policy, the report's age, and the pods that take most."""
    parts = [
        f"{names.BE_CPU} {_value(before.cpu, Resource.CPU)} -> {_value(after.cpu, Resource.CPU)}, "
        f"{names.BE_MEMORY} {_value(before.memory, Resource.MEMORY)} -> {_value(after.memory, Resource.MEMORY)}"
    ]
    if evaluation.withdraw is not None:
        parts.append(f"withdrawn: {say(evaluation.withdraw)}")
    parts += [_sum(budget, evaluation) for budget in (evaluation.cpu, evaluation.memory) if budget is not None]
    if evaluation.decision.closed and not evaluation.withdraw:
        parts.append(f"closed: {say_all(evaluation.decision.closed)}")
    winner = evaluation.selection.winner
    parts.append(f"policy {winner.name} generation {winner.generation}" if winner else evaluation.selection.reason)
    if age is not None:
        parts.append(f"report {age:.0f} s old")
    parts += ["top: " + ", ".join(f"{p.name} {human_millicores(p.cpu)} {human_bytes(p.memory)}" for p in top)] * bool(
        top
    )
    return "; ".join(parts)


def log_fields(evaluation: Evaluation, age: float | None, top: Sequence[PodExplanation]) -> dict[str, Any]:
    """The same for programs: keys of one log record."""
    winner = evaluation.selection.winner
    fields: dict[str, Any] = {
        "policy": winner.name if winner else None,
        "generation": winner.generation if winner else None,
        "report_age_seconds": None if age is None else round(age, 1),
    }
    for budget, headroom in (
        (evaluation.cpu, evaluation.headroom_cpu),
        (evaluation.memory, evaluation.headroom_memory),
    ):
        if budget is not None:
            fields[budget.resource] = {
                **{name: getattr(budget, name) for name in _TERMS},
                "result": budget.result,
                "headroom": headroom,
                "problem": budget.problem,
            }
    allocated = evaluation.allocated
    fields["allocated"] = {"cpu": allocated.cpu, "memory": allocated.memory}
    fields["top"] = {pod.name: [pod.cpu, pod.memory] for pod in top}
    return fields


def _sum(budget: Budget, evaluation: Evaluation) -> str:
    cpu = budget.resource is Resource.CPU
    say = human_millicores if cpu else human_bytes
    headroom, allocated = (
        (evaluation.headroom_cpu, evaluation.allocated.cpu)
        if cpu
        else (evaluation.headroom_memory, evaluation.allocated.memory)
    )
    if budget.problem:
        return f"{budget.resource}: nothing, because {budget.problem}"
    return (
        f"{budget.resource}: {say(budget.capacity)} - margin {say(budget.margin)} - system {say(budget.system)} "
        f"- online {say(budget.online)} - unrequested {say(budget.unrequested)} - overhead {say(budget.overhead)} "
        f"= {say(budget.free)}, "
        f"result {say(budget.result)}, headroom {say(headroom)}, allocated {say(allocated)}"
    )


def _value(value: int | None, resource: Resource) -> str:
    if value is None:
        return "none"
    return human_millicores(value) if resource is Resource.CPU else human_bytes(value)
