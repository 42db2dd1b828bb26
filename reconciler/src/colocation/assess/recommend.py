"""From figures to advice: a policy for each pool at a stated risk, and what it is worth. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field, structs

from colocation.assess.batch import Tally
from colocation.assess.figures import Figures
from colocation.assess.merge import PoolSums, Sums
from colocation.assess.replay import Plan
from colocation.model import names
from colocation.model.policy import PolicySpec

FACTORS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The violation budgets that are tried, as multiples of the stated risk: a node that spends less can have more."""
FEW_FACTORS: Final = (0.5, 1.0, 2.0)
"""The same for large clusters: each costs time."""
_LEAST, _MOST = 0.1, 20.0
"""Percent; the ends of a policy's range."""
_PERCENT_STEPS: Final = (-20, -10, -5, 0, 5)
GI: Final = 2**30


class Step(Struct, kw_only=True, rename="camel"):
    """One resource under one violation budget."""

    budget: str
    violations: float
    """Share of node-time in which the hour's peak exceeded the forecast."""
    severity: float
    published: float
    """Mean, in millicores or bytes."""
    published_p5: int


class Advice(Struct, kw_only=True, rename="camel"):
    """One resource: what is recommended, and one step to either side; None where the range ends."""

    chosen: Step
    less: Step | None
    more: Step | None
    met: bool
    """The chosen one stays within the stated risk."""
    curve: list[Step]
    percents: dict[str, dict[str, float]]
    """Mean published by strategy and reclaimPercent, as parts of capacity; `predicted` at the stated risk."""


class Behaviour(Struct, kw_only=True, rename="camel"):
    """What best-effort work that takes everything would meet, on average; upper bounds."""

    shrinks_per_node_day: float
    closed: float
    """Share of node-time."""
    evictions_memory_per_node_day: float
    evictions_cpu_per_node_day: float


class Worth(Struct, kw_only=True, rename="camel"):
    """What is published, as amounts that people pay for; from what is there 95 % of the time to the mean."""

    cores: tuple[float, float]
    gib: tuple[float, float]
    nodes: tuple[float, float]
    """Nodes of the average size, by the resource that is scarcer."""
    money_per_month: tuple[float, float] | None = None
    currency: str = ""


class Price(Struct, frozen=True):
    """Of a core and of a GiB for an hour."""

    cpu: float
    memory: float
    currency: str = ""


class PoolReport(Struct, kw_only=True, rename="camel"):
    """One pool."""

    name: str
    nodes: int
    cpu: Figures
    memory: Figures
    advice_cpu: Advice
    advice_memory: Advice
    behaviour: Behaviour
    policy: dict[str, Any]
    rungs: tuple[int, int] = field(default=(0, 0))
    """Positions in the curves."""


def base_policy() -> PolicySpec:
    """Our defaults, except for the percent that may be used in all.

    CPU: up to the target above which best-effort work is held back. Memory: up to where an eviction ends. What is
    published above that could not be used.
    """
    spec = PolicySpec()
    cpu = structs.replace(spec.oversell.cpu, reclaim_percent=spec.suppress.cpu.target_percent)
    memory = structs.replace(spec.oversell.memory, reclaim_percent=spec.evict.memory.low_percent)
    return structs.replace(spec, oversell=structs.replace(spec.oversell, cpu=cpu, memory=memory))


def plan_for(risk: float, *, grid: bool, factors: tuple[float, ...] = FACTORS) -> Plan:
    """What is replayed for a stated risk (a part of one)."""
    spec, budgets = base_policy(), budgets_around(risk, factors)
    cpu, memory = spec.oversell.cpu.reclaim_percent, spec.oversell.memory.reclaim_percent
    return Plan(
        spec=spec,
        cpu_budgets=budgets,
        memory_budgets=budgets,
        cpu_percents=tuple(cpu + by for by in _PERCENT_STEPS) if grid else (),
        memory_percents=tuple(memory + by for by in _PERCENT_STEPS) if grid else (),
        stated=budgets.index(as_budget(risk)),
    )


def budgets_around(risk: float, factors: tuple[float, ...] = FACTORS) -> tuple[str, ...]:
    """The violation budgets that are tried, in rising order and without doubles."""
    return tuple(dict.fromkeys(as_budget(risk * factor) for factor in factors))


def as_budget(share: float) -> str:
    """A part of one as a policy writes it: 0.01 is "1%"."""
    percent = round(min(_MOST, max(_LEAST, share * 100)), 2)
    return f"{percent:.2f}".rstrip("0").rstrip(".") + "%"


def pool_report(pool: PoolSums, risk: float, selector: dict[str, str]) -> PoolReport:
    """Choose, for each resource apart, what publishes most and keeps to the stated risk."""
    cpu, memory = _choose(pool.cpu, risk), _choose(pool.memory, risk)
    return PoolReport(
        name=pool.name,
        nodes=pool.nodes,
        cpu=pool.cpu.figures(cpu),
        memory=pool.memory.figures(memory),
        advice_cpu=_advice(pool.cpu, cpu, risk),
        advice_memory=_advice(pool.memory, memory, risk),
        behaviour=_behaviour(pool.loads[max(cpu, memory)]),
        policy=_policy(pool, selector, pool.cpu.budgets[cpu], pool.memory.budgets[memory]),
        rungs=(cpu, memory),
    )


def worth(nodes: int, cpu: Figures, memory: Figures, price: Price | None) -> Worth:
    """A range, never one number."""
    cores = (cpu.published_p5 / 1000, cpu.published / 1000)
    gib = (memory.published_p5 / GI, memory.published / GI)
    node = (cpu.capacity / 1000 / nodes, memory.capacity / GI / nodes) if nodes else (0.0, 0.0)
    whole = tuple(min(c / node[0], g / node[1]) if all(node) else 0.0 for c, g in zip(cores, gib, strict=True))
    answer = Worth(cores=cores, gib=gib, nodes=(whole[0], whole[1]))
    if price is not None:
        low, high = ((c * price.cpu + g * price.memory) * 730 for c, g in zip(cores, gib, strict=True))
        answer.money_per_month, answer.currency = (low, high), price.currency
    return answer


def _choose(sums: Sums, risk: float) -> int:
    kept = [number for number, judged in enumerate(sums.judged) if judged.rate <= risk]
    return max(kept, key=lambda number: sums.figures(number).published, default=0)


def _advice(sums: Sums, chosen: int, risk: float) -> Advice:
    curve = [
        Step(
            budget=budget,
            violations=sums.judged[number].rate,
            severity=sums.judged[number].severity,
            published=(figures := sums.figures(number)).published,
            published_p5=figures.published_p5,
        )
        for number, budget in enumerate(sums.budgets)
    ]
    percents: dict[str, dict[str, float]] = {}
    for (strategy, percent), offer in sums.grid.items():
        mean = offer.total / max(1, offer.steps) * sums.grid_nodes
        percents.setdefault(strategy, {})[str(percent)] = mean / max(1, sums.grid_capacity)
    return Advice(
        chosen=curve[chosen],
        less=curve[chosen - 1] if chosen else None,
        more=curve[chosen + 1] if chosen + 1 < len(curve) else None,
        met=curve[chosen].violations <= risk,
        curve=curve,
        percents=percents,
    )


def _behaviour(tally: Tally) -> Behaviour:
    days = tally.steps / 288 or 1.0
    return Behaviour(
        shrinks_per_node_day=tally.shrunk / days,
        closed=tally.closed / max(1, tally.steps),
        evictions_memory_per_node_day=tally.evicted_memory / days,
        evictions_cpu_per_node_day=tally.evicted_cpu / days,
    )


def _policy(pool: PoolSums, selector: dict[str, str], cpu: str, memory: str) -> dict[str, Any]:
    """Ready to apply; fields that have our defaults are left out."""
    spec = base_policy().oversell
    one: dict[str, Any] = {
        "apiVersion": f"{names.API_GROUP}/{names.API_VERSION}",
        "kind": "ColocationPolicy",
        "metadata": {"name": _name(pool.name)},
        "spec": {},
    }
    if selector:
        one["spec"]["nodeSelector"] = {"matchLabels": dict(selector)}
    one["spec"]["oversell"] = {
        "cpu": {"strategy": "predicted", "reclaimPercent": spec.cpu.reclaim_percent, "violationBudget": cpu},
        "memory": {"strategy": "predicted", "reclaimPercent": spec.memory.reclaim_percent, "violationBudget": memory},
    }
    return one


def _name(pool: str) -> str:
    """A pool's name as a name in Kubernetes."""
    text = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in pool.lower()).strip("-")
    return text[:63].strip("-") or "default"
