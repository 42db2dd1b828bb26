# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is **PRIVATE** to the collection; it can change at any time.

"""Set single values of a TOML file, and leave every other line, comments included, as it is."""

from __future__ import annotations

import re
import tomllib
import typing as t

JSON = t.Dict[str, t.Any]
Value = t.Union[str, bool, int, None]
Path = t.Tuple[str, ...]
_HEADER = re.compile(r"^\s*\[(?!\[)(?P<inside>.+?)\]\s*(#.*)?$")
_ANY_HEADER = re.compile(r"^\s*\[")


class CannotEdit(ValueError):
    """The text is no TOML, or written in a way that cannot be changed line by line."""


def load(text: str | None, where: str) -> JSON:
    """The content; raises CannotEdit, with the place."""
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as e:
        raise CannotEdit(f"{where} cannot be read as TOML: {e}") from e


def get(content: t.Any, path: Path) -> t.Any:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def set_value(text: str, path: Path, value: Value) -> str:
    """The text with one value set, or taken out (None). Raises CannotEdit where anything else would change with it."""
    before = load(text, "the configuration")
    if get(before, path) == value:
        return text
    lines = text.splitlines(keepends=True)
    first, last = _table(lines, path[:-1])
    at = [n for n in range(first, last) if re.match(rf"\s*(?:{re.escape(path[-1])}|\"{re.escape(path[-1])}\")\s*=", lines[n])]
    if value is None:
        lines[at[0] : at[0] + 1] = [] if at else []
    elif at:
        indent, rest = re.match(r"(\s*)[^=]*=\s*(?:\"[^\"]*\"|'[^']*'|[^#\s]+)(.*)", lines[at[0]], re.DOTALL).groups()  # type: ignore[union-attr]
        lines[at[0]] = f"{indent}{path[-1]} = {render(value)}{rest if rest.endswith(chr(10)) else rest + chr(10)}"
    elif first > len(lines):
        gap = "" if not lines or lines[-1].endswith("\n") else "\n"
        lines.append(f"{gap}\n[{'.'.join(map(_key, path[:-1]))}]\n{path[-1]} = {render(value)}\n")
    else:
        indent = re.match(r"\s*", lines[first - 1]).group() if first else ""  # type: ignore[union-attr]
        lines.insert(first, f"{indent}{'  ' if first else ''}{path[-1]} = {render(value)}\n")
    edited = "".join(lines)
    try:
        if _plain(load(edited, "")) == _plain(_with(before, path, value)):
            return edited
    except CannotEdit:
        pass
    raise CannotEdit(f"{'.'.join(map(_key, path))} cannot be set to {render(value)} line by line")


def render(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _table(lines: list[str], table: Path) -> tuple[int, int]:
    """First line after the table's header, and the line after its last; both beyond the text if there is no such table."""
    starts = [n for n, line in enumerate(lines) if _ANY_HEADER.match(line)]
    if not table:
        return 0, starts[0] if starts else len(lines)
    for number in starts:
        if _named(lines[number]) == table:
            return number + 1, next((n for n in starts if n > number), len(lines))
    return len(lines) + 1, len(lines) + 1


def _named(line: str) -> Path | None:
    match = _HEADER.match(line)
    if not match:
        return None
    try:
        content: t.Any = tomllib.loads(f"[{match['inside']}]")
    except tomllib.TOMLDecodeError:
        return None
    names: list[str] = []
    while content:
        ((name, content),) = content.items()
        names.append(name)
    return tuple(names)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else render(name)


def _with(content: JSON, path: Path, value: Value) -> JSON:
    head, rest = path[0], path[1:]
    if rest:
        below = content.get(head)
        return {**content, head: _with(below if isinstance(below, dict) else {}, rest, value)}
    return {key: old for key, old in {**content, head: value}.items() if old is not None}


def _plain(content: t.Any) -> t.Any:
    """Without tables that hold nothing: whether an empty header stays is no difference."""
    if not isinstance(content, dict):
        return content
    plain = {key: _plain(value) for key, value in content.items()}
    return {key: value for key, value in plain.items() if value != {}}
