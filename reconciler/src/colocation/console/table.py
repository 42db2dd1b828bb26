"""Rows of the report: states, filter, order, pages and sums. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from msgspec import structs

from colocation.console.model import NodeCounts, NodeRow, Query, State, Sums
from colocation.model.answers import Amounts, Row
from colocation.text import printable

PRESSED_CPU: Final = 25.0
PRESSED_MEMORY: Final = 5.0
"""PSI some avg10 in percent, as the alert ColocationOnlinePressure has them."""
STARVED_PART: Final = 0.5
"""Best-effort pods that may use less than this part of the be-cpu that is allocated, and are held back, starve."""
KEYS: Final = ("capacity", "onlineRequested", "used", "published", "allocated", "usedByBe")
_FIELDS: Final = dict(zip(KEYS, Amounts.__struct_fields__, strict=True))
HEAD: Final = (
    "node", "policy", "open", "age", "be_pods", "resource", "capacity", "requested", "used", "published", "allocated",
    "be_used", "gain", "why",
)  # fmt: skip


def as_rows(rows: Iterable[Row]) -> tuple[NodeRow, ...]:
    """With their states and gains."""
    return tuple(
        NodeRow(
            **{name: getattr(row, name) for name in Row.__struct_fields__},
            states=states(row),
            gain_cpu=gain(row.cpu),
            gain_memory=gain(row.memory),
        )
        for row in rows
    )


def states(row: Row) -> tuple[State, ...]:
    """All that a node is in."""
    found: list[State] = []
    if row.withdrawn is not None:
        found.append("withdrawn")
        if row.withdrawal in ("StaleReport", "NoReport"):
            found.append("stale")
    else:
        found.append("open" if row.open else "closed")
    if (row.pressure_cpu or 0) > PRESSED_CPU or (row.pressure_memory or 0) > PRESSED_MEMORY:
        found.append("pressed")
    if starves(row):
        found.append("starved")
    if row.suspicions:
        found.append("suspect")
    return tuple(found)


def starves(row: Row) -> bool:
    """Best-effort pods get far less CPU than they request, or are to be evicted for it."""
    if row.starved:
        return True
    held_back = bool(row.throttled_pods) and row.cpu_quota is not None
    return held_back and (row.cpu_quota or 0) < row.cpu.allocated * STARVED_PART


def gain(one: Amounts | Sums) -> float | None:
    """Use by best-effort pods in percent of capacity."""
    if one.used_by_be is None or not one.capacity:
        return None
    return round(100 * one.used_by_be / one.capacity, 2)


def count(rows: Iterable[NodeRow]) -> NodeCounts:
    """Nodes by state."""
    found = dict.fromkeys(("open", "closed", "withdrawn", "stale", "pressed", "starved", "suspect"), 0)
    labelled = pods = 0
    for row in rows:
        labelled += row.withdrawal != "Unlabelled"
        pods += row.be_pods
        for state in row.states:
            found[state] += 1
    return NodeCounts(labelled=labelled, be_pods=pods, **found)


def sums(amounts: Iterable[Amounts]) -> Sums:
    """Sums of what is known; what no node knows stays unknown."""
    capacity = requested = published = allocated = known = 0
    used: int | None = None
    by_be: int | None = None
    for one in amounts:
        capacity += one.capacity
        requested += one.online_requested
        published += one.published or 0
        allocated += one.allocated
        if one.used is not None:
            used = (used or 0) + one.used
            known += one.capacity
        if one.used_by_be is not None:
            by_be = (by_be or 0) + one.used_by_be
    found = Sums(
        capacity=capacity,
        online_requested=requested,
        used=used,
        published=published,
        allocated=allocated,
        used_by_be=by_be,
        used_capacity=known,
    )
    return structs.replace(found, gain_percent=gain(found))


def chosen(rows: Sequence[NodeRow], query: Query) -> list[NodeRow]:
    """Those that the filter leaves, in its order. Raises ValueError for an order that there is not."""
    key = order(query.sort)
    found = list(rows)
    if query.policy:
        found = [row for row in found if row.policy == query.policy]
    if query.state:
        wanted = set(query.state)
        found = [row for row in found if wanted.issubset(row.states)]
    if part := query.q.lower():
        found = [row for row in found if part in row.node.lower() or part in (row.policy or "").lower()]
    found.sort(key=_by_name)  # all but free where it is so already, as in the report
    if query.sort == "node":
        return found[::-1] if query.order == "desc" else found
    keys = [key(row) for row in found]
    known = [place for place, value in enumerate(keys) if value is not None]
    known.sort(key=keys.__getitem__, reverse=query.order == "desc")
    return [found[place] for place in known] + [found[p] for p, value in enumerate(keys) if value is None]


_by_name: Final = attrgetter("node")


def order(sort: str) -> Callable[[NodeRow], Any]:
    """What a row is sorted by; None is not known. Raises ValueError."""
    simple: dict[str, Callable[[NodeRow], Any]] = {
        "node": lambda row: row.node,
        "policy": lambda row: row.policy,
        "state": lambda row: row.states,
        "age": lambda row: row.report_age_seconds,
        "bePods": lambda row: row.be_pods,
        "pressure": lambda row: row.pressure_cpu,
        "cpu.gain": lambda row: row.gain_cpu,
        "memory.gain": lambda row: row.gain_memory,
    }
    if sort in simple:
        return simple[sort]
    resource, _, key = sort.partition(".")
    if resource in ("cpu", "memory") and key in _FIELDS:
        field = _FIELDS[key]
        if resource == "cpu":
            return lambda row: getattr(row.cpu, field)
        return lambda row: getattr(row.memory, field)
    raise ValueError(f"no order {sort!r}; there is {', '.join(simple)}, and cpu. or memory. with {', '.join(_FIELDS)}")


def as_csv(rows: Iterable[NodeRow]) -> str:
    """A line a node and resource, as `colocation report -o csv` writes it; what is not known is empty.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; control characters are escaped.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for row in rows:
        for resource, one, gained in (("cpu", row.cpu, row.gain_cpu), ("memory", row.memory, row.gain_memory)):
            amounts = (getattr(one, field) for field in _FIELDS.values())
            head = (_cell(row.node), _cell(row.policy), row.open, row.report_age_seconds, row.be_pods, resource)
            writer.writerow((*head, *amounts, gained, _cell(row.reason)))
    return out.getvalue()


def _cell(text: str | None) -> str | None:
    plain = printable(text or "")
    return f"'{plain}" if plain and plain[0] in "=+-@" else plain or None
