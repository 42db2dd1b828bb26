"""The report as a document, and how it is put together from nodes that were replayed one by one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from msgspec import Struct

from colocation.assess.figures import Figures
from colocation.assess.merge import PoolSums, Sums, WeekHour, add_series
from colocation.assess.recommend import FACTORS, FEW_FACTORS, PoolReport, Price, Worth, plan_for, pool_report, worth
from colocation.assess.replay import WARM_UP, NodeResult, Plan, replay
from colocation.assess.shape import STEP, STEPS_AN_HOUR, Header, NodeTrace, Workload
from colocation.assess.since import Since

VERSION: Final = "colocation.openfuyao.com/assess/v1"
GRID_NODES: Final = 100
"""Strategies and percents are tried on at most this many nodes, drawn evenly."""
FEW_NODES: Final = 200
"""Above this many nodes, three violation budgets are tried in the place of five."""
_ALONE: Final = 4
"""Up to this many nodes are replayed in this process: starting others would take longer."""


class NodeLine(Struct, kw_only=True, rename="camel"):
    """One node."""

    name: str
    pool: str
    cpu: Figures
    memory: Figures
    violations_cpu: float
    violations_memory: float
    covered: float
    """Share of the window in which it was measured."""


class Week(Struct, kw_only=True, rename="camel"):
    """The cluster by the hour of the week, UTC."""

    cpu: list[WeekHour]
    memory: list[WeekHour]


class Assessment(Struct, kw_only=True, rename="camel"):
    """What `colocation assess -o json` prints."""

    version: str = VERSION
    cluster: str
    kubernetes: str
    source: str
    start: int
    """Unix seconds."""
    end: int
    step_seconds: int = STEP
    scrape_seconds: int
    risk: float
    nodes_replayed: int
    pods: int
    cpu: Figures
    memory: Figures
    worth: Worth
    pools: list[PoolReport]
    nodes: list[NodeLine]
    week: Week
    candidates: list[Workload]
    at_risk: list[Workload]
    obstacles: list[str]
    notes: list[str]
    since: Since | None = None
    """After the roll-out: foretold beside happened."""


class Settings(Struct, kw_only=True):
    """What was asked for."""

    risk: float
    price: Price | None = None
    processes: int = 0
    """0: one per CPU."""


class TooLittleError(Exception):
    """Nothing can be counted yet."""


def assess(
    header: Header,
    nodes: Iterable[NodeTrace],
    settings: Settings,
    progress: Callable[[int], None] = lambda _done: None,
) -> Assessment:
    """Replay all nodes. Raises TooLittleError, and whatever ``nodes`` raises."""
    if header.steps <= WARM_UP + STEPS_AN_HOUR:
        raise TooLittleError(
            f"{header.steps * STEP / 3600:.1f} h of use: the first {WARM_UP * STEP // 3600} h are learnt from, and an "
            "hour beyond is needed to count anything. Come back later, or look further back"
        )
    pools: dict[str, PoolSums] = {}
    lines: list[_Line] = []
    stream = _Counted(nodes)
    for result in _replayed(stream, header, settings):
        pools.setdefault(result.pool, PoolSums(result.pool)).add(result)
        lines.append(_line(result))
        progress(len(lines))
    if not lines:
        raise TooLittleError("no node was measured in this window")
    reports = [
        pool_report(pool, settings.risk, header.inventory.selectors.get(name, {}))
        for name, pool in sorted(pools.items())
    ]
    return _document(header, settings, pools, reports, lines, stream)


class _Counted:
    def __init__(self, nodes: Iterable[NodeTrace]) -> None:
        self._nodes = nodes
        self.pods = self.unknown = 0

    def __iter__(self) -> Iterator[NodeTrace]:
        for node in self._nodes:
            self.pods += len({(pod.namespace, pod.name) for pod in node.pods})
            self.unknown += sum(not pod.requests_known for pod in node.pods)
            yield node


def _replayed(nodes: Iterable[NodeTrace], header: Header, settings: Settings) -> Iterator[NodeResult]:
    """In the order of the nodes, on all CPUs; only a few traces are in memory at any time."""
    factors = FACTORS if header.nodes <= FEW_NODES else FEW_FACTORS
    with_grid, without = (plan_for(settings.risk, grid=grid, factors=factors) for grid in (True, False))
    every = max(1, -(-header.nodes // GRID_NODES))
    count = settings.processes or os.cpu_count() or 1

    def plan(at: int) -> Plan:
        return with_grid if at % every == 0 else without

    if count == 1 or header.nodes <= _ALONE:
        for at, node in enumerate(nodes):
            yield replay(node, header.steps, plan(at))
        return
    with ProcessPoolExecutor(count, get_context("forkserver")) as workers:
        waiting: deque[Future[NodeResult]] = deque()
        for at, node in enumerate(nodes):
            waiting.append(workers.submit(replay, node, header.steps, plan(at)))
            while len(waiting) >= 3 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Line(Struct):
    """A node under each violation budget; which one counts is only known when the pool's nodes are added up."""

    name: str
    pool: str
    covered: int
    cpu: list[Figures]
    memory: list[Figures]
    violations: tuple[list[float], list[float]]


def _line(node: NodeResult) -> _Line:
    return _Line(
        node.name,
        node.pool,
        node.covered,
        node.cpu.figures,
        node.memory.figures,
        ([rung.judged.rate for rung in node.cpu.rungs], [rung.judged.rate for rung in node.memory.rungs]),
    )


def _document(
    header: Header,
    settings: Settings,
    pools: dict[str, PoolSums],
    reports: list[PoolReport],
    lines: list[_Line],
    stream: _Counted,
) -> Assessment:
    rungs = {one.name: one.rungs for one in reports}
    cpu = _together([(pool.cpu, rungs[name][0]) for name, pool in pools.items()])
    memory = _together([(pool.memory, rungs[name][1]) for name, pool in pools.items()])
    whole_cpu, whole_memory = cpu.figures(0), memory.figures(0)
    return Assessment(
        cluster=header.inventory.cluster,
        kubernetes=header.inventory.kubernetes,
        source=header.source,
        start=header.start,
        end=header.end,
        scrape_seconds=header.scrape_seconds,
        risk=settings.risk,
        nodes_replayed=len(lines),
        pods=stream.pods,
        cpu=whole_cpu,
        memory=whole_memory,
        worth=worth(len(lines), whole_cpu, whole_memory, settings.price),
        pools=reports,
        nodes=sorted((_node_line(one, rungs[one.pool], header.steps) for one in lines), key=lambda n: -n.cpu.published),
        week=Week(cpu=cpu.week(0, header.start), memory=memory.week(0, header.start)),
        candidates=header.inventory.candidates,
        at_risk=header.inventory.at_risk,
        obstacles=header.inventory.obstacles,
        notes=[*header.notes, *_notes(header, lines, stream)],
    )


def _together(parts: list[tuple[Sums, int]]) -> Sums:
    return Sums(
        capacity=sum(sums.capacity for sums, _ in parts),
        used=add_series(sums.used for sums, _ in parts),
        requested=add_series(sums.requested for sums, _ in parts),
        published=[add_series(sums.published[rung] for sums, rung in parts)],
    )


def _node_line(one: _Line, rungs: tuple[int, int], steps: int) -> NodeLine:
    return NodeLine(
        name=one.name,
        pool=one.pool,
        cpu=one.cpu[rungs[0]],
        memory=one.memory[rungs[1]],
        violations_cpu=one.violations[0][rungs[0]],
        violations_memory=one.violations[1][rungs[1]],
        covered=one.covered / max(1, steps),
    )


def _notes(header: Header, lines: list[_Line], stream: _Counted) -> list[str]:
    notes = []
    hours = header.steps * STEP / 3600
    if hours < 24:
        notes.append(f"Only {hours:.0f} h of use: peaks of other hours of the day are not in it.")
    elif hours < 7 * 24:
        notes.append(f"Only {hours / 24:.1f} days of use: peaks of other days of the week are not in it.")
    gaps = [one for one in lines if one.covered < header.steps * 0.99]
    if gaps:
        notes.append(f"{len(gaps)} nodes were not measured all the time: gaps are left out and count for nothing.")
    if stream.unknown:
        notes.append(
            f"Requests of {stream.unknown} pods that are gone are not known (kube-state-metrics' "
            "kube_pod_container_resource_requests is missing): they count as 0, so what is requested is too low."
        )
    if len(lines) > GRID_NODES:
        every = -(-header.nodes // GRID_NODES)
        notes.append(f"Strategies and percents were tried on one node of {every}; everything else is of all nodes.")
    return notes
