"""Trace files, advice, queries and what is read from series."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.assess import files
from colocation.assess.assessment import Settings, TooLittleError, assess
from colocation.assess.collect import lives, values
from colocation.assess.inventory import pool_of
from colocation.assess.prometheus import Series
from colocation.assess.queries import Dialect, window_for
from colocation.assess.recommend import as_budget, budgets_around
from colocation.assess.shape import STEPS_AN_HOUR, VERSION, Header, NodeTrace, PodTrace
from colocation.assess.workloads import Budgets, advise, owner_of
from colocation.decoding import convert
from colocation.model.policy import BUDGET_PATTERN
from colocation.model.wire import ColocationPolicy, Pod
from tests.assess.synthetic import synthesize, traces

START = 1_700_000_000 // 3600 * 3600


def trace(hours: int = 8, nodes: int = 2) -> tuple[Header, list[NodeTrace]]:
    cluster = synthesize(START, hours, nodes=nodes)
    return (
        Header(version=VERSION, source="test", start=START, steps=cluster.steps, nodes=nodes),
        traces(cluster, START, cluster.steps),
    )


def test_a_trace_file_holds_all_that_was_recorded(tmp_path: Path) -> None:
    header, nodes = trace()
    with files.Recording(tmp_path / "t.gz", header) as recording:
        for node in nodes:
            recording.write(node)
    again, read = files.read(tmp_path / "t.gz")
    assert (again, list(read)) == (header, nodes)
    assert (tmp_path / "t.gz").stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "t.gz"]


def test_a_recording_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.Recording(tmp_path / "t.gz", trace()[0]):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_without_names_the_assessment_is_the_same_and_no_name_is_left(tmp_path: Path) -> None:
    header, nodes = trace()
    renamer = files.Renamer()
    with files.Recording(tmp_path / "t.gz", renamer.header(header), renamer.node) as recording:
        for node in nodes:
            recording.write(node)
    again, read = files.read(tmp_path / "t.gz")
    renamed = list(read)
    text = repr((again, renamed))
    assert not re.search("shop|web|batch|node-0", text)
    asked = Settings(risk=0.01, processes=1)
    one, other = assess(header, nodes, asked), assess(again, renamed, asked)
    assert (one.cpu, one.memory, one.worth) == (other.cpu, other.memory, other.worth)


@pytest.mark.parametrize("content", [b"", b"no trace", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_trace_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.gz"
    path.write_bytes(content)
    with pytest.raises(files.TraceFileError, match="no trace"):
        files.read(path)


def test_too_little_history_gets_a_sentence() -> None:
    header, nodes = trace(hours=7)
    with pytest.raises(TooLittleError, match=r"7\.0 h of use"):
        assess(header, nodes, Settings(risk=0.01, processes=1))
    with pytest.raises(TooLittleError, match="no node"):
        assess(trace()[0], [], Settings(risk=0.01, processes=1))


def test_a_day_is_assessed_and_what_it_lacks_is_said() -> None:
    header, nodes = trace(hours=9)
    report = assess(header, nodes, Settings(risk=0.01, processes=1))
    assert any("Only 9 h of use" in note for note in report.notes)
    for pool in report.pools:
        convert(pool.policy, ColocationPolicy)
        assert pool.policy["spec"]["oversell"]["cpu"]["violationBudget"] == pool.advice_cpu.chosen.budget
    assert report.worth.cores[0] <= report.worth.cores[1]
    assert sum(node.cpu.capacity for node in report.nodes) == report.cpu.capacity == 32_000


def test_processes_beside_each_other_find_the_same() -> None:
    header, nodes = trace(nodes=5)
    asked = [Settings(risk=0.01, processes=count) for count in (1, 2)]
    one, other = (assess(header, nodes, settings) for settings in asked)
    assert one == other


@given(st.floats(0.001, 0.2))
def test_every_budget_that_is_tried_is_one_that_a_policy_takes(risk: float) -> None:
    budgets = budgets_around(risk)
    assert all(re.fullmatch(BUDGET_PATTERN, budget) for budget in budgets)
    assert as_budget(risk) in budgets
    parts = [float(budget[:-1]) for budget in budgets]
    assert parts == sorted(set(parts))


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=60))
def test_lives_hold_every_value_once_and_none_has_a_hole(column: list[int | None]) -> None:
    rows = {"cpu": column}
    found = list(lives("a", "b", rows, len(column)))
    back: list[int | None] = [None] * len(column)
    for one in found:
        assert None not in one.cpu
        back[one.first : one.first + len(one.cpu)] = one.cpu
        assert one.live == (one.first + len(one.cpu) >= len(column) - 1)
    assert back == column
    assert all(a.first + len(a.cpu) < b.first for a, b in pairwise(found))


def test_values_land_where_their_time_says_and_nonsense_lands_nowhere() -> None:
    series = Series({}, [(600.0, "0.5"), (900.0, "NaN"), (1200.0, "-1"), (1500.0, "+Inf"), (9000.0, "1"), (300.0, "2")])
    assert values(series, 0, 300, 6, cpu=True) == [2000, 500, None, None, None, None]


@pytest.mark.parametrize(
    ("scrape", "window"), [(0, 300), (5, 300), (15, 300), (60, 300), (120, 300), (180, 480), (300, 780)]
)
def test_two_scrapes_fall_into_a_rates_window(scrape: int, window: int) -> None:
    assert window_for(scrape) == window


def test_node_names_are_quoted_for_a_regular_expression_in_a_string() -> None:
    assert Dialect(label="instance").nodes(["10.0.0.1:10250", "n-1"]) == 'instance=~"10\\\\.0\\\\.0\\\\.1:10250|n-1"'


def test_pools_go_by_the_providers_labels_or_the_one_that_is_given() -> None:
    labels = {"eks.amazonaws.com/nodegroup": "big", "tier": "gold"}
    assert pool_of(labels, None) == ("big", {"eks.amazonaws.com/nodegroup": "big"})
    assert pool_of(labels, "tier") == ("gold", {"tier": "gold"})
    assert pool_of({"node-role.kubernetes.io/control-plane": ""}, None)[0] == "control-plane"
    assert pool_of({}, None) == ("default", {})


def pod(owner: tuple[str, str] | None = None, *, labels: dict[str, str] | None = None, **spec: Any) -> Pod:
    references = [{"kind": owner[0], "name": owner[1], "uid": "u", "controller": True}] if owner else []
    metadata = {"name": "p", "namespace": "a", "uid": "u", "labels": labels or {}, "ownerReferences": references}
    spec = {
        "nodeName": "n",
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
    } | spec
    return convert({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}, Pod)


LIMITED = [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}}]


@pytest.mark.parametrize(
    ("one", "kind", "reason"),
    [
        (pod(("Job", "nightly-29012345")), "batch", "a CronJob"),
        (pod(("Job", "import")), "batch", "a Job"),
        (pod(labels={"spark-role": "executor"}), "batch", "Spark"),
        (pod(priority=-10), "batch", "priority -10"),
        (pod(("StatefulSet", "db"), containers=LIMITED), "at risk", "a cpu limit"),
        (pod(("StatefulSet", "db"), containers=[{"name": "c"}]), "at risk", "no memory request"),
        (pod(("StatefulSet", "db")), "", ""),
        (pod(("DaemonSet", "log"), containers=[{"name": "c"}]), "", ""),
    ],
)
def test_workloads_are_sorted_out(one: Pod, kind: str, reason: str) -> None:
    candidates, at_risk = advise([one], Budgets([]))
    assert (len(candidates), len(at_risk)) == (int(kind == "batch"), int(kind == "at risk"))
    for workload in (*candidates, *at_risk):
        assert reason in "; ".join(workload.reasons)


def test_a_disruption_budget_is_seen() -> None:
    job = pod(("Job", "import"), labels={"app": "import"})
    (free,), _ = advise([job], Budgets([("b", {"matchLabels": {"app": "import"}})]))
    (kept,), _ = advise([job], Budgets([("a", {"matchLabels": {"app": "import"}})]))
    assert "no PodDisruptionBudget" in free.reasons
    assert "no PodDisruptionBudget" not in kept.reasons


def test_owners_are_named_without_hashes() -> None:
    assert owner_of(pod(("ReplicaSet", "web-5d4f"), labels={"pod-template-hash": "5d4f"})) == "Deployment/web"
    assert owner_of(pod()) == "Pod/p"


def test_a_pods_hours_are_whole() -> None:
    _, (node, *_) = trace()
    assert all(isinstance(one, PodTrace) and len(one.cpu) * STEPS_AN_HOUR <= len(node.cpu) for one in node.pods)
