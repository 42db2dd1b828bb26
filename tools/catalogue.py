"""The console's sentences, gathered from where they stand: templates, code, a policy's fields, the manager's phrases.

    python -m tools.catalogue          lists what the Chinese catalogue lacks, has too much, or has with other values

A sentence is a literal argument of ``t(...)``, ``t.plain(...)`` or ``t.count(...)``; tables of sentences in code are
named in TABLES.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any, Final

import jinja2
from jinja2 import nodes

from colocation.console import charts, forms, nodes_table, pages, shapes, speech
from colocation.console.schema import schema
from colocation.model import phrase

HOME: Final = Path(pages.__file__).parent
CATALOGUE: Final = HOME / "locales/zh.json"
_WORD: Final = re.compile(r"[^\W\d_]")


def sentences() -> set[str]:
    """All of them."""
    return {*_of_templates(), *_of_code(), *_of_tables()} - {""}


def _speaks(sentence: str) -> bool:
    """It has words of its own, beside the values in it."""
    return bool(_WORD.search(re.sub(r"{\w+}", "", sentence)))


def _of_templates() -> Iterator[str]:
    environment = jinja2.Environment()  # noqa: S701 (parses only)
    for path in sorted((HOME / "templates").glob("*.html")):
        tree = environment.parse(path.read_text("utf-8"))
        for call in tree.find_all(nodes.Call):
            if _is_t(call.node):
                yield from (arg.value for one in call.args for arg in _constants(one))


def _is_t(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        node = node.node
    return isinstance(node, nodes.Name) and node.name == "t"


def _constants(node: nodes.Node) -> Iterator[nodes.Const]:
    """Literal texts that a call may be given: also both sides of `a if b else c`."""
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node
    if isinstance(node, nodes.CondExpr):
        for side in (node.expr1, node.expr2):
            if side is not None:
                yield from _constants(side)


def _of_code() -> Iterator[str]:
    for path in sorted(HOME.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _calls_t(node.func):
                for one in node.args:
                    yield from _texts(one)


def _calls_t(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute) and function.attr in ("plain", "count"):
        function = function.value
    return (isinstance(function, ast.Name) and function.id == "t") or (
        isinstance(function, ast.Attribute) and function.attr == "_t"
    )


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _of_tables() -> Iterator[str]:
    yield from pages.WORDS
    yield from (name for _, name in pages.SECTIONS)
    for name, meaning in speech.STATES.values():
        yield from (name, meaning)
    for table in (
        speech.PROBLEMS,
        speech.RISKS,
        shapes.PARTS,
        speech.OUTCOMES,
        forms.GROUPS,
        shapes.WRONG,
        phrase.ENGLISH,
    ):
        yield from table.values()
    for term, meaning in speech.TERMS.items():
        yield from (term, meaning)
    for column in (*nodes_table.COLUMNS, *nodes_table.AMOUNTS):
        yield from (column.name, column.meaning)
    yield from speech.WORDS
    yield from (part for parts in shapes.LOOKS.values() for part in parts)
    for chart in charts.CHARTS:
        yield from (chart.title, chart.text)
    yield from (label for lines in charts.QUERIES.values() for _, label, _ in lines if "{" not in label)
    for field in schema().fields:
        yield field.text
        yield shapes.label_of(field.path)


def faults() -> list[str]:
    """What is wrong with the Chinese catalogue."""
    given: dict[str, str] = json.loads(CATALOGUE.read_text("utf-8"))
    wanted = sentences()
    found = [f"lacks: {one}" for one in sorted(wanted - given.keys()) if _speaks(one)]
    found += [f"is used nowhere: {one}" for one in sorted(given.keys() - wanted)]
    for sentence, translated in sorted(given.items()):
        if _values(sentence) != _values(translated):
            found.append(f"other values: {sentence!r} and {translated!r}")
        if not translated.strip():
            found.append(f"is empty: {sentence!r}")
    return found


def _values(sentence: str) -> set[Any]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def main() -> int:
    """List them; the exit status."""
    found = faults()
    for one in found:
        print(f"{CATALOGUE.name}: {one}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
