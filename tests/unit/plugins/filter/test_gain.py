# SPDX-License-Identifier: Apache-2.0
"""What is added up of a report, and how it is told."""

from __future__ import annotations

from ansible_collections.openfuyao.colocation.plugins.filter.gain import gain


def row(name, used_by_be, capacity=4000, reason="2000m left"):
    amounts = {"capacity": capacity, "onlineRequested": 1000, "used": 1500, "published": 2000, "allocated": 500}
    one = {**amounts, "usedByBe": used_by_be}
    return {"node": name, "policy": "default", "open": True, "bePods": 2, "onlinePods": 3, "reason": reason, "cpu": one, "memory": one}


def test_the_gain_is_what_best_effort_pods_use_of_capacity():
    found = gain([row("a", 400), row("b", 1200)])
    assert [n["cpu"]["gainPercent"] for n in found["nodes"]] == [10.0, 30.0]
    assert found["cluster"]["cpu"]["gainPercent"] == 20.0
    assert found["cluster"]["bePods"] == 4
    assert "20.0 % of its cpu" in found["summary"]


def test_what_is_not_known_is_neither_nought_nor_counted():
    found = gain([row("a", None), row("b", 1200)])
    assert found["nodes"][0]["cpu"]["gainPercent"] is None
    assert found["cluster"]["cpu"]["usedByBe"] == 1200
    assert found["table"][1].rstrip().endswith("-")
    assert "unknown part" in gain([row("a", None)])["summary"]


def test_no_gain_is_said_as_nought_and_no_node_in_words():
    assert "0.0 %" in gain([row("a", 0)])["summary"]
    assert gain([])["summary"] == "No node takes part yet."


def test_csv_has_a_line_a_node_and_resource_and_no_formula_of_anybody():
    lines = gain([row("a", 400, reason="=cmd()")])["csv"].splitlines()
    assert lines[0].startswith("node,policy,open,be_pods,resource,capacity,online_requested")
    assert lines[1].startswith("a,default,True,2,cpu,4000,1000,1500,2000,500,400,10.0,'=cmd()")
    assert len(lines) == 3
