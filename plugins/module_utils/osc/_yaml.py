# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""YAML with places: what stands at a path, in which line, and how to set one value and leave all else as it is written."""

from __future__ import annotations

import functools
import json
import typing as t

try:
    import yaml
except ImportError:  # the modules report it, as missing_required_lib
    yaml = None  # type: ignore[assignment]

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Refused

DEPTH, LEAVES = 100, 1_000_000

Path = t.Tuple[t.Union[str, int], ...]


def text_of(data: bytes, file: str) -> str:
    """A file's text; Refused when it is not UTF-8. A byte order mark of UTF-8 is dropped."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise Refused("encoding", file, f"it is not UTF-8 (byte {e.start}: {data[e.start]:#04x})", line) from None


def load(text: str, file: str) -> t.Any:
    """The first document; Refused with its line when it is not YAML."""
    return next(iter(load_all(text, file)), None)


def load_all(text: str, file: str) -> list[t.Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _parsed(lambda: _measure(text, loader), file)
    except _TooDeep as e:
        raise Refused("archive-bomb", file, str(e)) from None
    return t.cast("list[t.Any]", _parsed(lambda: list(yaml.load_all(text, Loader=loader)), file))


class _TooDeep(Exception):
    """Reported as a bomb."""


def _measure(text: str, loader: t.Any) -> None:
    """Refuse, before anything is made of it, what would take all memory or end the process.

    A few lines of aliases or merges unfold to more than any memory holds, or to a circle. libyaml's composer calls itself
    for each level, and some thousands of them are a segmentation fault; its parser, used here, does not.
    """
    sizes: dict[str, int] = {}
    open_anchors: list[str | None] = []
    counts = [0]
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_anchors.append(event.anchor)
            counts.append(1)
            if len(counts) > DEPTH:
                raise _TooDeep(f"it is nested deeper than {DEPTH}")
            continue
        amount, anchor = 1, None
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            amount, anchor = counts.pop(), open_anchors.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in open_anchors:
                raise _TooDeep("it holds itself")
            amount = sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor = event.anchor
        if anchor is not None:
            sizes[anchor] = amount
        counts[-1] += amount
        if counts[-1] > LEAVES:
            raise _TooDeep(f"it unfolds to more than {LEAVES:,} values")


def load_json(text: str) -> t.Any:
    """JSON; ValueError also for what is nested without end."""
    try:
        tree = json.loads(text)
        for _leaf in leaves(tree):
            pass
    except RecursionError:
        raise ValueError("nested without end") from None
    return tree


def _parsed(work: t.Callable[[], t.Any], file: str) -> t.Any:
    try:
        return work()
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        problem = getattr(e, "problem", None) or str(e).splitlines()[0]
        raise Refused("yaml-syntax", file, f"it is not YAML: {problem}", mark.line + 1 if mark else None) from None
    except (ValueError, RecursionError) as e:  # a date that is none; nested without end
        raise Refused("yaml-syntax", file, f"it is not YAML: {e}") from None


def node_at(text: str, file: str, path: Path, document: int = 0) -> t.Any:
    """PyYAML's node at a path, or None."""
    nodes = _parsed(lambda: _nodes(text), file)
    node = nodes[document] if document < len(nodes) else None
    for step in path:
        node = _child(node, step)
        if node is None:
            return None
    return node


@functools.lru_cache(maxsize=16)
def _nodes(text: str) -> list[t.Any]:
    return list(yaml.compose_all(text, Loader=yaml.SafeLoader))


def _child(node: t.Any, step: str | int) -> t.Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


def line_at(text: str, file: str, path: Path, document: int = 0) -> int | None:
    """The line of the deepest part of ``path`` that is there."""
    while True:
        node = node_at(text, file, path, document)
        if node is not None:
            return int(node.start_mark.line) + 1
        if not path:
            return None
        path = path[:-1]


def at(tree: t.Any, path: Path) -> t.Any:
    """The value at a path of a loaded document; KeyError when there is none."""
    for step in path:
        if isinstance(tree, dict) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            raise KeyError(step)
    return tree


def put(tree: t.Any, path: Path, value: t.Any) -> None:
    """Set the value at a path of a loaded document, with what mappings it needs."""
    for step in path[:-1]:
        below = tree[step] if isinstance(step, int) else tree.setdefault(step, {})
        if below is None:
            tree[step] = below = {}
        tree = below
    tree[path[-1]] = value


def leaves(tree: t.Any, path: Path = ()) -> t.Iterator[tuple[Path, t.Any]]:
    """Every scalar with its path, in order."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from leaves(value, (*path, number))
    else:
        yield path, tree


def dotted(path: Path) -> str:
    return ".".join(str(step) for step in path)


def undotted(path: str) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in path.split("."))


def with_value(text: str, file: str, path: Path, value: str) -> str:
    """``text`` with the plain scalar ``value`` at ``path``; comments, order and form of all else are kept.

    ``value`` must need no quotes. Missing mappings are added. What comes of it is read again and compared.
    """
    tree = load(text, file)
    if not isinstance(tree, dict):
        raise Refused("yaml-syntax", file, "it is not a mapping")
    try:
        if at(tree, path) == value:
            return text
    except KeyError:
        pass
    changed = _insert(text, file, path, value)
    put(tree, path, value)
    try:
        kept = load(changed, file) == tree
    except Refused:
        kept = False
    if not kept:
        message = f"{dotted(path)} could not be set without changing anything else; set it by hand"
        raise Refused("yaml-syntax", file, message)
    return changed


def _insert(text: str, file: str, path: Path, value: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    depth = next(n for n in range(len(path), -1, -1) if node_at(text, file, path[:n]) is not None)
    node = node_at(text, file, path[:depth])
    start, end = node.start_mark.index, node.end_mark.index
    rest = path[depth:]
    if not rest:
        return text[:start] + value + text[end:]
    if isinstance(node, yaml.ScalarNode):  # `annotations:` with nothing behind it, or null
        indent = " " * (_column(text, file, path[:depth]) + 2)
        return text[:start].rstrip(" ") + newline + _block(rest, value, indent, newline).rstrip("\r\n") + text[end:]
    if node.flow_style:
        flow = "".join(f"{step}: {{" for step in rest[:-1]) + f"{rest[-1]}: {value}" + "}" * (len(rest) - 1)
        return text[: start + 1] + flow + (", " if node.value else "") + text[start + 1 :]
    indent = " " * node.start_mark.column
    return text[:start] + _block(rest, value, indent, newline).lstrip(" ") + indent + text[start:]


def _block(rest: Path, value: str, indent: str, newline: str) -> str:
    lines = [f"{indent}{'  ' * n}{step}:" for n, step in enumerate(rest)]
    return newline.join(lines) + f" {value}{newline}"


def _column(text: str, file: str, path: Path) -> int:
    """The column of the key at ``path``."""
    above = node_at(text, file, path[:-1])
    return next(int(key.start_mark.column) for key, _value in above.value if key.value == str(path[-1]))
