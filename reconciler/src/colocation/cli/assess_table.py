"""The assessment for a terminal, and as rows for a spreadsheet."""

from __future__ import annotations

import csv
import io
import time
from typing import Final

import yaml

from colocation.assess.assessment import Assessment
from colocation.assess.figures import Figures
from colocation.assess.recommend import GI, Advice, PoolReport
from colocation.assess.shape import Workload
from colocation.cli.common import table
from colocation.text import printable

_NODES: Final = 10
_WORKLOADS: Final = 10


def render(report: Assessment) -> str:
    """For people."""
    parts = [
        _head(report),
        _pools(report),
        *(_advice(pool) for pool in report.pools),
        _worth(report),
        _since(report),
        _nodes(report),
        _workloads("Look like best-effort work:", report.candidates),
        _workloads("Online, and hurt by a busier node:", report.at_risk),
        _lines("In the way:", report.obstacles),
        _lines("Not known, and what that costs:", report.notes),
        "Policies to apply (`-o policies` prints them alone):\n\n"
        + "---\n".join(yaml.safe_dump(pool.policy, sort_keys=False) for pool in report.pools),
    ]
    return "\n".join(part for part in parts if part)


def as_csv(report: Assessment) -> str:
    """One row per node."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = ("capacity", "requested", "used", "used_p95", "used_peak", "published", "published_p5")
    rows.writerow(
        ["node", "pool", "covered"]
        + [f"{resource}_{name}" for resource in ("cpu", "memory") for name in (*names, "violations")]
    )
    for node in report.nodes:
        row: list[str | int | float] = [node.name, node.pool, round(node.covered, 4)]
        for figures, violations in ((node.cpu, node.violations_cpu), (node.memory, node.violations_memory)):
            row += [round(getattr(figures, name)) for name in names]
            row.append(round(violations, 6))
        rows.writerow(row)
    return text.getvalue()


def when(at: int) -> str:
    """A moment, UTC."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def _head(report: Assessment) -> str:
    cluster = f"{report.cluster}, " if report.cluster else ""
    return (
        f"{cluster}{report.nodes_replayed} nodes, {report.pods:,} pods, {when(report.start)} to {when(report.end)} "
        f"UTC, from {report.source}\nRisk {100 * report.risk:g}%: share of node-time in which an hour's peak may "
        "exceed the forecast.\n"
    )


def _pools(report: Assessment) -> str:
    rows = [["POOL", "NODES", "RESOURCE", "CAPACITY", "REQUESTED", "USED", "P95", "PEAK", "PUBLISHED", "95% OF TIME"]]
    for pool in report.pools:
        rows += [_row(pool.name, pool.nodes, "cpu", pool.cpu), _row("", 0, "memory", pool.memory)]
    if len(report.pools) > 1:
        rows += [_row("all", report.nodes_replayed, "cpu", report.cpu), _row("", 0, "memory", report.memory)]
    return table(rows, frozenset({1, *range(3, 10)}))


def _row(name: str, nodes: int, resource: str, one: Figures) -> list[str]:
    share = [one.requested, one.used, one.used_p95, one.used_peak, one.published, one.published_p5]
    cells = [f"{100 * value / one.capacity:.0f}%" if one.capacity else "-" for value in share]
    return [name, str(nodes or ""), resource, amount(resource, one.capacity), *cells]


def amount(resource: str, value: float) -> str:
    """Cores or GiB."""
    return f"{value / 1000:,.1f} cores" if resource == "cpu" else f"{value / GI:,.1f} GiB"


def _advice(pool: PoolReport) -> str:
    rows = [["RESOURCE", "", "BUDGET", "VIOLATIONS", "SEVERITY", "PUBLISHED", "95% OF TIME"]]
    for resource, advice in (("cpu", pool.advice_cpu), ("memory", pool.advice_memory)):
        steps = (("one step less", advice.less), ("recommended", advice.chosen), ("one step more", advice.more))
        rows += [
            [
                resource, name, step.budget, f"{100 * step.violations:.2f}%", f"{100 * step.severity:.1f}%",
                amount(resource, step.published), amount(resource, step.published_p5),
            ]
            for name, step in steps
            if step is not None
        ]  # fmt: skip
    late = "".join(
        f"Even the smallest violation budget exceeds the risk for {resource}.\n"
        for resource, advice in (("cpu", pool.advice_cpu), ("memory", pool.advice_memory))
        if not advice.met
    )
    work = pool.behaviour
    return (
        f"Pool {pool.name}, strategy predicted:\n{table(rows, frozenset(range(2, 7)))}{late}"
        f"Best-effort work that takes everything, at most: published shrinks {work.shrinks_per_node_day:.1f} times "
        f"a node and day, closed to new pods {100 * work.closed:.1f}% of the time, evictions "
        f"{work.evictions_memory_per_node_day:.2f} for memory and {work.evictions_cpu_per_node_day:.2f} for CPU.\n"
        f"Mean published by strategy and reclaimPercent:\n{_percents(pool)}"
    )


def _percents(pool: PoolReport) -> str:
    lines: list[list[str]] = []
    for resource, advice in (("cpu", pool.advice_cpu), ("memory", pool.advice_memory)):
        columns = _columns(advice)
        lines.append([resource.upper(), *(f"{percent}%" for percent in columns)])
        lines += [
            [strategy, *(f"{100 * by[percent]:.1f}%" for percent in columns)]
            for strategy, by in advice.percents.items()
        ]
    return table(lines, frozenset(range(1, 6))) if lines else ""


def _columns(advice: Advice) -> list[str]:
    return sorted({percent for by in advice.percents.values() for percent in by}, key=int)


def _worth(report: Assessment) -> str:
    one = report.worth
    money = ""
    if one.money_per_month is not None:
        low, high = one.money_per_month
        money = f", {low:,.0f} to {high:,.0f} {one.currency}".rstrip() + " a month"
    return (
        f"Worth: {one.cores[0]:,.1f} to {one.cores[1]:,.1f} cores, {one.gib[0]:,.1f} to {one.gib[1]:,.1f} GiB, "
        f"as {one.nodes[0]:,.1f} to {one.nodes[1]:,.1f} nodes{money} "
        "(from what is there 95% of the time to the mean).\n"
    )


def _since(report: Assessment) -> str:
    one = report.since
    if one is None:
        return ""
    rows = [["RESOURCE", "FORETOLD", "90% OF TIME", "PUBLISHED", "ALLOCATED", "USED", "AGREES"]]
    for resource, what in (("cpu", one.cpu), ("memory", one.memory)):
        between = f"{amount(resource, what.foretold_p5)} to {amount(resource, what.foretold_p95)}"
        happened = [amount(resource, value) for value in (what.published, what.allocated, what.used)]
        rows.append([resource, amount(resource, what.foretold), between, *happened, "yes" if what.agrees else "no"])
    head = f"Since {when(one.start)} UTC {one.nodes:.0f} nodes published, {one.evictions:.0f} evictions; foretold:"
    return f"{head}\n{table(rows, frozenset(range(1, 6)))}"


def _nodes(report: Assessment) -> str:
    rows = [
        ["NODE", "POOL", "CPU USED", "PUBLISHED", "VIOLATIONS", "MEMORY USED", "PUBLISHED", "VIOLATIONS", "MEASURED"]
    ]
    for node in report.nodes[:_NODES]:
        row = [node.name, node.pool]
        for resource, one, violations in (
            ("cpu", node.cpu, node.violations_cpu),
            ("memory", node.memory, node.violations_memory),
        ):
            used = f"{100 * one.used / one.capacity:.0f}%" if one.capacity else "-"
            row += [used, amount(resource, one.published), f"{100 * violations:.2f}%"]
        rows.append([*row, f"{100 * node.covered:.0f}%"])
    more = f"and {len(report.nodes) - _NODES} more: -o csv\n" if len(report.nodes) > _NODES else ""
    return "Nodes that carry most of it:\n" + table(rows, frozenset(range(2, 9))) + more


def _workloads(title: str, workloads: list[Workload]) -> str:
    if not workloads:
        return ""
    rows = [["NAMESPACE", "WORKLOAD", "PODS", "CPU", "MEMORY", "WHY"]]
    rows += [
        [w.namespace, w.name, str(w.pods), amount("cpu", w.cpu_request), amount("memory", w.memory_request),
         "; ".join(w.reasons)]
        for w in workloads[:_WORKLOADS]
    ]  # fmt: skip
    return f"{title}\n{table(rows, frozenset({2, 3, 4}))}"


def _lines(title: str, lines: list[str]) -> str:
    return "".join([f"{title}\n", *(f"  - {printable(line)}\n" for line in lines)]) if lines else ""
