"""Log lines: one JSON object each, with keys that do not change."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from colocation import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.setup("info", "json", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def test_extra_comes_under_its_own_name(lines: io.StringIO) -> None:
    logging.getLogger("colocation.x").warning("said %d", 3, extra={"node": "n1", "odd": {1, 2}})
    line = json.loads(lines.getvalue())
    assert line["time"].endswith("Z")
    assert (line["level"], line["logger"], line["message"], line["node"]) == ("warning", "colocation.x", "said 3", "n1")


def test_an_exception_stays_on_one_line(lines: io.StringIO) -> None:
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("failed")
    [text] = lines.getvalue().splitlines()
    assert "ValueError" in json.loads(text)["exception"]


def test_debug_is_not_said_unless_asked_for(lines: io.StringIO) -> None:
    logging.getLogger("x").debug("nothing")
    assert lines.getvalue() == ""
