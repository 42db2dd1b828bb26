"""The loop against whatever the API server does: it goes on enforcing, and puts back only when it should."""

from __future__ import annotations

import shutil
import threading
import time

import msgspec
import pytest

from colocation.agent.reporter import ReportSender
from colocation.agent.server import Metrics
from colocation.agent.window import Window
from colocation.kube.cache import Delete
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import ApiError
from colocation.model.policy import Disk, Protect
from colocation.model.report import MAX_PODS, NodeColocationSpec, OnlinePod

from .made_node import FEATURES, FREE, HELD, SPEC, upsert


def test_it_enforces_and_touches_no_online_pod(node):
    node.specs.emit(upsert())
    node.rounds()
    assert node.values() == HELD
    assert node.values("podonline1") == FREE
    assert node.loop.status().engine.reason.startswith("65 % of 4,000m is 2,600m")


def test_an_agent_that_starts_before_kubelet_holds_values_in_the_tree_that_comes_later(node, tmp_path):
    """What is held above the pods, too, which the writer finds by the layout."""
    tree = node.root / "kubepods"
    for group in ("", "podonline1"):
        (tree / group / "memory.low").write_text("0\n")
    tree.rename(tmp_path / "later")
    node.features = (*FEATURES, "memory.low")
    node.loop = node.make()
    online = (OnlinePod(uid="online1", memory_request=1 << 20),)
    node.specs.emit(upsert(msgspec.structs.replace(SPEC, online=online, protect=Protect(memory_low_percent=50))))
    node.rounds(3)
    assert node.loop.status().capabilities.cgroup_driver == ""
    (tmp_path / "later").rename(tree)
    node.rounds(12)
    assert node.values() == HELD
    assert [(tree / group / "memory.low").read_text() for group in ("podonline1", "")] == [str(1 << 19)] * 2
    assert node.loop.status().capabilities.cgroup_driver == "cgroupfs"


def test_cpus_that_are_unplugged_lower_the_ceiling_though_the_node_still_tells_the_old_number(node):
    (node.root / "cgroup.controllers").write_text("cpu cpuset memory\n")
    (node.root / "cpuset.cpus.effective").write_text("0-3\n")
    node.loop = node.make()
    node.specs.emit(upsert())
    node.rounds(2)
    assert node.loop.decision.cpu_quota == 2600
    (node.root / "cpuset.cpus.effective").write_text("0,3\n")
    node.rounds(5)
    assert node.loop.decision.cpu_quota == 1300
    (node.root / "cpuset.cpus.effective").write_text("0-15\n")
    node.rounds(10)
    assert node.loop.decision.cpu_quota == 2600, "kubelet knows of no more than it started with"


NEWER = {"engine": "quantum", "suppress": {"cpu": {"mode": "politely", "targetPercent": 50}}, "weather": {"today": 1}}


@pytest.mark.parametrize("garbage", [b"", b"\xff\x00\xfe", b"max\n" * 3000, b"-1 -1 -1\n", b"9" * 40, b"some avg10=x"])
def test_garbage_in_every_cgroup_file_ends_no_round_makes_no_number_and_touches_no_online_pod(node, garbage):
    """A fake: no kernel writes such files."""
    node.specs.emit(upsert())
    node.rounds(2)
    assert node.values() == HELD
    node.loop.window = Window()
    for path in node.root.rglob("*"):
        if path.is_file() and path.name != "cgroup.controllers":
            path.write_bytes(garbage)
    node.rounds(10)
    status = node.loop.status()
    assert [(row.cpu, row.memory) for row in status.pods if row.uid == "online1"] in ([], [(None, None)])
    assert (status.node.cpu, status.system.cpu, status.engine.cpu_used) == (None, None, None)
    assert {path.read_bytes() for path in (node.root / "kubepods/podonline1").glob("*.*")} == {garbage}


def test_an_hour_without_an_api_server_changes_nothing_on_the_node_and_costs_nothing(node):
    """An hour of rounds on a made clock; the API is a fake that refuses every report."""
    tries = []

    class Away:
        def watch(self, emit):
            """Never says anything."""

        def patch_status(self, _body):
            tries.append(node.now)
            raise ApiError(0, "Unreachable", "connection refused")

    sender = ReportSender(Away())
    sender.submit = sender.send  # on this thread, so that a round's report is tried in that round
    node.specs.emit(upsert())
    node.rounds(2)
    node.loop = node.make(sender)
    node.rounds(3)
    (node.root / "kubepods/besteffort/podbe1/cpu.max").write_text("max 100000\n")
    node.rounds(1)
    assert node.values() == HELD, "put back by the last known spec"
    node.rounds(3600)
    assert node.values() == HELD
    assert node.values("podonline1") == FREE
    assert len(tries) < 3600 / 15, "tried again ever later, at least every 30 s or so"
    assert sender.failures == len(tries)
    assert len(node.loop.window.node.cpu._rows) <= 61, "the window does not grow"


@pytest.mark.parametrize(
    "event",
    [
        Delete(NODE_COLOCATIONS, "node1"),
        upsert(msgspec.structs.replace(SPEC, enabled=False)),
        upsert(msgspec.structs.replace(SPEC, engine="none")),
        upsert(msgspec.structs.replace(SPEC, pods=())),
        upsert(NodeColocationSpec()),
    ],
    ids=["deleted", "disabled", "engine none", "pod gone", "no policy"],
)
def test_everything_is_put_back(node, event):
    node.specs.emit(upsert())
    node.rounds()
    node.specs.emit(event)
    node.rounds(1)
    assert node.values() == FREE


def test_what_the_kernel_lacks_is_a_condition_and_the_rest_works(node):
    protect = Protect(memory_high_percent=80, disk=Disk(weight=10))
    node.specs.emit(upsert(msgspec.structs.replace(SPEC, protect=protect)))
    node.rounds()
    assert node.values() == HELD
    given = {row.type: row for row in node.loop.status().conditions}
    assert given["Enforced"].status == "True"
    assert (given["Supported"].status, given["Supported"].reason) == ("False", "FeatureMissing")
    assert given["Supported"].message == (
        "protect.memoryHighPercent: no memory.high here; protect.disk.weight: no io.weight here"
    )
    node.specs.emit(upsert())
    node.rounds(1)
    assert {row.type: row.status for row in node.loop.status().conditions}["Supported"] == "True"


def test_nothing_is_said_of_what_nobody_asks_for(node):
    node.specs.emit(upsert())
    node.rounds()
    assert [row.type for row in node.loop.status().conditions] == ["Enforced", "SpecReadable"]


def test_a_faulty_round_and_a_late_one_end_nothing(node, monkeypatch):
    stop = threading.Event()
    calls = []

    def step():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("odd")
        if len(calls) == 2:
            time.sleep(0.15)
        if len(calls) == 4:
            stop.set()

    monkeypatch.setattr(node.loop, "step", step)
    node.loop._interval = 0.05
    node.loop.run(stop)
    assert (len(calls), node.loop.faults) == (4, 1)
    assert node.loop.overruns >= 1


def test_a_node_whose_online_work_rises_is_looked_at_again_after_a_quarter_of_a_round(node, monkeypatch):
    stop, waits = threading.Event(), []

    def step():
        node.loop.rising = not waits  # in the first round only
        if len(waits) == 2:
            stop.set()

    monkeypatch.setattr(node.loop, "step", step)
    monkeypatch.setattr(stop, "wait", waits.append)
    node.loop._interval = 10.0
    node.loop.run(stop)
    assert waits == pytest.approx([2.5, 12.5, 22.5], abs=1)


def test_a_rise_of_online_work_is_seen_by_the_loop(node):
    busy = node.root / "cpu.stat"
    node.specs.emit(upsert())
    node.rounds(3)
    assert not node.loop.rising
    busy.write_text("usage_usec 2000000\nnr_throttled 0\n")  # two cores for a second, none of it in pods
    node.rounds(1)
    assert node.loop.rising
    busy.write_text("usage_usec 4000000\nnr_throttled 0\n")
    node.rounds(1)
    assert not node.loop.rising  # as high as before: nothing new


def test_pods_beyond_what_a_report_takes_are_a_condition_a_metric_and_one_line_of_the_log(node, caplog):
    for number in range(MAX_PODS):
        group = node.root / f"kubepods/pod{number:04}"
        group.mkdir()
        (group / "cpu.stat").write_text("usage_usec 0\nnr_throttled 0\n")
        (group / "memory.current").write_text("4096\n")
        (group / "memory.stat").write_text("inactive_file 0\nactive_file 96\n")
    node.specs.emit(upsert())
    node.rounds(12)
    status = node.loop.status()
    (condition,) = (row for row in status.conditions if row.type == "AllPodsReported")
    assert (len(status.pods), condition.status, condition.reason) == (MAX_PODS, "False", "TooManyPods")
    assert condition.message.startswith("2 pods run here beyond the 500")
    rows = Metrics(node.loop, node.sampler, node.applier, None).collect()
    assert [row.samples[0].value for row in rows if row.name == "colocation_agent_pods_not_reported"] == [2]
    assert [r.pods for r in caplog.records if r.message == "the report leaves pods out"] == [2]
    for number in range(2):
        shutil.rmtree(node.root / f"kubepods/pod{number:04}")
    node.rounds(12)
    (condition,) = (row for row in node.loop.status().conditions if row.type == "AllPodsReported")
    assert (condition.status, condition.reason, condition.message) == ("True", "Complete", "")
