# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Does every image address of a chart come from its values.yaml? Rendered with marked values, and looked at.

The platform replaces addresses in values.yaml and nowhere else, so what a render still pulls from elsewhere once all
addresses in values.yaml are replaced, is what will fail on the site.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _helm, _reference, _values, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._helm import Document, Helm, HelmError
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Finding
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._yaml import Path

_LITERAL_IMAGE = re.compile(r"""^\s*(?:-\s+)?["']?[\w.-]*[iI]mage["']?\s*:\s*["']?([^\s"'{}#]+)["']?\s*(?:#.*)?$""")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`')


@dataclasses.dataclass(frozen=True)
class Used:
    """An image that the chart runs: the address as it is, and the values that it is made of."""

    address: str
    source: str
    paths: tuple[str, ...]


@dataclasses.dataclass
class Report:
    findings: list[Finding]
    used: list[Used]
    renders: int = 0


class Chart:
    """A chart's text files by name (``NAME/templates/...``), and the folder in which Helm finds the same.

    ``replaced`` is what the platform replaces addresses in, where that is not values.yaml: a CSD's configuration.
    """

    def __init__(self, root: str, files: dict[str, str], folder: str, replaced: t.Any = None) -> None:
        self.root, self.files, self.folder = root, files, folder
        values = f"{root}/values.yaml"
        self.base = _yaml.load(files.get(values, ""), values) or {}
        self.values = self.base if replaced is None else _values.merged(self.base, replaced)
        self._only = None if replaced is None else {path for path, _value in _yaml.leaves(replaced)}
        self.values_file = values if replaced is None else ""
        self.home = "values.yaml" if replaced is None else "the CSD's defaultConfiguration"

    def render(self, helm: Helm, values: t.Any) -> list[Document]:
        """The chart with ``values``, on a cluster that serves every API which the chart asks for."""
        templates = (text for name, text in self.files.items() if "/templates/" in name)
        return helm.render(self.folder, overlay(self.base, values), _helm.asked_apis(templates))

    def marked(self, values: t.Any, also: t.Container[Path] = ()) -> tuple[t.Any, list[Path]]:
        """Values with a mark on each address that the platform would replace."""
        return _values.marked(values, also, self._only)

    def place(self, name: str, pieces: t.Iterable[str], key: str = "") -> tuple[str, int | None]:
        """File and line where one of the pieces is written: the template itself, its chart's helpers, any other file."""
        home = name.rsplit("/templates/", 1)[0]
        near = [n for n in self.files if n != name and n.startswith(home + "/templates/")]
        far = [n for n in self.files if n != name and n not in near and n != self.values_file]
        order = [
            name,
            *sorted(near, key=lambda n: not n.endswith(".tpl")),
            *sorted(far, key=lambda n: not n.endswith("values.yaml")),
        ]
        for piece in pieces:
            for file in order:
                for number, line in enumerate(self._lines(file), 1):
                    if piece in line:
                        return file, number
        numbers = [
            n for n, line in enumerate(self._lines(name), 1) if key and re.search(rf"\b{re.escape(key)}\b", line)
        ]
        return name, numbers[0] if numbers else None

    def _lines(self, file: str) -> list[str]:
        text = uncommented(self.files.get(file, ""))
        return ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]

    def templates(self) -> t.Iterator[tuple[str, list[str]]]:
        for name in sorted(self.files):
            if "/templates/" in name and not name.endswith("NOTES.txt"):
                yield name, self._lines(name)


def check(chart: Chart, helm: Helm, extra: t.Sequence[tuple[str, t.Any]] = ()) -> Report:
    """Every finding; ``extra`` are named values to try beside the chart's own."""
    looks = _Looks(chart, helm)
    plain = looks.try_plain(extra)
    bases = [("", chart.values)] if plain else []
    bases += [(f" with {name}", _values.merged(chart.values, values)) for name, values in extra]
    for name, base in bases:
        if not looks.at(name, base):
            message = f"With its addresses replaced, Helm cannot render it{name}: {looks.error}"
            looks.findings.append(Finding(f"{chart.root}/Chart.yaml", None, "chart-renders", message))
        off = _values.switches(base, False)
        if off and not looks.at(f"{name} with everything switched on", _values.switched(base, off, True)):
            for path in off:  # one by one: some exclude each other
                looks.at(f"{name} with {_yaml.dotted(path)}=true", _values.switched(base, [path], True))
        on = _values.switches(base, True)
        if on:
            looks.at(f"{name} with everything switched off", _values.switched(base, on, False))
    reported = {(f.file, f.line, f.rule): f for f in reversed(looks.findings)}
    places = {key[:2] for key in reported}
    reported.update({(f.file, f.line, f.message): f for f in _literals(chart) if (f.file, f.line) not in places})
    used = _used(plain, looks.first, chart) if plain else []
    return Report(sorted(reported.values(), key=lambda f: (f.file, f.line or 0)), used, helm.renders)


class _Looks:
    """Renders of one chart with marked values, and what they left unmarked."""

    def __init__(self, chart: Chart, helm: Helm) -> None:
        self.chart, self.helm = chart, helm
        self.findings: list[Finding] = []
        self.first: list[Document] = []
        self.error = ""

    def try_plain(self, extra: t.Sequence[tuple[str, t.Any]]) -> list[Document]:
        try:
            return self.chart.render(self.helm, self.chart.values)
        except HelmError as e:
            if not extra:
                remedies = {"dependenc": "Put its dependencies into charts/", "kubeVersion": "Give kube_version"}
                fits = (remedy for word, remedy in remedies.items() if word in str(e))
                remedy = next(fits, "Give values that it needs (values_files)")
                message = f"Helm cannot render it with its own values: {e}. {remedy}."
                self.findings.append(Finding(f"{self.chart.root}/Chart.yaml", None, "chart-renders", message))
            return []

    def at(self, name: str, values: t.Any) -> bool:
        """Look at the chart with these values; False where Helm cannot render it with them."""
        try:
            documents = self.chart.render(self.helm, self.chart.marked(values)[0])
            left = _unmarked(documents)
            # A value of a name that says nothing may still be one: mark those that the leftovers could be made of, too.
            also = _values.behind(values, [finding.address for finding in left]) if left else set()
            if also:
                left = _unmarked(self.chart.render(self.helm, self.chart.marked(values, also)[0]))
        except HelmError as e:
            self.error = str(e)
            return False
        self.first = self.first or documents
        self.findings += [_finding(self.chart, finding, name) for finding in left]
        return True


def uncommented(text: str) -> str:
    """A template without its comments, its lines where they were. In one pass, whatever a stranger wrote."""
    parts, at = [], 0
    while (start := text.find("/*", at)) >= 0 and (end := text.find("*/", start + 2)) >= 0:
        opens = text[max(0, start - 16) : start].rstrip()
        comment = opens.endswith(("{{", "{{-"))
        parts += [text[at:start], "\n" * text.count("\n", start, end) if comment else text[start:end]]
        at = end
    return "".join(parts) + text[at:]


def actions(line: str) -> list[str]:
    """What stands between braces in a line of a template."""
    return [part.partition("}}")[0] for part in line.split("{{")[1:]]


def overlay(values: t.Any, parts: t.Any) -> t.Any:
    """What must be laid over ``values`` to get ``made``. No key is ever taken away."""
    if isinstance(values, dict) and isinstance(parts, dict):
        return {key: overlay(values.get(key), value) for key, value in parts.items() if value != values.get(key)}
    return parts


@dataclasses.dataclass(frozen=True)
class Left:
    address: str
    source: str
    path: Path
    owner: str


def _unmarked(documents: list[Document]) -> list[Left]:
    return [
        Left(address, document.source, path, _owner(tree))
        for document in documents
        for tree in [document.tree]
        for path, address in _reference.in_tree(tree)
        if not _values.is_marked(address)
    ]


def _owner(tree: t.Any) -> str:
    if not isinstance(tree, dict):
        return "an object"
    name = (tree.get("metadata") or {}).get("name", "") if isinstance(tree.get("metadata"), dict) else ""
    return f"{tree.get('kind', 'object')}/{name}"


def _finding(chart: Chart, left: Left, round_name: str) -> Finding:
    match = _reference.parse(left.address)
    pieces = [left.address, left.address.split("@")[0]]
    if match:
        whole = f"{match.host}/{match.repository}" if match.host else match.repository
        pieces += [whole, match.repository] + ([match.host] if match.host else [])
    pieces = [piece for piece in dict.fromkeys(pieces) if not _values.marks_in(piece)]
    key = next((step for step in reversed(left.path) if isinstance(step, str)), "image")
    file, line = chart.place(left.source, pieces, key)
    shown = re.sub(r"r\d+\.osc\.invalid/?", "", left.address)
    via = "" if file == left.source else f", by {left.source}"
    at = _yaml.dotted(left.path) or "its text"
    message = f"{shown} is not made of {chart.home} (in {left.owner} at {at}{via}{round_name})"
    return Finding(file, line, "image-from-values", message)


def _literals(chart: Chart) -> t.Iterator[Finding]:
    """Addresses written into templates, also in branches that no values reached."""
    for name, lines in chart.templates():
        for number, line in enumerate(lines, 1):
            plain = _LITERAL_IMAGE.match(line)
            if plain and _reference.parse(plain[1]) and ":" not in plain[1].rsplit("/", 1)[-1].partition(":")[0]:
                message = f"{plain[1]} is written into the template; put it into {chart.home} and refer to it"
                yield Finding(name, number, "image-literal", message)
                continue
            for action in actions(line):
                for match in _STRING.finditer(action):
                    text = match[1] or match[2] or ""
                    if _reference.REGISTRIES.match(text) or _reference.in_text(text):
                        message = f"{text} is a fallback in a template, which the values tried do not reach; put it into {chart.home}"
                        yield Finding(name, number, "image-literal", message, warning=True)


def _used(plain: list[Document], marked: list[Document], chart: Chart) -> list[Used]:
    """Which values each image of the chart is made of: its address as it is, beside the marks in it."""
    paths = chart.marked(chart.values)[1]
    behind = {}
    for number, document in _numbered(marked):
        for path, address in _reference.in_tree(document.tree):
            behind[number, document.source, path] = address
    used: dict[t.Any, Used] = {}
    for number, document in _numbered(plain):
        for path, address in _reference.in_tree(document.tree):
            marks = _values.marks_in(behind.get((number, document.source, path), ""))
            made_of = tuple(_yaml.dotted(paths[m]) for m in marks if m < len(paths))
            used.setdefault((address, made_of), Used(address, document.source, made_of))
    return sorted(used.values(), key=lambda u: (u.address, u.source))


def _numbered(documents: list[Document]) -> t.Iterator[tuple[int, Document]]:
    counts: dict[str, int] = {}
    for document in documents:
        counts[document.source] = number = counts.get(document.source, 0) + 1
        yield number, document
