"""Pods made to overload or mislead admission are made what any other pod is made, by policies and by webhook."""

from __future__ import annotations

import pytest

from colocation.model.quantity import parse
from tests.lab.apiserver import ApiServer

from .conftest import Pods, container, pod
from .test_admission import CPU, GATE, MEMORY, WAYS


@pytest.fixture(params=WAYS)
def pods(request: pytest.FixtureRequest) -> Pods:
    server: ApiServer = request.getfixturevalue("hooked" if request.param == "webhook" else "policed")
    return Pods(server, "default")


def test_a_thousand_containers_are_all_converted(pods: Pods) -> None:
    """CEL has a budget: what it costs to walk them must fit."""
    asked = ({"cpu": "1m", "memory": "1Mi"}, {"cpu": "2m", "memory": "2Mi"})
    made = pods.admit(pod(*(container(f"c{number}", *asked) for number in range(1000))))
    requests = [one["resources"]["requests"] for one in made["spec"]["containers"]]
    assert {(one[CPU], one[MEMORY]) for one in requests} == {("1", str(2**20))}
    assert not [one for one in requests if set(one) - {CPU, MEMORY, GATE}]
    assert sum(parse(one.get(GATE, "0")) for one in requests) == 1


def test_200_kb_of_annotations_change_nothing(pods: Pods) -> None:
    text = ("\x1b]0;x\x07\n\u202e\N{PILE OF POO}" * 20_000)[:50_000]
    made = pods.admit(pod(metadata={"annotations": {"example.com/a": text}}))
    assert made["metadata"]["annotations"]["example.com/a"] == text
    assert made["spec"]["priorityClassName"] == "priority-be"


def test_a_class_that_is_garbage_is_refused(pods: Pods) -> None:
    assert "qos-level" in pods.refusal(pod(qos="\x1b]0;x\x07\n\u202eBE"))
