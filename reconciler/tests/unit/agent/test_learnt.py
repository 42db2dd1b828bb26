"""What is learnt of the pods outlives the agent, and a fault in it ends nothing else."""

from __future__ import annotations

from colocation.agent.reporter import ReportSender

from .made_node import HELD, upsert


def test_a_fault_in_what_is_learnt_ends_neither_protection_nor_reports(node, monkeypatch):
    sent = []

    class Api:
        def patch_status(self, body):
            sent.append(body)

    sender = ReportSender(Api())
    sender.submit = sender.send
    node.loop = node.make(sender)
    monkeypatch.setattr(node.loop.histories, "learn", lambda *_, **__: 1 / 0)
    node.specs.emit(upsert())
    node.rounds(150)
    assert node.values() == HELD
    assert node.loop.faults > 0
    assert len(sent) > 2


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
