"""Log lines: one JSON object each, with keys that do not change."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from colocation import logs
from colocation.budget import log_fields
from tests.lab.config import CLONE
from tests.lab.waiting import eventually

SOURCES = CLONE / "reconciler/src"


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


def keys_of(call: ast.AST) -> set[str]:
    """Keys of the dictionaries that are, or become, the `extra` of a log line."""
    found = set()
    for node in ast.walk(call):
        match node:
            case ast.keyword(arg="extra", value=ast.Dict(keys=keys)):
                pass
            case ast.Assign(targets=[ast.Name(id="extra")], value=ast.Dict(keys=keys)):
                pass
            case ast.AnnAssign(target=ast.Name(id="extra"), value=ast.Dict(keys=keys)):
                pass
            case ast.AugAssign(target=ast.Name(id="extra"), value=ast.Dict(keys=keys)):
                pass
            case _:
                continue
        found |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return found


def test_every_key_of_a_log_line_is_documented_and_none_is_documented_for_nothing() -> None:
    used = set()
    for file in SOURCES.rglob("*.py"):
        used |= keys_of(ast.parse(file.read_text()))
    # `exception` is the formatter's own; these are those of `log_fields`, which has no literal of its own for `extra`.
    assert used - logs.KEYS.keys() == set()
    result = {"policy", "generation", "report_age_seconds", "cpu", "memory", "allocated", "top", "node"}
    assert logs.KEYS.keys() - used - result == {"exception"}
    names = {
        c.value
        for c in ast.walk(ast.parse((SOURCES / "colocation/budget/account.py").read_text()))
        if isinstance(c, ast.Constant) and isinstance(c.value, str)
    }
    assert log_fields is not None
    assert result - {"cpu", "memory", "node"} <= names


def test_the_reference_of_log_keys_is_generated_from_them() -> None:
    page = (CLONE / "docs/logs.md").read_text()
    assert all(f"| `{key}` | {text} |" in page for key, text in logs.KEYS.items())


PROCESS = """
import sys, threading, time
from colocation import logs
import logging

logs.setup(sys.argv[1])
logs.answer_signals()
threading.Thread(target=lambda: time.sleep(60), name="sleeper", daemon=True).start()
print("ready", flush=True)
while True:
    logging.getLogger("colocation.x").debug("whispered")
    time.sleep(0.02)
"""


@pytest.mark.parametrize("level", ["info", "debug"])
def test_sigusr1_writes_all_stacks_and_sigusr2_switches_debug_on_and_off(level: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, level], stdout=subprocess.PIPE, stderr=out, env=env, text=True
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: log.read_text().count("most recent call first") == 2, 10, "two threads' stacks")
        for now in ("debug", level):
            process.send_signal(signal.SIGUSR2)
            eventually(lambda now=now: f"log level is now {now}" in log.read_text(), 10, now)
            eventually(lambda: "whispered" in log.read_text(), 10, "debug lines")
        if level == "info":
            size = log.stat().st_size
            time.sleep(0.3)
            assert log.stat().st_size == size, "debug is off again"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
