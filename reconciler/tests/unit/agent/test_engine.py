"""Engine rubik in the loop: nothing it owns is touched while it runs, nothing is unprotected while it does not."""

from __future__ import annotations

import json

import msgspec
import pytest

from colocation.agent.engine import RubikEngine
from colocation.model.report import Capabilities
from colocation.model.rubik import Rubik as Settings
from colocation.node import rubik as node_rubik
from colocation.node.rubik import Folder

from .made_node import FEATURES, FREE, HELD, SPEC, Node, upsert

OPENEULER = (*FEATURES, "cpu.qos_level", "memory.qos_level", "vm.memcg_qos_enable")
FOR_RUBIK = msgspec.structs.replace(SPEC, engine="rubik", rubik=Settings())
BESIDE = (HELD[0], FREE[1], HELD[2])
"""Quota and memory limit are ours still: rubik knows no be-cpu and no be-memory."""


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    found = Capabilities(kernel="openEuler", cgroup_version=1, cgroup_driver="systemd", features=OPENEULER)
    node.loop._rubik = RubikEngine(node.state / "rubik", found)
    node.folder = Folder(node.state / "rubik")
    return node


def answer(node):
    return {row.type: (row.status, row.message) for row in node.loop.status().conditions}


def features(node):
    return json.loads(node.folder.config())["agent"]["enabledFeatures"]


def test_a_policy_for_the_native_engine_writes_no_config(node):
    node.specs.emit(upsert())
    node.rounds()
    assert node.folder.config() is None
    assert "RubikRunning" not in answer(node)


def test_until_rubik_runs_the_native_engine_protects_and_says_so(node):
    node.specs.emit(upsert(FOR_RUBIK))
    node.rounds()
    assert features(node) == ["preemption"]
    assert node.values() == HELD
    status, message = answer(node)["RubikRunning"]
    assert status == "False"
    assert "rubik.enabled in the chart?" in message


def test_what_rubik_owns_is_put_back_and_left_alone_while_it_runs(node):
    node.specs.emit(upsert())
    node.rounds()
    assert node.values() == HELD
    node.specs.emit(upsert(FOR_RUBIK))
    node.rounds(1)
    node.folder.sign(node.folder.config())
    node.rounds(1)
    assert node.values() == BESIDE
    assert answer(node)["RubikRunning"] == ("True", "preemption")
    idle = node.root / "kubepods/besteffort/podbe1/cpu.idle"
    idle.write_text("1\n")  # whatever rubik does with it
    node.rounds(3)
    assert idle.read_text() == "1\n"


def test_rubik_that_stops_leaves_the_node_to_the_native_engine(node, monkeypatch):
    node.specs.emit(upsert(FOR_RUBIK))
    node.rounds()
    node.folder.sign(node.folder.config())
    node.rounds(1)
    assert node.values() == BESIDE
    monkeypatch.setattr(node_rubik, "FRESH", -1.0)
    node.rounds(1)
    assert node.values() == HELD
    assert answer(node)["RubikRunning"][0] == "False"


def test_back_to_native_rubik_is_given_nothing_to_do_and_its_knobs_are_taken_when_it_has_let_go(node):
    node.specs.emit(upsert(FOR_RUBIK))
    node.rounds()
    node.folder.sign(node.folder.config())
    node.rounds(1)
    node.specs.emit(upsert())
    node.rounds(2)
    assert features(node) == []
    assert node.values() == BESIDE, "it runs by the old config until it was restarted"
    node.folder.sign(node.folder.config())
    node.rounds(1)
    assert node.values() == HELD
    assert "RubikRunning" not in answer(node)


def test_what_the_host_lacks_is_told(node):
    settings = Settings(dyn_memory=True, cpi=True)
    node.specs.emit(upsert(msgspec.structs.replace(FOR_RUBIK, rubik=settings)))
    node.rounds()
    status, message = answer(node)["Supported"]
    assert status == "False"
    assert "rubik dynMemory: no memory.high, no memory.high_async_ratio here; rubik cpi: no perf here" in message
    assert features(node) == ["preemption"]


def test_a_config_that_cannot_be_written_leaves_all_to_the_native_engine(node):
    node.state.mkdir(exist_ok=True)
    (node.state / "rubik").write_text("in the way")
    node.specs.emit(upsert(FOR_RUBIK))
    node.rounds()
    assert node.values() == HELD
    assert answer(node)["RubikRunning"][1].startswith("config.json: ")
