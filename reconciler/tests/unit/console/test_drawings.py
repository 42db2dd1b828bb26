"""Bars and waterfall: what is drawn is what the budget computed, and its parts add up to the published number."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from colocation import budget
from colocation.budget import Candidate, ReportView, Selection, Windows, explain
from colocation.console import bars
from colocation.console.model import Sums
from colocation.console.shapes import capacity_parts
from colocation.console.waterfall import Step, steps
from colocation.model import names
from colocation.model.answers import ResourceExplanation
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.phrase import phrase
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import NodeColocationStatus, Usage

GI = 2**30
RECT = re.compile(r'<rect class="(\w+)" x="([0-9.]+)" width="([0-9.]+)" height="10"/>')


def drawn(bar: Markup) -> list[tuple[str, float, float]]:
    """Kind, start and end of each part, in percent."""
    return [(kind, float(x), float(x) + float(width)) for kind, x, width in RECT.findall(bar)]


@st.composite
def explained(draw: st.DrawFn) -> ResourceExplanation:
    """What the budget says of one node, whatever it is, what runs there, and what its policy wants."""
    percent = st.integers(0, 100)
    capacity, memory = draw(st.integers(1, 256_000)), draw(st.integers(GI, 2048 * GI))
    spec = PolicySpec(
        oversell=Oversell(
            cpu=OversellCpu(strategy="usage", reclaim_percent=draw(percent), max_percent=draw(percent)),
            memory=OversellMemory(strategy="usage", reclaim_percent=draw(percent), max_percent=draw(percent)),
        )
    )
    before = draw(st.none() | st.builds(Published, st.integers(0, 2 * capacity), st.just(memory // 2), st.just(250)))
    node = NodeFacts(
        name="n", uid="N", resource_version="1", labels={names.NODE_LABEL: "true"}, cpu_capacity=capacity,
        cpu_allocatable=capacity, memory_capacity=memory, memory_allocatable=memory,
        **({"published": before} if before else {}),
    )  # fmt: skip
    pods = [
        PodFacts(
            uid=f"b{place}", cgroup_uid=f"b{place}", name=f"d/b{place}", node="n", qos=Qos.BE, running=running, cpu=0,
            memory=0, be_cpu=cpu, be_memory=GI,
        )
        for place, (running, cpu) in enumerate(
            draw(st.lists(st.tuples(st.booleans(), st.integers(0, capacity)), max_size=3))
        )
    ]  # fmt: skip
    use = Usage(cpu=draw(st.integers(0, 2 * capacity)), memory=draw(st.integers(0, 2 * memory)))
    view = ReportView(status=NodeColocationStatus(observed_at="t", system=use), arrived=0, since_start=True)
    selection, windows = Selection(Candidate("p", 1, spec), (), phrase("onlyPolicy")), Windows()
    sums = budget.add_up(pods, view.status, budget.strategies(selection, view.status))
    evaluation = budget.evaluate(node, selection, view, sums, windows, 1, foreign=False)
    found = explain(node, selection, view, pods, evaluation, windows, 1)
    one = found.cpu if draw(st.booleans()) else found.memory
    assert one is not None
    return one


def of(rows: list[Step], kind: str) -> list[Step]:
    return [row for row in rows if row.kind == kind]


@given(explained())
def test_the_steps_of_the_waterfall_add_up_to_what_is_published(found: ResourceExplanation) -> None:
    rows = steps(found)
    (capacity,), terms = of(rows, "capacity"), of(rows, "term")
    results = {row.name: row.value for row in of(rows, "result")}
    assert [row.name for row in rows] == [*(term.name for term in found.terms), *results]
    assert sum(row.value or 0 for row in (capacity, *terms)) == results["free"] == found.free
    result = max(0, min(found.free, found.ceiling)) // found.quantum * found.quantum
    assert results["result"] == (0 if found.problem else result)
    assert (results["headroom"] or 0) <= (results["result"] or 0)
    kept = max(found.allocated_running, min(found.allocated, found.on_node or 0))
    assert results["published"] == max(results["headroom"] or 0, kept)


@given(explained())
def test_the_bars_of_the_waterfall_hang_together_and_have_the_length_of_their_number(
    found: ResourceExplanation,
) -> None:
    rows = steps(found)
    full = max(found.terms[0].value, found.free, found.allocated, found.published or 0, 1)
    level = 0
    for row in rows:
        parts = drawn(row.bar)
        assert all(0 <= start <= end <= 100.02 for _, start, end in parts)
        if row.kind == "result":
            wanted = (0.0, 100 * max(0, row.value or 0) / full)
        else:
            before, level = level, level + (row.value or 0)
            wanted = tuple(100 * max(0, one) / full for one in sorted((before, level)))  # type: ignore[assignment]
        if wanted[1] - wanted[0] < 0.01:
            assert all(end - start < 0.02 for _, start, end in parts), "nothing to draw"
        else:
            ((_, start, end),) = parts
            assert (start, end) == pytest.approx(wanted, abs=0.02)
    assert level == found.free


amounts = st.integers(0, 10**6)


@given(amounts, st.none() | amounts, st.none() | amounts, amounts)
def test_the_parts_of_the_capacity_are_all_of_it(
    capacity: int, used: int | None, by_be: int | None, published: int
) -> None:
    made = capacity_parts(Sums(capacity=capacity, used=used, used_by_be=by_be, published=published))
    sizes = {kind: size for kind, _, size in made.legend}
    assert all(size >= 0 for size in sizes.values())
    assert sizes["be"] + sizes["published"] == max(published, by_be or 0), "what is published, used or not"
    assert sizes["online"] + sizes["be"] == max(used or 0, by_be or 0), "all use"
    taken = sizes["online"] + sizes["be"] + sizes["published"]
    assert sum(sizes.values()) == max(capacity, taken), "and no gap"


@given(st.lists(st.tuples(st.sampled_from(["online", "be"]), st.floats(-10, 1000)), max_size=6), st.floats(-1, 2000))
def test_parts_end_to_end_leave_no_gap_and_do_not_leave_the_bar(parts: list[tuple[str, float]], full: float) -> None:
    found = drawn(bars.stacked(parts, full, mark=full / 2))
    at = 0.0
    for _, start, end in found:
        assert start == pytest.approx(at, abs=0.02 * (len(parts) + 1))
        assert end <= 100.02
        at = end
    total = sum(max(0.0, length) for _, length in parts)
    wanted = 0.0 if full <= 0 else min(100.0, 100 * total / full)
    assert sum(end - start for _, start, end in found) == pytest.approx(wanted, abs=0.02 * (len(parts) + 1))
