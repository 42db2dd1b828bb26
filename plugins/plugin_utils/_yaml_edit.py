# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is **PRIVATE** to the collection; it can change at any time.

"""Change top-level keys of a YAML mapping, and leave every other line, comments included, as it is. JSON stays JSON."""

from __future__ import annotations

import json
import re
import typing as t

import yaml

JSON = t.Dict[str, t.Any]


class NoMapping(ValueError):
    """The text is no YAML mapping."""


def load(text: str | None, where: str) -> JSON:
    """The mapping in a text; raises NoMapping, with the place."""
    try:
        value = yaml.safe_load(text or "")
    except yaml.YAMLError as e:
        raise NoMapping(f"{where} cannot be read as YAML: {' '.join(str(e).split())}") from e
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NoMapping(f"{where} is no YAML mapping")
    return value


def edit(text: str, wanted: JSON) -> str:
    """The text with the content wanted: keys that differ are rewritten, those that are gone are cut out."""
    have = load(text, "the configuration")
    if have == wanted:
        return text
    if _is_json(text):
        indent = re.match(r"\s*\{\s*?\n(\s+)\S", text)
        return json.dumps(wanted, indent=len(indent.group(1)) if indent else None, ensure_ascii=False) + text[len(text.rstrip()) :]
    edited = _cut(text, [key for key in have if have[key] != wanted.get(key) or key not in wanted])
    for key in [key for key in wanted if key not in have or have[key] != wanted[key]]:
        if edited and not edited.endswith("\n"):
            edited += "\n"
        edited += dump({key: wanted[key]})
    try:
        if load(edited, "") == wanted:
            return edited
    except NoMapping:
        pass
    return dump(wanted)  # anchors, a flow mapping, several documents: nothing that could be kept line by line


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def dump(value: JSON) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False, width=110)


def _cut(text: str, keys: t.Collection[str]) -> str:
    """The text without the lines of these keys."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines(keepends=True)
    gone: set[int] = set()
    pairs = root.value if isinstance(root, yaml.MappingNode) and not root.flow_style else []
    for key, value in pairs:
        if key.value in keys:
            last = value.end_mark.line if value.end_mark.column else value.end_mark.line - 1
            # A block ends where the next one begins: blank lines, and comments at the margin, between them are not its own.
            while last > key.start_mark.line and re.match(r"\s*$|#", lines[min(last, len(lines) - 1)]):
                last -= 1
            gone.update(range(key.start_mark.line, max(last, key.start_mark.line) + 1))
    return "".join(line for number, line in enumerate(lines) if number not in gone)
