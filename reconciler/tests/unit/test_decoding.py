"""Two threads that decode the same type for the first time must not end the process."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"

# Reading Inner's annotation takes long, and Outer is known, half learned, meanwhile.
TWO_THREADS = """
import threading, time
from msgspec import Struct
from colocation.decoding import decode

begun = threading.Event()

def slow():
    begun.set()
    time.sleep(0.2)
    return int

class Inner(Struct):
    x: "slow()" = 0

class Outer(Struct):
    inner: Inner

def go():
    assert decode(b'{"inner": {"x": 1}}', Outer).inner.x == 1

first = threading.Thread(target=go)
first.start()
begun.wait()
go()
first.join()
"""


def test_a_type_is_learned_once_while_the_others_wait() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr  # -11 with msgspec.json.decode(..., type=Outer)


def test_no_type_is_learned_elsewhere_once_there_are_threads() -> None:
    """``decode(type=)``, ``convert`` and, in a function, ``Decoder`` of msgspec are left to ``decoding``."""
    found = [
        f"{path.relative_to(SOURCES)}:{call.lineno}"
        for path in SOURCES.rglob("*.py")
        if path.name != "decoding.py"
        for call in _calls(path)
    ]
    assert not found


def _calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text())
    inside = {
        id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if _learns(call, in_function=id(call) in inside)]


def _learns(call: ast.Call, *, in_function: bool) -> bool:
    name = ast.unparse(call.func)
    if name == "msgspec.json.decode":
        return any(keyword.arg == "type" for keyword in call.keywords)
    return name == "msgspec.convert" or (name.endswith("json.Decoder") and in_function)
