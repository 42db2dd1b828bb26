"""What a newer agent says, and this manager cannot read, costs itself alone: never its node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from colocation.manager.node import colocation_facts
from colocation.model.wire import Metadata, NodeColocation


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


NEWER = {
    "conditions": [{"type": "Enforced", "status": "Mostly", "reason": "r", "message": "", "lastTransitionTime": ""}],
    "capabilities": {"kernel": "k" * 999, "features": ["x" * 65]},
    "engine": {"mode": "m" * 65},
    "pressure": {"cpu": "high"},
    "agentVersion": "v" * 99,
    "windowSeconds": "a minute",
    "evictionRequests": [{"uid": "a", "reason": "IoHigh", "message": "m" * 111}],
    "weather": {"today": 1},
}


@pytest.mark.parametrize("part", NEWER)
def test_what_a_newer_agent_says_beside_the_numbers_does_not_withdraw_its_node(part: str) -> None:
    numbers = {"observedAt": "now", "system": {"cpu": 1, "memory": 2}, "node": {"cpu": 3}, "pods": [{"uid": "u"}]}
    facts = colocation_facts(NodeColocation(Metadata("n"), status=raw({**numbers, part: NEWER[part]})))
    assert facts.problem is None
    assert facts.status is not None
    assert (facts.status.system.cpu, len(facts.status.pods)) == (1, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("part", [{"system": {"cpu": "1"}}, {"pods": [{"uid": 7}]}, {"node": 7}, {"observedAt": 7}])
def test_numbers_that_cannot_be_read_are_a_problem_of_their_node(part: dict[str, Any]) -> None:
    facts = colocation_facts(NodeColocation(Metadata("n"), status=raw({"observedAt": "now", **NEWER, **part})))
    assert facts.status is None
    assert facts.problem is not None
    assert facts.problem.startswith(next(iter(part))), "it names the number, not what stands beside it"
