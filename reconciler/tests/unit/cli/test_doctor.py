"""The doctor's judgement: tables of what was read, and what is said about it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.cli.doctor import installation, render, work
from colocation.cli.doctor.finding import Finding, Level, Unread, worst


def of(name: str, version: str = "0.5.0", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app.kubernetes.io/version": version}}, "spec": {}, **more}


@pytest.mark.parametrize(
    ("minor", "level"), [("30", Level.OK), ("36+", Level.OK), ("29", Level.ERROR), ("", Level.OK), ("x", Level.OK)]
)
def test_kubernetes_older_than_1_30_is_an_error_and_nonsense_is_not(minor: str, level: Level) -> None:
    (found,) = installation.kubernetes({"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"})
    assert found.level is level


@pytest.mark.parametrize(
    ("agent", "error"),
    [
        ("0.5.7", False),
        ("0.4.0", False),
        ("0.3.9", True),
        ("0.6.0", True),
        ("1.5.0", True),
        ("", False),
        ("odd", False),
    ],
)
def test_agents_may_be_of_the_managers_minor_version_or_of_the_one_before(agent: str, error: bool) -> None:
    ready = {"status": {"desiredNumberScheduled": 1, "numberReady": 1}}
    found = list(installation.agents(of("colocation-agent", **ready), [of("pod", agent)], "0.5.0", "ns"))
    assert ("versions" in {f.check for f in found if f.level is Level.ERROR}) is error


@pytest.mark.parametrize(
    ("wanted", "ready", "level"),
    [(1, 1, Level.OK), (2, 2, Level.OK), (2, 1, Level.WARNING), (2, 0, Level.ERROR), (0, 0, Level.ERROR)],
)
def test_how_many_replicas_of_the_manager_are_enough(wanted: int, ready: int, level: Level) -> None:
    deployment = {**of("m"), "spec": {"replicas": wanted}, "status": {"readyReplicas": ready}}
    first = next(iter(installation.manager(deployment, [], 1.0, "0.5.1", "ns")))
    assert first.level is level


@pytest.mark.parametrize(
    ("age", "level"), [(1.0, Level.OK), (15.0, Level.OK), (15.1, Level.ERROR), (None, Level.ERROR)]
)
def test_a_lease_that_is_not_renewed_is_no_leader(age: float | None, level: Level) -> None:
    deployment = {**of("m"), "spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
    found = {f.check: f.level for f in installation.manager(deployment, [], age, "0.5.0", "ns")}
    assert found["leader"] is level


ROW = {"node": "n1", "withdrawn": None, "open": True}


@pytest.mark.parametrize(
    ("items", "rows", "level", "text"),
    [
        ([], [], Level.WARNING, "none of 0 nodes takes part"),
        (Unread("no"), Unread("no"), Level.UNKNOWN, "no"),
        (Unread("no"), [ROW], Level.OK, "1 take part: 1 open, 0 closed"),
        (Unread("no"), [{**ROW, "open": False}], Level.OK, "1 take part: 0 open, 1 closed"),
        (Unread("no"), [{**ROW, "withdrawn": "NoReport", "open": False}], Level.WARNING, "1 withdrawn, NoReport: n1"),
        (Unread("no"), [{**ROW, "withdrawn": "Disabled", "open": False}], Level.OK, "1 withdrawn, Disabled: n1"),
    ],
)
def test_nodes_are_counted_by_what_may_be_read(items: Any, rows: Any, level: Level, text: str) -> None:
    found = list(work.nodes(items, rows, "ns"))
    assert (found[0].level, found[0].message[: len(text)]) == (level, text)


def test_many_nodes_are_a_few_names_and_a_number() -> None:
    rows = [{"node": f"n{n}", "withdrawn": "NoPolicy", "open": False} for n in range(9)]
    found = next(iter(work.nodes(Unread("no"), rows, "ns")))
    assert found.message == "9 withdrawn, NoPolicy: n0, n1, n2, n3, n4 and 4 more"
    assert len(found.objects) == 9


words = st.sampled_from(["", "Ready", "True", "False", "Pending", "Running", "BE", "x"])


@given(st.lists(st.fixed_dictionaries({"status": st.fixed_dictionaries({}, optional={"phase": words})}), max_size=3))
def test_pods_without_a_status_are_judged_too(statuses: list[dict[str, Any]]) -> None:
    pods = [{**of(f"p{n}"), **status} for n, status in enumerate(statuses)]
    found = list(installation.agents({**of("a"), "status": {"desiredNumberScheduled": 3}}, pods, "0.5.0", "ns"))
    assert found[0].level is Level.ERROR
    assert next(iter(work.pending(pods, {}))).level is Level.OK


@given(st.lists(st.sampled_from(list(Level))))
def test_the_whole_is_as_bad_as_its_worst_part(levels: list[Level]) -> None:
    found = [Finding("c", level, "m") for level in levels]
    order = list(Level)
    assert worst(found) is (max(levels, key=order.index) if levels else Level.OK)


def test_what_others_wrote_moves_no_cursor() -> None:
    assert "\x1b[2J" not in render([Finding("nodes", Level.ERROR, "\x1b[2Jgone", "do \x1b[2J")])


def test_manager_and_agent_load_neither_doctor_nor_completion() -> None:
    code = (
        "import sys, colocation.cli.manager, colocation.cli.agent;"
        "print([m for m in sys.modules if 'doctor' in m or 'completion' in m or 'argcomplete' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
