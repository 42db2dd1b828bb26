"""What a log line or a terminal gets of text that somebody else wrote."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from colocation import logs
from colocation.cli.common import show, table
from colocation.text import json_line, printable

ANY = st.text(st.characters(), max_size=200)  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
    max_leaves=6,
)


@given(ANY)
def test_nothing_printed_moves_the_cursor_or_ends_a_line(text: str) -> None:
    assert printable(text).isprintable()


def test_letters_of_every_script_stay_as_they_are() -> None:
    assert printable("Größe 大小 \N{SNOWMAN}") == "Größe 大小 \N{SNOWMAN}"
    assert printable("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"


@given(st.dictionaries(ANY, VALUES, max_size=4))
def test_a_json_line_is_one_line_of_ascii_json_whatever_it_tells(document: dict[str, object]) -> None:
    line = json_line(document)
    assert line.isascii()
    assert line.isprintable()
    assert set(json.loads(line)) == set(document)


def test_what_cannot_be_written_at_all_costs_only_itself() -> None:
    endless: list[object] = []
    endless.append(endless)
    result = json.loads(json_line({"a": 10**5000, "b": endless, "c": "stays", "\ud800": 1}))
    assert "cannot be written" in result["a"]
    assert result["b"] == "[[...]]"
    assert result["c"] == "stays"
    assert result["\ud800"] == "1"


def test_what_json_can_hold_is_told_unchanged() -> None:
    document = {"a": "ä\n\U0001f4a9", "b": [1, None, 2.5, True], "c": {"d": 2**70}}
    assert json.loads(json_line(document)) == document


@given(ANY, ANY)
def test_a_log_record_is_one_json_object_a_line(message: str, node: str) -> None:
    stream = io.StringIO()
    logs.setup(stream=stream)
    try:
        raise ValueError(message)  # noqa: TRY301
    except ValueError:
        logging.getLogger("x").exception("%s", message, extra={"node": node, "odd": {1: {node}}})
    (line,) = stream.getvalue().splitlines()
    result = json.loads(line)
    assert result["level"] == "error"
    assert {"time", "logger", "message", "node", "odd", "exception"} <= set(result)


def test_a_text_log_does_not_obey_what_a_message_quotes() -> None:
    stream = io.StringIO()
    logs.setup(form="text", stream=stream)
    logging.getLogger("x").warning("refused: %s", "a\n2026-11-21 ERROR x fake\x1b[2J")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r"refused: a\n2026-11-21 ERROR x fake\x1b[2J")


@given(ANY)
def test_a_table_cell_stays_in_its_cell(text: str) -> None:
    lines = table([["head", "x"], [text, "y"]]).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_output_for_programs_is_ascii(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": "\x9b31m\u202e\x1b]0;x\x07"}, form)
    answer = capsys.readouterr().out
    assert answer.isascii()
    assert answer.replace("\n", "").isprintable()


@given(st.text(st.characters(codec="utf-8"), max_size=100))
def test_a_label_value_stays_in_its_label(text: str) -> None:
    registry = CollectorRegistry()
    Gauge("g", "", ["node"], registry=registry).labels(text).set(1)
    (family,) = text_string_to_metric_families(generate_latest(registry).decode())
    (sample,) = family.samples
    assert sample.labels == {"node": text}
