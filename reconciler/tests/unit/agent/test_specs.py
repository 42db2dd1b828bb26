"""The spec that is followed: of another version, kept on disk, unreadable, deleted while the agent was away."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from colocation.agent.specs import Specs
from colocation.kube.cache import Bad, Synced
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.node import state
from colocation.node.state import Followed

from .made_node import FREE, HELD, SPEC, stored, upsert

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
    assert sum(record.message == "spec not saved" for record in caplog.records) == 1, "said once"
    node.specs.close()
    node.state.unlink()
    node.rounds()
    node.specs.close()
    assert state.load(node.state / "state") == Followed(SPEC, 1), "kept as soon as it can be"
    assert node.values() == HELD
