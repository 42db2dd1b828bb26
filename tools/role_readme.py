"""The table of variables in each role's README, from the role's argument specs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ROLES = ROOT / "roles"
BEGIN, END = (
    "<!-- variables: written by `make generate` from meta/argument_specs.yml -->\n",
    "<!-- end of variables -->\n",
)
_MARKUP = re.compile(r"\b[A-Z]\(([^()]*)\)")


def outputs() -> dict[str, Callable[[], str]]:
    """README path to what renders it, for every role."""
    return {f"roles/{role.name}/README.md": partial(render, role) for role in sorted(ROLES.iterdir()) if role.is_dir()}


def render(role: Path) -> str:
    """The README with its table as the argument specs have it; what is around the table is written by hand."""
    text = (role / "README.md").read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{role.name}/README.md has lost the lines around its table of variables")
    return f"{head}{BEGIN}{table((role / 'meta/argument_specs.yml').read_text())}{END}{tail}"


def table(specs: str) -> str:
    """A Markdown table: the ways into the role, then its variables."""
    points = yaml.safe_load(specs)["argument_specs"]
    rows = ["| tasks_from | does |", "|---|---|"]
    rows += [f"| `{name}` | {_text(spec['short_description'])} |" for name, spec in points.items()]
    options: dict[str, Any] = {}
    for spec in points.values():
        options |= spec.get("options") or {}
    if options:
        rows += ["", "| variable | type | default | what it is |", "|---|---|---|---|", *_rows(options, "")]
    return "\n".join(rows) + "\n"


def _rows(options: dict[str, Any], above: str) -> list[str]:
    rows = []
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = (
            "required"
            if option.get("required")
            else f"`{json.dumps(option['default'])}`"
            if "default" in option
            else ""
        )
        lines = option["description"]  # one sentence, or a list of paragraphs: ansible takes both
        summary = " ".join(_text(line) for line in ([lines] if isinstance(lines, str) else lines))
        if "choices" in option:
            summary += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        rows.append(f"| `{above}{name}` | {kind} | {default} | {summary} |")
        rows += _rows(option.get("options") or {}, f"{above}{name}.")
    return rows


def _text(line: str) -> str:
    return _MARKUP.sub(r"`\1`", line).replace("|", "\\|")
