"""The window, when a report is due, and the patch."""

from __future__ import annotations

import threading

import msgspec
import pytest

from colocation.agent.reporter import ReportSender, Schedule, moved, patch_body
from colocation.agent.specs import ApiError
from colocation.agent.status import Conditions, build
from colocation.agent.window import Series, Window
from colocation.model.policy import Report
from colocation.model.report import (
    MAX_EVICTION_REQUESTS,
    Capabilities,
    Capacity,
    EngineState,
    EvictionRequest,
    NodeColocationStatus,
    PodUsage,
    Pressure,
    Usage,
)
from colocation.node.apply import Refusal
from colocation.predict.peak import Histories
from colocation.predict.together import Wanted
from colocation.protect.sample import PodSample, Sample, Unavailable, Use
from colocation.protect.wanted import Enforcement

RULES = Report()
LEAVE = EvictionRequest(uid="0f" * 18, reason="MemoryHigh", message="m" * 110)
CAPACITY = Capacity(cpu=4000, memory=1000)


def sample(at, cpu=None, pods=(), pods_cpu=None, memory=None, pods_memory=None, seconds=1.0, unavailable=None):
    return Sample(
        at=float(at),
        seconds=seconds,
        cpu=cpu,
        memory=None if memory is None else Use(memory),
        pods_cpu=pods_cpu,
        pods_memory=None if pods_memory is None else Use(pods_memory),
        pods=pods,
        unavailable=unavailable,
        memory_read=memory is not None,
    )


def test_mean_is_weighted_with_time_and_peak_forgets():
    series = Series()
    series.add(1.0, 1.0, 100, 60.0)
    series.add(4.0, 3.0, 200, 60.0)
    assert (series.mean, series.peak) == (175, 200)
    series.add(62.0, 1.0, 10, 60.0)
    assert series.peak == 200
    series.add(65.0, 1.0, 10, 60.0)
    assert (series.mean, series.peak) == (10, 10)


def test_a_gap_is_no_zero_and_an_empty_window_knows_nothing():
    series = Series()
    series.add(1.0, 1.0, 100, 60.0)
    series.add(2.0, 1.0, None, 60.0)
    assert series.mean == 100
    series.add(100.0, 1.0, None, 60.0)
    assert (series.mean, series.peak) == (None, None)


def test_system_is_what_pods_do_not_use_and_never_negative():
    window = Window()
    window.add(sample(1, cpu=1000, pods_cpu=700, memory=900, pods_memory=500))
    window.add(sample(2, cpu=500, pods_cpu=600, memory=100, pods_memory=500))
    assert window.system.usage() == Usage(cpu=150, cpu_peak=300, memory=200, memory_peak=400)


def test_one_pod_that_is_not_known_makes_system_not_known():
    window = Window()
    window.add(sample(1, cpu=1000, pods=(PodSample(uid="a", cpu=300), PodSample(uid="b"))))
    assert window.system.usage().cpu is None
    assert window.node.usage().cpu == 1000


def test_pods_come_and_go():
    window = Window()
    for at, pods in (
        (1, (PodSample(uid="b", cpu=5), PodSample(uid="a", cpu=7, memory=Use(3)))),
        (2, (PodSample(uid="a", cpu=9, memory=Use(3)),)),
    ):
        window.add(sample(at, cpu=1, memory=9, pods=pods))
    assert window.rows() == (PodUsage(uid="a", cpu=8, cpu_peak=9, memory=3, memory_peak=3),)


def test_a_new_pod_is_reported_when_it_was_measured_whole_or_will_not_be():
    window = Window()
    window.add(sample(1, cpu=1, memory=9, pods=(PodSample(uid="new", memory=Use(3)),)))
    assert window.rows() == ()  # unseen: the manager counts its request; a row without cpu would stop the node
    window.add(sample(2, cpu=1, memory=9, pods=(PodSample(uid="new", cpu=9, memory=Use(3)),)))
    assert [row.uid for row in window.rows()] == ["new"]
    window.add(sample(3, cpu=1, memory=9, pods=(PodSample(uid="blind", memory=Use(3)),)))
    window.add(sample(18, cpu=1, memory=9, pods=(PodSample(uid="blind", memory=Use(3)),)))
    assert window.rows() == (PodUsage(uid="blind", memory=3, memory_peak=3),)  # missing for good is said, never zero


def status(cpu=100, pods=("a",), mode="idle+quota", memory=0, **changes):
    return NodeColocationStatus(
        node=Usage(cpu=cpu, cpu_peak=cpu, memory=memory, memory_peak=memory),
        pods=tuple(PodUsage(uid=uid, cpu=1) for uid in pods),
        engine=EngineState(mode=mode),
        **changes,
    )


@pytest.mark.parametrize(
    ("now", "result"),
    [
        (status(), False),
        (status(cpu=499), False),
        (status(cpu=500), True),
        (status(memory=99), False),
        (status(memory=100), True),
        (status(pods=("a", "b")), True),
        (status(pods=()), True),
        (status(mode="off"), True),
        (NodeColocationStatus(pods=status().pods, engine=status().engine), True),
        (msgspec.structs.replace(status(), eviction_requests=(LEAVE,)), True),
    ],
)
def test_moved(now, result):
    assert moved(status(), now, CAPACITY, 10) is result


@pytest.mark.parametrize(
    ("uids", "result"), [("abc", False), ("acb", False), ("bac", True), ("ab", True), ("abcd", True), ("", True)]
)
def test_of_the_pods_that_should_leave_the_first_and_the_set_are_worth_a_report(uids, result):
    before, now = ([msgspec.structs.replace(LEAVE, uid=uid) for uid in row] for row in ("abc", uids))
    pair = (status(eviction_requests=tuple(before)), status(eviction_requests=tuple(now)))
    assert moved(*pair, CAPACITY, 10) is result


def test_when_a_report_is_due():
    schedule = Schedule(rand=lambda: 0.0)
    assert not schedule.may(0.0, RULES, covered=4.0)
    assert schedule.may(5.0, RULES, covered=5.0)
    assert schedule.due(5.0, RULES, status(), CAPACITY)
    schedule.sent(5.0, status())
    assert not schedule.may(9.0, RULES, covered=9.0), "never more often than minIntervalSeconds"
    assert schedule.may(10.0, RULES, covered=9.0)
    assert not schedule.due(10.0, RULES, status(), CAPACITY)
    assert schedule.due(10.0, RULES, status(cpu=3000), CAPACITY), "something moved"
    assert not schedule.due(55.0, RULES, status(), CAPACITY)
    assert schedule.due(56.0, RULES, status(), CAPACITY), "the heartbeat, jittered to 51 s"
    schedule.failed(56.0, wait=10.0)
    assert not schedule.may(65.0, RULES, covered=60.0)
    assert schedule.may(66.0, RULES, covered=60.0)
    assert schedule.due(66.0, RULES, status(), CAPACITY)


def full_status(pods, refused=(), spec_error="", *, learnt=False, leave=()):
    window = Window()
    rows = tuple(
        PodSample(uid=f"{i:08}-aaaa-bbbb-cccc-0123456789ab", cpu=1500, memory=Use(1_234_567_890)) for i in range(pods)
    )
    histories = Histories()
    for at in range(2):
        window.add(sample(at, cpu=98_765, memory=98_765_432_100, pods=rows, unavailable=Unavailable(98_765_432_100)))
    if learnt:
        for at in range(0, 90_001, 60):
            cpu, memory = Wanted(128_000, 0.01), Wanted(2**39, 0.005)
            histories.learn(at, window.rows(), window.pods.keys(), cpu=cpu, memory=memory)
    conditions = Conditions().update(dict(refused), spec_error, "2026-11-21T05:10:14Z")
    features = ("cpu.burst", "cpu.idle", "cpu.quota", "io.throttle", "io.weight", "memory.high", "memory.limit")
    return build(
        generation=123,
        window=window,
        sample=sample(2, pods=rows),
        decision=Enforcement(mode="idle+quota", cpu_quota=64_000, cpu_used=60_000, reason="z" * 120),
        capabilities=Capabilities(
            kernel="6.18.44-fc-v595", cgroup_version=1, cgroup_driver="cgroupfs", features=features
        ),
        pressure=Pressure(cpu=12.34, memory=0.0, io=1.0),
        conditions=conditions,
        memory_used=98_765_432_100,
        evictions=leave,
        now="2026-11-21T05:10:14Z",
        histories=histories,
    )


def test_a_report_of_40_pods_is_small():
    assert len(msgspec.json.encode(patch_body(full_status(40)))) <= 5750, "managedFields come on top"
    worst = full_status(40, [("p", Refusal("x" * 900, 0.0, 1.0))], "y" * 900, leave=(LEAVE,) * MAX_EVICTION_REQUESTS)
    assert len(msgspec.json.encode(patch_body(worst))) <= 8 * 1024, "while something is wrong"


def test_a_report_of_40_pods_that_were_watched_for_a_day_is_small_too():
    full = full_status(40, learnt=True)
    assert full.forecasts is not None
    assert full.forecasts.memory is not None
    assert all(row.predicted is not None and row.predicted.observed_seconds > 86_400 for row in full.pods)
    assert len(msgspec.json.encode(patch_body(full))) <= 5800, "managedFields come on top"


def test_at_most_500_rows():
    assert len(full_status(600).pods) == 500


def test_what_is_not_known_now_is_null_in_the_patch():
    """Left out of a merge patch, the value of an earlier report would stay and look fresh."""
    body = patch_body(NodeColocationStatus(node=Usage(cpu=1)))["status"]
    assert body["node"] == {"cpu": 1, "cpuPeak": None, "memory": None, "memoryPeak": None}
    assert body["pressure"] is None
    assert body["system"] is None
    assert (body["pods"], body["conditions"]) == ([], [])
    fields = {f.encode_name for f in msgspec.structs.fields(NodeColocationStatus)}
    assert fields == body.keys()


def test_conditions_keep_their_time_until_the_status_changes():
    conditions = Conditions()
    first = {c.type: c for c in conditions.update({}, "", "t1")}
    same = {c.type: c for c in conditions.update({}, "", "t2")}
    bad = {c.type: c for c in conditions.update({"p": Refusal("no", 0.0, 1.0)}, "garbage", "t3")}
    assert first["Enforced"].last_transition_time == same["Enforced"].last_transition_time == "t1"
    assert (bad["Enforced"].status, bad["Enforced"].last_transition_time) == ("False", "t3")
    assert (bad["SpecReadable"].status, bad["SpecReadable"].reason) == ("False", "DecodeFailed")


class Api:
    def __init__(self, *outcomes):
        self.outcomes, self.bodies, self.done = list(outcomes), [], threading.Event()

    def watch(self, emit):
        """Nothing happens."""

    def patch_status(self, body):
        self.bodies.append(body)
        self.done.set()
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome


def test_the_sender_outlives_every_error_and_says_it_once(caplog):
    gone = ApiError(404, "NotFound", "no such nodecolocation")
    sender = ReportSender(Api(gone, ApiError(404, "NotFound", "no such nodecolocation"), RuntimeError("odd"), None))
    waits = []
    for _ in range(4):
        sender.send(status())
        waits.append(sender.failure())
    assert [w is None for w in waits] == [False, False, False, True]
    assert sum("did not arrive" in r.message for r in caplog.records) == 2
    assert (sender.sent, sender.failures, sender.error) == (1, 3, "")


def test_retry_after_is_kept():
    sender = ReportSender(Api(ApiError(429, "TooManyRequests", "slow down", retry_after=77.0)))
    sender.send(status())
    assert sender.failure() >= 77.0
    assert sender.failure() is None


def test_the_sender_works_on_its_own_thread():
    api = Api()
    sender = ReportSender(api)
    sender.start()
    sender.submit(status())
    assert api.done.wait(5)
