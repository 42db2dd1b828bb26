"""The table of values in the chart's README, from the comments of values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[1] / "charts/colocation-package"
BEGIN, END = "<!-- values: written by `make generate` from values.yaml -->\n", "<!-- end of values -->\n"
_MARK = "# -- "


def render() -> str:
    """The README with its table as values.yaml has it now; what is around the table is written by hand."""
    text = (CHART / "README.md").read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{CHART.name}/README.md has lost the lines around its table of values")
    return f"{head}{BEGIN}{table((CHART / 'values.yaml').read_text())}{END}{tail}"


def table(values: str) -> str:
    """A Markdown table. Raises ValueError for a value that no comment explains."""
    rows = ["| value | default | what it is |", "|---|---|---|"]
    rows += [f"| `{key}` | {_code(default)} | {summary} |" for key, default, summary in explained(values)]
    return "\n".join(rows) + "\n"


def explained(values: str) -> Iterator[tuple[str, object, str]]:
    """Key, default and explanation of each value with a comment `# -- ...` right above it."""
    lines, tree = values.splitlines(), yaml.compose(values)
    yield from _walk(tree, yaml.safe_load(values), lines, ())


def _walk(
    node: yaml.Node | None, value: object, lines: list[str], path: tuple[str, ...]
) -> Iterator[tuple[str, object, str]]:
    if not isinstance(node, yaml.MappingNode) or not isinstance(value, dict) or not value:
        raise ValueError(f"values.yaml: {'.'.join(path)} has no comment that begins with '{_MARK.strip()}'")
    for key, child in node.value:
        here = (*path, str(key.value))
        above = lines[key.start_mark.line - 1].strip()
        if above.startswith(_MARK):
            yield ".".join(here), value[key.value], above.removeprefix(_MARK)
        else:
            yield from _walk(child, value[key.value], lines, here)


def _code(default: object) -> str:
    return f"`{json.dumps(default)}`".replace("|", "\\|")
