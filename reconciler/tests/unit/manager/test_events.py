"""Events: few, short, and never lost without a word."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from colocation.kube.rest import ApiError
from colocation.manager.events import (
    BURST,
    INSTANCE_BYTES,
    NOTE_BYTES,
    QUIET_SECONDS,
    About,
    Events,
    EventSender,
    event,
)

NODE = About("Node", "n", "u")


class Told:
    """A clock by hand, and what was written."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bodies: list[dict[str, Any]] = []
        self.events = Events(self.bodies.append, "me", lambda: self.now)


def test_one_of_a_kind_a_minute_and_the_next_says_how_many_were_left_out() -> None:
    result = Told()
    assert [result.events.tell(NODE, "PublishedDecreased", lambda: "x") for _ in range(4)] == [
        True,
        False,
        False,
        False,
    ]
    assert result.events.tell(NODE, "PublishedIncreased", lambda: "x")
    result.now = QUIET_SECONDS
    assert result.events.tell(NODE, "PublishedDecreased", lambda: "y")
    assert result.bodies[-1]["note"] == "y (3 more before this one: see the log)"


def test_a_thousand_nodes_at_once_do_not_flood_and_cost_no_words() -> None:
    result, asked = Told(), []

    def words() -> str:
        asked.append(1)
        return "x"

    for i in range(1000):
        result.events.tell(About("Node", f"n{i}", "u"), "Withdrawn", words)
    assert len(result.bodies) == len(asked) == BURST


@given(st.text(max_size=1500) | st.integers(0, 2000).map("ü".__mul__), st.text(max_size=200))
def test_an_event_is_cut_to_what_the_api_takes(note: str, who: str) -> None:
    body = event(NODE, "PublishedDecreased", note, who, warning=False)
    for text, most, whole in ((body["note"], NOTE_BYTES, note), (body["reportingInstance"], INSTANCE_BYTES, who)):
        assert len(text.encode()) <= most
        assert text == whole or (text.endswith("...") and whole.startswith(text[:-3]))


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABEL, min_size=1, max_size=60).map(".".join).filter(lambda name: len(name) <= 253))
@example("n" * 199 + "-" + "x" * 40)
@example("a." * 126 + "a")
@example("x" + "-" * 250 + "x")
def test_an_events_name_is_one_whatever_name_its_object_has(name: str) -> None:
    made = event(About("Node", name, "u"), "PublishedDecreased", "x", "me", warning=False)["metadata"]["name"]
    assert len(made) <= 253
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", made)


def test_an_object_that_is_gone_is_forgotten() -> None:
    result = Told()
    result.events.tell(NODE, "PublishedDecreased", lambda: "x")
    result.events.forget("Node", "n")
    assert result.events._last == {}


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
    sender = EventSender(rest, lambda: leads, counted.append)  # type: ignore[arg-type]
    result = Told()
    for _ in range(3):
        sender.send({"reason": "x", "metadata": {"namespace": "default"}})
    sender.start()
    sender.stop(5)
    assert counted == (["403", "error", "ok"] if leads else [])
    assert result.bodies == []


def test_a_queue_that_is_full_never_blocks() -> None:
    counted: list[str] = []
    sender = EventSender(FakeRest([]), lambda: True, counted.append)  # type: ignore[arg-type]
    for _ in range(int(BURST) * 4 + 2):
        sender.send({})
    assert counted == ["dropped"] * 2
