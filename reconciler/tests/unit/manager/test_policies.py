"""Policies as a whole: status and conditions, changes in steps, and what is said when a number has moved."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest

from colocation.kube.cache import Delete
from colocation.kube.resources import POLICIES
from colocation.manager.policies import LOOK_SECONDS
from colocation.model.policy import LabelSelector, OversellCpu, Rollout
from colocation.model.report import Pressure, Usage
from colocation.model.status import PolicyStatus

from .bench import GI, Bench, amounts

FIRST = Rollout(node_selector=LabelSelector(match_labels={"first": "yes"}), pause_seconds=600)
NAMES = ("n1", "n2", "n3")


class Cluster(Bench):
    """Three published nodes, of which n1 is the first to try things; every write answered."""

    def __init__(self, **first_policy: Any) -> None:
        super().__init__(parallel=50)
        self.use = dict.fromkeys(NAMES, 1000)
        self.sync()
        self.policy(**first_policy)
        for name in NAMES:
            self.node(name, labels={"first": "yes"} if name == "n1" else {})
        self.settle()
        self.press()
        self.settle()

    def press(self, **cpu: float) -> None:
        """All report, with this pressure."""
        for name in NAMES:
            pressure = Pressure(cpu=cpu.get(name, 1.0), memory=0.0)
            self.reported(name, pressure)

    def reported(self, name: str, pressure: Pressure | None) -> None:
        self.report(name, cpu=self.use[name], at=f"{name}{self.version}")
        node = self.loop.state.nodes[name]
        assert node.report.status is not None
        status = msgspec.structs.replace(node.report.status, pressure=pressure, system=Usage(cpu=1000, memory=5 * GI))
        node.report = msgspec.structs.replace(node.report, status=status)

    def settle(self, seconds: float = 0) -> None:
        """Let so much time pass, everybody reporting each ten seconds, and answer all writes."""
        end = self.now + seconds
        for _ in range(1000):
            self.step()
            jobs, self.writer.jobs = self.writer.jobs, []
            for job in jobs:
                self.answer(job)
            if not jobs and not self.loop.state.dirty:
                if self.now >= end:
                    return
                self.now = min(end, self.now + 10)
                self.again()
        raise AssertionError(f"it does not come to rest: {jobs}")

    def again(self) -> None:
        self.press()

    def published(self) -> list[int | None]:
        found = []
        for name in NAMES:
            facts = self.loop.state.nodes[name].facts
            found.append(facts.published.cpu if facts else None)
        return found

    def status(self, name: str = "p") -> PolicyStatus:
        return self.loop.state.policies[name].status

    def condition(self, kind: str) -> tuple[str, str, str]:
        [one] = [c for c in self.status().conditions if c.type == kind]
        return one.status, one.reason, one.message

    def edit(self, generation: int = 2, rollout: Rollout = FIRST, percent: int = 50, **more: Any) -> None:
        cpu = OversellCpu(strategy="usage", reclaim_percent=percent)
        self.policy(generation=generation, rollout=rollout, cpu=cpu, **more)


class Hot(Cluster):
    """As soon as it has the change, n1 is under pressure."""

    def again(self) -> None:
        self.press(n1=30.0 if self.published()[0] != 5000 else 1.0)


def test_the_status_counts_nodes_and_fresh_reports_and_is_written_once() -> None:
    cluster = Cluster()
    cluster.settle(30)
    status = cluster.status()
    assert (
        status.observed_generation,
        status.matched_nodes,
        status.nodes,
        status.reporting_nodes,
        status.updated_nodes,
    ) == (1, 3, 3, 3, 3)
    assert cluster.condition("Ready") == ("True", "AllReporting", "every node has a fresh report")
    assert cluster.condition("RolledOut") == ("True", "Complete", "generation 1 holds on all nodes")
    value = cluster.loop._metrics.registry.get_sample_value
    assert value("colocation_writes_total", {"kind": "policy", "outcome": "ok"}) == 1


def test_silent_nodes_are_named() -> None:
    cluster = Cluster()
    cluster.again = lambda: [cluster.reported(n, None) for n in ("n1", "n3")]  # type: ignore[assignment,func-returns-value]
    cluster.settle(200)
    assert cluster.status().reporting_nodes == 2
    assert cluster.condition("Ready") == ("False", "NodesNotReporting", "no fresh report from n2")


def test_a_policy_for_no_node_and_a_disabled_one_say_so() -> None:
    cluster = Cluster()
    cluster.policy("q", node_selector=LabelSelector(match_labels={"no": "such"}))
    cluster.policy("r", priority=-1, enabled=False)
    cluster.settle(5)
    reasons = {name: cluster.status(name).conditions[0].reason for name in ("p", "q", "r")}
    assert reasons == {"p": "AllReporting", "q": "NoNodes", "r": "Disabled"}
    assert (cluster.status("r").matched_nodes, cluster.status("r").nodes) == (3, 0)


def test_a_change_holds_on_the_first_nodes_and_then_on_all() -> None:
    cluster = Cluster()
    cluster.edit()
    cluster.settle(30)
    assert cluster.published() == [4000, 5000, 5000]
    assert cluster.condition("RolledOut")[:2] == ("False", "Progressing")
    assert "1 canary nodes have it; generation 1 holds on the others" in cluster.condition("RolledOut")[2]
    assert cluster.status().updated_nodes == 1
    cluster.settle(560)
    assert cluster.published() == [4000, 5000, 5000]
    cluster.settle(60)
    assert cluster.published() == [4000, 4000, 4000]
    assert cluster.condition("RolledOut")[:2] == ("True", "Complete")
    assert [e["reason"] for e in cluster.told if e["regarding"]["kind"] == "ColocationPolicy"] == ["RolledOut"]


def test_pressure_on_the_first_nodes_stops_it_takes_it_back_and_says_so() -> None:
    cluster = Hot()
    cluster.edit()
    cluster.settle(60)
    assert cluster.published() == [4000, 5000, 5000]
    assert "rose by 29.0 points" in cluster.condition("RolledOut")[2]  # said before it is judged
    cluster.settle(90)
    assert cluster.published() == [5000, 5000, 5000]
    assert cluster.condition("RolledOut")[:2] == ("False", "Stopped")
    [event] = [e for e in cluster.told if e["regarding"]["kind"] == "ColocationPolicy"]
    assert (event["reason"], event["type"]) == ("RolloutStopped", "Warning")
    assert "29.0 points against the others (at most 10)" in event["note"]
    cluster.settle(3600)
    assert cluster.published() == [5000, 5000, 5000]  # it does not try again by itself


def test_evictions_on_the_first_nodes_stop_it() -> None:
    cluster = Cluster()
    cluster.edit()
    cluster.settle(20)
    cluster.loop.state.nodes["n1"].evictions += 3
    cluster.settle(150)
    assert "3 evictions on the canary nodes, 0.0 at the others' rate" in cluster.condition("RolledOut")[2]
    assert cluster.condition("RolledOut")[1] == "Stopped"


def test_first_nodes_that_fall_silent_stop_it() -> None:
    cluster = Cluster()
    cluster.edit()
    cluster.again = lambda: [cluster.reported(n, None) for n in ("n2", "n3")]  # type: ignore[assignment,func-returns-value]
    cluster.settle(400)
    assert "1 of 1 canary nodes no longer report" in cluster.condition("RolledOut")[2]
    assert cluster.condition("RolledOut")[1] == "Stopped"


def test_what_was_stopped_can_be_corrected() -> None:
    cluster = Hot()
    cluster.edit()
    cluster.settle(200)
    cluster.edit(generation=3, percent=60)  # as it was
    cluster.settle(20)
    assert cluster.condition("RolledOut")[:2] == ("True", "Complete")
    cluster.edit(generation=4, percent=40)
    cluster.settle(20)
    assert cluster.published() == [3000, 5000, 5000]  # tried anew, from the canary nodes


def test_switching_off_and_deleting_are_never_in_steps() -> None:
    cluster = Cluster(rollout=FIRST)
    cluster.settle(700)
    cluster.edit(generation=2, enabled=False)
    cluster.settle()
    assert cluster.published() == [None] * 3
    cluster = Cluster(rollout=FIRST)
    cluster.settle(700)
    cluster.edit()
    cluster.settle(10)
    cluster.say(Delete(POLICIES, "p"))
    cluster.settle()
    assert cluster.published() == [None] * 3


def test_a_new_policy_in_steps_selects_only_its_first_nodes_until_they_are_well() -> None:
    cluster = Cluster(rollout=FIRST)
    assert cluster.published() == [5000, None, None]
    cluster.settle(5)
    assert cluster.condition("RolledOut")[2].endswith("nothing of this policy holds on the others")
    cluster.settle(700)
    assert cluster.published() == [5000, 5000, 5000]


def test_a_policy_that_no_manager_has_seen_before_and_was_edited_holds_as_it_is_written() -> None:
    """A manager before this one left no word of what held: taking it from two thirds of the nodes would be worse."""
    cluster = Cluster(rollout=FIRST, generation=7)
    assert cluster.published() == [5000, 5000, 5000]


@pytest.mark.parametrize("stopped", [False, True], ids=["under way", "stopped"])
def test_a_manager_that_starts_in_the_middle_goes_on_and_leaves_stopped_what_was_stopped(*, stopped: bool) -> None:
    before = Hot() if stopped else Cluster()
    before.edit()
    before.settle(200)
    status = json.loads(msgspec.json.encode(before.status()))
    after = Cluster.__new__(Cluster)
    Bench.__init__(after, parallel=50)
    after.use = dict.fromkeys(NAMES, 1000)
    after.edit(status=status)
    for name in NAMES:
        after.node(name, labels={"first": "yes"} if name == "n1" else {})
    after.sync()
    after.settle(30)
    assert after.published() == ([5000, 5000, 5000] if stopped else [4000, 5000, 5000])
    after.settle(700)
    assert after.published() == ([5000, 5000, 5000] if stopped else [4000, 4000, 4000])


def test_a_standby_takes_over_what_the_leader_has_written() -> None:
    leader = Cluster()
    leader.edit()
    leader.settle(700)
    standby = Cluster.__new__(Cluster)
    Bench.__init__(standby, parallel=50)
    standby.leads, standby.use = False, dict.fromkeys(NAMES, 1000)
    standby.sync()
    standby.policy()
    for name in NAMES:
        standby.node(name, labels={"first": "yes"} if name == "n1" else {})
    standby.step()
    standby.edit()
    standby.step()
    assert len(standby.loop.state.staged) == 1
    standby.edit(status=json.loads(msgspec.json.encode(leader.status())))
    standby.step(after=LOOK_SECONDS)
    assert standby.loop.state.staged == {}
    assert standby.writer.jobs == []


def test_a_node_that_comes_while_a_change_is_tried_gets_what_held_before() -> None:
    cluster = Cluster()
    cluster.edit()
    cluster.settle(20)
    cluster.node("n4")
    cluster.settle()
    cluster.report("n4")
    cluster.settle()
    facts = cluster.loop.state.nodes["n4"].facts
    assert facts is not None
    assert facts.published.cpu == 5000


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "colocation.manager.loop")
    return caplog


def test_a_move_by_more_than_a_tenth_is_logged_with_every_term_and_told_as_an_event(
    records: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.publish()
    assert bench.told == []  # the first publication changes nothing for anybody
    bench.report(cpu=1500)  # exactly a tenth
    [job] = bench.take()
    bench.answer(job)
    assert bench.told == []
    records.clear()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job)
    [event] = bench.told
    assert event["reason"] == "PublishedDecreased"
    assert (
        "10,000m - margin 4,000m - system 2,000m - online 0m - unrequested 0m - overhead 0m = 4,000m" in event["note"]
    )
    [record] = [r.__dict__ for r in records.records]
    terms = record["cpu"]
    rest = ("margin", "system", "online", "unrequested", "overhead")
    assert terms["capacity"] - sum(terms[name] for name in rest) == 4000
    assert (record["before"]["be_cpu"], record["be_cpu"], record["policy"]) == (4500, 4000, "p")
    assert amounts(job)[0] == "4000"


def test_a_withdrawal_is_a_warning_with_its_reason() -> None:
    bench = Bench()
    bench.publish()
    bench.now += 180
    [job] = bench.take()
    bench.answer(job)
    [event] = bench.told
    assert (event["reason"], event["type"], event["regarding"]["name"]) == ("Withdrawn", "Warning", "n")
    assert "be-cpu 5,000m -> none" in event["note"]
    assert "no report for 180 s" in event["note"]
