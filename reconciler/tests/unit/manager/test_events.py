"""Events: few, short, and never lost without a word."""

from __future__ import annotations

from typing import Any

import pytest

from colocation.kube.rest import ApiError
from colocation.manager.events import BURST, NOTE_BYTES, QUIET_SECONDS, About, Events, Sender

NODE = About("Node", "n", "u")


class Told:
    """A clock by hand, and what was written."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bodies: list[dict[str, Any]] = []
        self.events = Events(self.bodies.append, "me", lambda: self.now)


def test_one_of_a_kind_a_minute_and_the_next_says_how_many_were_left_out() -> None:
    told = Told()
    assert [told.events.tell(NODE, "RoomFell", lambda: "x") for _ in range(4)] == [True, False, False, False]
    assert told.events.tell(NODE, "RoomRose", lambda: "x")
    told.now = QUIET_SECONDS
    assert told.events.tell(NODE, "RoomFell", lambda: "y")
    assert told.bodies[-1]["note"] == "y (3 more before this one: see the log)"


def test_a_thousand_nodes_at_once_do_not_flood_and_cost_no_words() -> None:
    told, asked = Told(), []

    def words() -> str:
        asked.append(1)
        return "x"

    for i in range(1000):
        told.events.tell(About("Node", f"n{i}", "u"), "Withdrawn", words)
    assert len(told.bodies) == len(asked) == BURST


def test_a_note_is_cut_to_what_the_api_takes() -> None:
    told = Told()
    told.events.tell(NODE, "RoomFell", lambda: "ü" * 2000)
    assert len(told.bodies[0]["note"].encode()) <= NOTE_BYTES


def test_an_object_that_is_gone_is_forgotten() -> None:
    told = Told()
    told.events.tell(NODE, "RoomFell", lambda: "x")
    told.events.forget("Node", "n")
    assert told.events._last == {}


class FakeRest:
    """NOT an API server: answers as a test likes, which a real one does not do on demand."""

    def __init__(self, answers: list[Exception | None]) -> None:
        self.answers = answers

    def create(self, path: str, body: object, label: str) -> bytes:
        assert isinstance(body, dict)
        assert (path, label) == ("/apis/events.k8s.io/v1/namespaces/default/events", "events")
        if (error := self.answers.pop(0)) is not None:
            raise error
        return b"{}"


@pytest.mark.parametrize("leads", [True, False])
def test_what_cannot_be_written_is_counted_and_the_next_is_tried(*, leads: bool) -> None:
    counted: list[str] = []
    rest = FakeRest([ApiError(403, "Forbidden", "no"), ValueError("odd"), None])
    sender = Sender(rest, lambda: leads, counted.append)  # type: ignore[arg-type]
    told = Told()
    for _ in range(3):
        sender.send({"reason": "x", "metadata": {"namespace": "default"}})
    sender.start()
    sender.stop(5)
    assert counted == (["403", "error", "ok"] if leads else [])
    assert told.bodies == []


def test_a_queue_that_is_full_never_blocks() -> None:
    counted: list[str] = []
    sender = Sender(FakeRest([]), lambda: True, counted.append)  # type: ignore[arg-type]
    for _ in range(int(BURST) * 4 + 2):
        sender.send({})
    assert counted == ["dropped"] * 2
