"""Amounts that the API server wrote are read by the one parser of quantities: it writes 1000 as "1k"."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from tests.lab.config import CLONE

KEYS = "BE_CPU|BE_MEMORY|GATE|be-cpu|be-memory|be-pods"
AMOUNT = re.compile(rf"['\"](capacity|allocatable|requests|limits)['\"]|{KEYS}")
IN_TEMPLATE = re.compile(rf"(capacity|allocatable|requests|limits|{KEYS})[^|}}]*\|\s*(int|float)\b")


def tracked(*patterns: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", *patterns], cwd=CLONE, capture_output=True, text=True, check=True)
    return done.stdout.split()


def conversions(source: str) -> list[str]:
    """Each `int(...)` and `float(...)` whose argument names an amount of a Kubernetes object."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    return [
        ast.unparse(call)
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in ("int", "float")
        and not isinstance(call.args[0], ast.BinOp)  # arithmetic is of numbers already
        and AMOUNT.search(ast.unparse(call.args[0]))
    ]


@pytest.mark.parametrize("top", ["build", "plugins", "reconciler", "tests", "tools"])
def test_python_converts_no_kubernetes_amount_by_int_or_float(top: str) -> None:
    found = {file: calls for file in tracked(f"{top}/*.py") if (calls := conversions((CLONE / file).read_text()))}
    assert not found, "use colocation.model.quantity.parse (plugins: module_utils' generated copy of it)"


def test_jinja_converts_no_kubernetes_amount_by_int_or_float() -> None:
    files = tracked("roles/*.yml", "roles/*.j2", "playbooks/*.yml", "tests/*.yml")
    assert files
    assert not [file for file in files if IN_TEMPLATE.search((CLONE / file).read_text())]


@pytest.mark.parametrize(
    "source", ['int(status["allocatable"].get(BE_CPU, 0))', 'float(node["capacity"]["memory"])', "int(x[GATE])"]
)
def test_such_a_conversion_is_found(source: str) -> None:
    assert conversions(source)
