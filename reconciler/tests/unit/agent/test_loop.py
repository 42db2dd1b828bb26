"""The loop against whatever the API server does: it goes on enforcing, and puts back only when it should."""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from colocation.agent import main, specs
from colocation.agent.loop import Loop
from colocation.agent.reporter import Sender
from colocation.agent.server import Metrics, serve, unready
from colocation.agent.specs import RubikState, Specs
from colocation.agent.window import Window
from colocation.kube.cache import Bad, Delete, Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import ApiError
from colocation.model.policy import Disk, Protect
from colocation.model.report import BePod, Capabilities, Capacity, NodeColocationSpec, OnlinePod, PolicyRef
from colocation.node import apply, state
from colocation.node.apply import Applier
from colocation.node.histories import Keeper
from colocation.node.journal import Journal
from colocation.node.sampler import Sampler
from colocation.node.state import Followed

SPEC = NodeColocationSpec(
    enabled=True,
    policy=PolicyRef(name="p"),
    capacity=Capacity(cpu=4000, memory=1 << 30),
    pods=(BePod(uid="be1", cpu_request=500, cpu_limit=500, memory_limit=1 << 20),),
)
FEATURES = ("cpu.idle", "cpu.quota", "memory.limit")


def upsert(spec=SPEC, generation=1):
    return Upsert(NODE_COLOCATIONS, "node1", RubikState(Followed(spec, generation)), listed=True)


def stored(**changes):
    """SPEC as another version stored it: as the watch hands it on."""
    spec = {**msgspec.to_builtins(SPEC), **changes}
    wire = msgspec.json.decode(msgspec.json.encode({"metadata": {}, "spec": spec}), type=specs._Object)
    return Upsert(NODE_COLOCATIONS, "node1", specs.told(wire), listed=False)


class Node:
    """A made v2 node with one BE and one online pod."""

    def __init__(self, tmp_path):
        self.root, self.state = tmp_path / "cgroup", tmp_path / "state"
        for group in ("", "kubepods", "kubepods/besteffort/podbe1", "kubepods/podonline1"):
            (self.root / group).mkdir(parents=True, exist_ok=True)
            files = {"cpu.max": "max 100000", "cpu.idle": "0", "memory.max": "max", "memory.current": "4096"}
            files |= {"memory.stat": "inactive_file 0\nactive_file 96\n", "cpu.stat": "usage_usec 0\nnr_throttled 0\n"}
            for name, text in files.items():
                (self.root / group / name).write_text(text + "\n")
            (self.root / group / "sandbox").mkdir(exist_ok=True)
        (self.root / "cgroup.controllers").write_text("cpu memory\n")
        self.now = 1_000_000_000
        self.specs = Specs(self.state / "state")
        self.features = FEATURES
        self.loop = self.make()

    def make(self, sender=None):
        self.sampler = Sampler(str(self.root), "/proc", lambda: self.now)
        journal = Journal(str(self.state / "journal"), str(self.root))
        self.applier = Applier(self.sampler.layout, journal)
        found = Capabilities(kernel="k", cgroup_version=2, features=self.features)
        keeper = Keeper(self.state / "state" / "histories.json")
        parts = {"sampler": self.sampler, "applier": self.applier, "specs": self.specs}
        return Loop(**parts, found=found, keeper=keeper, sender=sender)

    def restart(self):
        """Another agent takes over, with what the disk holds."""
        self.loop.close()
        self.specs = Specs(self.state / "state")
        self.loop = self.make()

    def rounds(self, count=2):
        for _ in range(count):
            self.now += 1_000_000_000
            self.loop.step()

    def values(self, pod="besteffort/podbe1"):
        names = ("cpu.max", "cpu.idle", "memory.max")
        return tuple((self.root / "kubepods" / pod / name).read_text().strip() for name in names)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


HELD, FREE = ("50000 100000", "1", str(1 << 20)), ("max 100000", "0", "max")


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


def test_a_newer_managers_spec_is_followed_as_far_as_it_is_understood(node):
    more = [*msgspec.to_builtins(SPEC)["pods"], {"uid": "be2", "memoryLimit": 1 << 21}]
    node.specs.emit(stored(pods=more, **NEWER))
    spec = node.specs.take().spec
    assert [pod.uid for pod in spec.pods] == ["be1", "be2"], "new pods are held"
    assert (spec.engine, spec.suppress.cpu.mode, spec.suppress.cpu.target_percent) == ("native", "auto", 50)
    node.rounds()
    [condition] = [c for c in node.loop.status().conditions if c.type == "SpecReadable"]
    assert condition.status == "False"
    assert "quantum" in condition.message
    node.specs.emit(upsert())
    assert node.specs.error == ""


@pytest.mark.parametrize("needed", [{"pods": 7}, {"pods": [{"uid": 7}]}, {"enabled": "perhaps"}])
def test_no_default_stands_in_for_the_pods_or_the_switch_of_a_spec(node, needed):
    with pytest.raises(ValueError, match=next(iter(needed))):
        stored(**needed)  # which the watch hands on as Bad
    node.state.mkdir()
    (node.state / "state").write_bytes(msgspec.json.encode({**msgspec.to_builtins(SPEC), **needed}))
    assert Specs(node.state / "state").take() is None, "nothing is known: values are left as they are"


def test_a_spec_that_a_newer_agent_kept_holds_its_pods(node):
    node.state.mkdir()
    (node.state / "state").write_bytes(msgspec.json.encode({**msgspec.to_builtins(SPEC), **NEWER}))
    kept = Specs(node.state / "state").take().spec
    assert (kept.enabled, kept.pods) == (True, SPEC.pods)


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

    sender = Sender(Away())
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


def running(*pods):
    return msgspec.structs.replace(SPEC, pods=tuple(msgspec.structs.replace(pod, running=True) for pod in pods))


def enforced(node):
    (condition,) = (row for row in node.loop.status().conditions if row.type == "Enforced")
    return condition.status, condition.reason, condition.message


def test_pods_whose_containers_are_elsewhere_are_not_called_enforced(node):
    """Kubelet on the systemd driver, containerd on cgroupfs: kubelet's group of the pod stays empty."""
    (node.root / "kubepods/besteffort/podbe1/sandbox").rmdir()
    (node.root / "kubepods-besteffort-podbe1.slice:cri-containerd:0123").mkdir()
    node.specs.emit(upsert(running(*SPEC.pods)))
    node.rounds(29)
    assert enforced(node)[0] == "True", "status and group do not come together"
    node.rounds(3)
    assert node.values() == FREE
    words = "1 of 1 best-effort pods not found: no container in their groups: cgroup drivers differ?"
    assert enforced(node) == ("False", "PodsNotFound", words)
    (node.root / "kubepods/besteffort/podbe1/sandbox").mkdir()
    node.rounds(1)
    assert node.values() == HELD
    assert enforced(node) == ("True", "Applied", "")


def test_a_pod_without_a_group_is_not_called_enforced_and_those_that_do_not_run_yet_are_not_missed(node):
    ghost, pending = BePod(uid="ghost"), BePod(uid="pending")
    spec = running(*SPEC.pods, ghost)
    node.specs.emit(upsert(msgspec.structs.replace(spec, pods=(*spec.pods, pending))))
    node.rounds(32)
    assert enforced(node) == (
        "False",
        "PodsNotFound",
        "1 of 2 best-effort pods not found: no group of theirs in kubepods",
    )
    assert node.values() == HELD, "what was found is held"
    for off in (msgspec.structs.replace(spec, enabled=False), msgspec.structs.replace(spec, engine="none")):
        node.specs.emit(upsert(off))
        node.rounds(1)
        assert enforced(node)[0] == "True", "nothing is wanted of it"


def test_a_pod_that_is_in_another_tree_is_looked_for_there(node):
    node.specs.emit(upsert(running(BePod(uid="be2", cpu_limit=500, memory_limit=1 << 20))))
    node.rounds(5)
    tree = node.root / "kubepods.slice"
    for group in ("kubepods.slice", "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podbe2.slice"):
        (node.root / group).mkdir(parents=True)
        for name, text in (("cpu.max", "max 100000"), ("cpu.idle", "0"), ("memory.max", "max")):
            (node.root / group / name).write_text(text + "\n")
    pod = tree / "kubepods-besteffort.slice/kubepods-besteffort-podbe2.slice"
    (pod / "cri-containerd-01.scope").mkdir()
    node.rounds(12)
    assert (pod / "memory.max").read_text() == str(1 << 20)
    assert enforced(node)[0] == "True"
    assert node.loop.status().capabilities.cgroup_driver == "systemd"


def test_pods_that_are_not_found_have_a_metric_of_their_own(node):
    node.specs.emit(upsert(running(*SPEC.pods, BePod(uid="ghost"))))
    node.rounds(32)
    rows = Metrics(node.loop, node.sampler, node.applier, None).collect()
    values = {row.name: row.samples[0].value for row in rows if len(row.samples) == 1}
    assert (values["colocation_agent_be_pods"], values["colocation_agent_be_pods_not_found"]) == (1, 1)


def test_nothing_is_said_of_what_nobody_asks_for(node):
    node.specs.emit(upsert())
    node.rounds()
    assert [row.type for row in node.loop.status().conditions] == ["Enforced", "SpecReadable"]


def test_after_a_restart_the_kept_spec_holds_without_an_api_server(node):
    node.specs.emit(upsert())
    node.rounds()
    (node.root / "kubepods/besteffort/podbe1/cpu.max").write_text("max 100000\n")
    node.restart()
    node.rounds()
    assert node.values() == HELD


def test_a_report_says_which_generation_is_followed_also_after_a_restart_without_an_api_server(node):
    assert node.loop.status().observed_generation == 0
    node.specs.emit(upsert(generation=7))
    assert node.loop.status().observed_generation == 0, "heard of is not followed"
    node.rounds()
    assert node.loop.status().observed_generation == 7
    node.specs.emit(Bad(NODE_COLOCATIONS, "node1", "Expected `int`"))
    node.rounds()
    assert node.loop.status().observed_generation == 7, "what cannot be read is not followed"
    node.restart()
    node.rounds()
    assert node.loop.status().observed_generation == 7
    node.specs.emit(Synced(NODE_COLOCATIONS))
    node.rounds()
    assert node.loop.status().observed_generation == 0, "there is no object"


def test_a_disk_that_hangs_holds_up_no_round_and_the_newest_spec_is_kept_in_the_end(node, monkeypatch):
    """A fake: the disk takes a spec when it is let."""
    goes_on, saved = threading.Event(), []

    def save(_path, followed):
        assert goes_on.wait(30)
        saved.append(followed.generation)

    monkeypatch.setattr(state, "save", save)
    began = time.monotonic()
    for generation in range(1, 5):
        node.specs.emit(upsert(generation=generation))
        node.rounds(1)
    assert time.monotonic() - began < 2
    assert node.loop.status().observed_generation == 4, "followed though it is not kept"
    goes_on.set()
    node.specs.close()
    node.rounds(1)
    node.specs.close()
    assert saved == [1, 4]


def test_nothing_known_leaves_values_as_they_are(node):
    node.specs.emit(upsert())
    node.rounds()
    node.specs.close()
    state.forget(node.state / "state")
    node.restart()
    node.rounds()
    assert node.values() == HELD
    node.specs.emit(Synced(NODE_COLOCATIONS))  # listed: there is no such object any more
    node.rounds(1)
    assert node.values() == FREE


def test_deleted_while_we_were_away(node):
    node.specs.emit(upsert())
    node.rounds()
    node.restart()
    node.rounds()
    node.specs.emit(Synced(NODE_COLOCATIONS))
    node.rounds(1)
    assert node.values() == FREE
    node.specs.close()
    assert not (node.state / "state").exists()


def test_a_spec_that_cannot_be_read_leaves_the_last_good_one(node):
    node.specs.emit(upsert())
    node.specs.emit(Synced(NODE_COLOCATIONS))
    node.rounds()
    node.specs.emit(Bad(NODE_COLOCATIONS, "node1", "Expected `int`"))
    node.specs.emit(Synced(NODE_COLOCATIONS))
    node.rounds()
    assert node.values() == HELD
    conditions = {c.type: c for c in node.loop.status().conditions}
    assert conditions["SpecReadable"].status == "False"
    node.specs.emit(upsert())
    assert {c.type: c.status for c in node.loop.status().conditions}["SpecReadable"] == "True"


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"\xff\xfe", b'{"pods": 7}'])
def test_garbage_in_the_kept_spec_is_no_spec(node, garbage):
    node.state.mkdir()
    (node.state / "state").write_bytes(garbage)
    assert Specs(node.state / "state").take() is None


def test_a_state_folder_that_cannot_be_written_stops_nothing(node, caplog):
    node.state.write_text("a file where a folder should be")
    node.specs.emit(upsert())
    node.rounds()
    assert node.values() == FREE, "what cannot be noted is not changed"
    assert node.loop.status().conditions[0].status == "False"
    assert node.loop.status().node.cpu is not None
    for _ in range(3):
        node.specs.close()
        node.rounds(1)
    assert sum(record.message == "spec not kept" for record in caplog.records) == 1, "said once"
    node.specs.close()
    node.state.unlink()
    node.rounds()
    node.specs.close()
    assert state.load(node.state / "state") == Followed(SPEC, 1), "kept as soon as it can be"
    assert node.values() == HELD


def test_an_agent_that_has_heard_of_no_spec_does_not_say_that_it_enforces(node):
    node.rounds(3)
    assert enforced(node) == ("False", "NoSpec", "no spec has been heard of: values are left as they are")
    node.specs.emit(upsert())
    node.rounds(1)
    assert enforced(node) == ("True", "Applied", "")


def test_a_fault_in_what_is_learnt_ends_neither_protection_nor_reports(node, monkeypatch):
    sent = []

    class Api:
        def patch_status(self, body):
            sent.append(body)

    sender = Sender(Api())
    sender.submit = sender.send
    node.loop = node.make(sender)
    monkeypatch.setattr(node.loop.histories, "learn", lambda *_, **__: 1 / 0)
    node.specs.emit(upsert())
    node.rounds(150)
    assert node.values() == HELD
    assert node.loop.faults > 0
    assert len(sent) > 2


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


def test_health_and_metrics(node):
    node.specs.emit(upsert())
    for group, percent in (("podonline1", "40.50"), ("besteffort/podbe1", "99.00")):
        text = f"some avg10={percent} avg60=0.00 avg300=0.00 total=1\n"
        (node.root / "kubepods" / group / "cpu.pressure").write_text(text)
    node.rounds()
    server = serve("127.0.0.1:0", node.loop, node.sampler, node.applier, None)
    try:

        def get(path):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        assert get("/healthz")[0] == 200
        node.loop.beat = time.monotonic() - 60
        assert get("/healthz")[0] == 503
        assert get("/readyz")[0] == 200
        node.loop.enforced_at = None
        assert get("/readyz")[0] == 503
        code, text = get("/metrics")
        assert code == 200
        assert "colocation_agent_writes_total 3.0" in text
        assert "colocation_agent_be_pods 1.0" in text
        assert "colocation_agent_be_cpu_cores 0.0" in text
        assert "colocation_agent_be_memory_bytes 4096.0" in text
        assert 'colocation_agent_be_pressure_ratio{resource="cpu"} 0.99' in text, "the load of offline work that waits"
        assert "colocation_agent_be_cpu_requested_cores 0.5" in text
        assert 'colocation_agent_online_pressure_ratio{resource="cpu"} 0.405' in text, "the BE pod's 99 is not online"
        assert 'online_pressure_ratio{resource="io"}' not in text, "unknown is absent, not 0"
        assert "colocation_agent_node_memory_unavailable_bytes 4000.0" in text
        assert get("/secret")[0] == 404
    finally:
        server.stop()


class Reports:
    """NOT a sender: as many reports have arrived as a test says."""

    def __init__(self, sent=1, error=""):
        self.sent, self.error, self.failures, self.busy = sent, error, 0, True

    def failure(self):
        return None


def test_an_agent_is_ready_once_it_has_reported_and_enforces(node):
    reports = Reports(sent=0, error="503 ServiceUnavailable: away")
    node.loop = node.make(reports)
    assert "503" in unready(node.loop, node.applier, reports)
    node.specs.emit(upsert())
    node.rounds()
    assert "no report has arrived yet" in unready(node.loop, node.applier, reports), "it enforces, and has not reported"
    reports.sent = 1
    assert unready(node.loop, node.applier, reports) == ""
    reports.error = "0 Unreachable: refused"
    assert unready(node.loop, node.applier, reports) == "", "the API server may be away for a day"


def test_an_agent_that_was_told_nothing_is_not_ready(node):
    node.rounds()
    assert "no spec" in unready(node.loop, node.applier, Reports())


def test_an_agent_whose_rounds_fail_is_not_ready(node, monkeypatch):
    node.specs.emit(upsert())
    node.rounds()
    assert unready(node.loop, node.applier, Reports()) == ""
    monkeypatch.setattr(node.applier, "apply", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        node.rounds(1)
    node.loop.beat = time.monotonic()  # its loop goes on: it is alive, and protects nobody
    node.loop.enforced_at -= 15
    assert "last enforced" in unready(node.loop, node.applier, Reports())


def test_an_agent_none_of_whose_values_can_be_written_is_not_ready_and_one_with_some_is(node, monkeypatch):
    refused = {"cpu.max", "cpu.idle", "memory.max"}
    write = apply.write_value

    def refusing(path, value, kind):
        """NOT the kernel: refuses some files."""
        if Path(path).name in refused:
            raise OSError(errno.EINVAL, "Invalid argument")
        write(path, value, kind)

    monkeypatch.setattr(apply, "write_value", refusing)
    node.specs.emit(upsert())
    node.rounds(3)
    assert node.applier.refused
    assert "can be written" in unready(node.loop, node.applier, Reports())
    refused.discard("cpu.max")
    node.loop = node.make(Reports())
    node.specs.emit(upsert())
    node.rounds(4)
    assert node.applier.refused
    assert unready(node.loop, node.applier, Reports()) == "", "one value that a kernel lacks stops no update"


def test_an_agent_with_nothing_to_limit_is_ready(node):
    node.specs.emit(upsert(NodeColocationSpec()))
    node.rounds()
    assert unready(node.loop, node.applier, Reports()) == ""


def test_its_own_cost_is_in_the_metrics(node):
    """CPU and memory of this very process, as /proc has them."""
    server = serve("127.0.0.1:0", node.loop, node.sampler, node.applier, None)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        before = sum(os.times()[:2])
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        rows = dict(line.split(" ") for line in text.splitlines() if line.startswith("process_"))
        assert before - 0.1 <= float(rows["process_cpu_seconds_total"]) <= sum(os.times()[:2]) + 0.1
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert float(rows["process_resident_memory_bytes"]) == pytest.approx(resident, rel=0.2)
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "127.0.0.1:x"])
def test_a_bad_address(node, address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        serve(address, node.loop, node.sampler, node.applier, None)


def arguments(node, *more):
    parser = argparse.ArgumentParser()
    main.add_arguments(parser)
    return parser.parse_args(["--cgroup-root", str(node.root), "--state-dir", str(node.state), *more])


def test_once_prints_a_report_and_writes_nothing(node, capsys):
    node.state.mkdir()
    state.save(node.state / "state" / "spec.json", Followed(SPEC, 1))
    before = {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}
    assert main.run(arguments(node, "--once", "--interval", "0.1")) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["uid"] for row in report["pods"]} == {"be1", "online1"}
    assert before == {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}
    assert [path.name for path in node.state.iterdir()] == ["state"]


def test_restore_command(node, capsys):
    node.specs.emit(upsert())
    node.rounds()
    assert main.run(arguments(node, "--restore")) == 0
    assert len(json.loads(capsys.readouterr().out)["restored"]) == 3
    assert node.values() == FREE


def test_no_cgroups_and_no_node_name_are_said(node, tmp_path, caplog, monkeypatch):
    args = arguments(node)
    args.cgroup_root = str(tmp_path / "nowhere")
    assert main.run(args) == 1
    args = arguments(node)
    args.node = ""
    assert main.run(args) == 2
    assert "NODE_NAME" in caplog.text


def test_what_was_learnt_outlives_the_agent(node):
    node.rounds(200)
    result = {row.uid: row.predicted for row in node.loop.status().pods}
    assert result.keys() == {"be1", "online1"}
    assert all(one is not None and one.observed_seconds == 180 for one in result.values())
    assert not (node.state / "state" / "histories.json").exists(), "not yet due"
    node.loop.close()
    node.loop = node.make()
    node.rounds(20)
    assert {row.uid: row.predicted for row in node.loop.status().pods} == result


def test_every_five_minutes_it_is_kept_so_that_a_kill_costs_little(node):
    node.rounds(310)
    assert node.loop._keeper.wait()
    node.loop = node.make()  # no close: killed
    assert node.loop.histories.pods["online1"].prediction.observed_seconds == 300
