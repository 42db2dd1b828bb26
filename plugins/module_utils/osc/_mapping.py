# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""mapping.yaml: which values the platform replaces by the addresses of the images that it has stored itself.

It is made by rendering the chart with marks, and proved by doing what the platform does and rendering once more.
"""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _chart, _reference, _values, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._helm import Helm, HelmError
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._images import ARCHITECTURES
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON, Finding
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._yaml import Path

FILE = "images/mapping.yaml"
HOST, GROUP = "swr.osc.invalid", "osc"
FIELDS = ("fullAddress", "repository", "prefixAddress", "repo", "endpoint", "tag")
_TAG_KEY = re.compile(r"(?i)(?:.*[a-z_-])?(?:tag|version)|tag")


def parts_of(image: str, tag: str) -> dict[str, str]:
    """What each field of an address becomes, once the platform has stored the image."""
    return {
        "fullAddress": f"{HOST}/{GROUP}/{image}:{tag}",
        "repository": f"{HOST}/{GROUP}/{image}",
        "prefixAddress": f"{HOST}/{GROUP}",
        "repo": f"{GROUP}/{image}",
        "endpoint": HOST,
        "tag": tag,
    }


class Mapping:
    """One mapping.yaml."""

    def __init__(self, text: str) -> None:
        self.text = text
        tree = _yaml.load(text, FILE)
        self.tree: JSON = tree if isinstance(tree, dict) else {}
        instance = self.tree.get("instance")
        self.entries: list[t.Any] = instance if isinstance(instance, list) else []

    def _finding(self, rule: str, message: str, *path: str | int) -> Finding:
        return Finding(FILE, _yaml.line_at(self.text, FILE, path), rule, message)

    def check(self, form: str, archives: t.Collection[str], values: t.Any) -> t.Iterator[Finding]:
        """Findings that need no rendering."""
        if form == "helm" and not self.entries:
            yield self._finding("mapping-syntax", "it has no list `instance`", "instance")
        for number, entry in enumerate(self.entries):
            yield from self._check_entry(entry, ("instance", number), form, values)
        named: set[str] = set()
        for path, value in _yaml.leaves(self.tree):
            if len(path) > 1 and path[-2] == "package":
                named.add(str(value))
                if path[-1] not in ARCHITECTURES:
                    yield self._finding(
                        "mapping-syntax", f"{path[-1]} is no architecture; they are x86_64 and aarch64", *path
                    )
                elif value not in archives:
                    yield self._finding("mapping-archive", f"{value} is not in images/", *path)
                elif not str(value).endswith(f"-{path[-1]}.tar"):
                    yield self._finding("mapping-archive", f"{value} is not named as an archive for {path[-1]}", *path)
        for archive in sorted(set(archives) - named):
            yield self._finding("mapping-archive", f"{archive} is in images/, and not named here")

    def _check_entry(self, entry: t.Any, at: Path, form: str, values: t.Any) -> t.Iterator[Finding]:
        if not isinstance(entry, dict):
            yield self._finding("mapping-syntax", "the entry is not a mapping", *at)
            return
        for key in ("image", "tag"):
            if not isinstance(entry.get(key), str) or not entry[key]:
                yield self._finding("mapping-syntax", f"{key} is missing or no string (put it into quotes)", *at, key)
        if isinstance(entry.get("image"), str) and not _reference.parse(entry["image"]):
            yield self._finding("mapping-syntax", f"{entry['image']!r} is no image name", *at, "image")
        if isinstance(entry.get("tag"), str) and not _reference.valid_tag(entry["tag"]):
            yield self._finding("mapping-syntax", f"{entry['tag']!r} is no valid image tag", *at, "tag")
        if not isinstance(entry.get("package"), dict) or not entry["package"]:
            yield self._finding("mapping-syntax", "package is missing", *at, "package")
        address = entry.get("address")
        if form != "helm":
            return
        if not isinstance(address, dict) or not address:
            yield self._finding("mapping-syntax", "address is missing", *at, "address")
            return
        for field, path in address.items():
            if field not in FIELDS:
                yield self._finding("mapping-syntax", f"{field} is none of {', '.join(FIELDS)}", *at, "address", field)
                continue
            try:
                _yaml.at(values, _yaml.undotted(str(path)))
            except KeyError:
                yield self._finding("mapping-path", f"{path} is not in values.yaml", *at, "address", field)

    def replaced(self, values: t.Any) -> tuple[t.Any, set[str]]:
        """Values as the platform leaves them, and the addresses at which it has stored the images."""
        changed, stored = copy.deepcopy(values), set()
        for entry in self.entries:
            parts = parts_of(str(entry["image"]), str(entry["tag"]))
            stored.add(parts["fullAddress"])
            for field, path in entry["address"].items():
                _yaml.put(changed, _yaml.undotted(str(path)), parts[field])
        return changed, stored

    def prove(self, chart: _chart.Chart, helm: Helm) -> t.Iterator[Finding]:
        """Do what the platform does, and look where images would be pulled from then."""
        changed, stored = self.replaced(chart.values)
        try:
            documents = chart.render(helm, changed)
        except HelmError as e:
            yield self._finding("mapping-complete", f"with what it replaces, Helm cannot render the chart: {e}")
            return
        reported = set()
        for document in documents:
            for path, address in _reference.in_tree(document.tree):
                if address in stored or address in reported:
                    continue
                reported.add(address)
                at = f"{document.source} at {_yaml.dotted(path)}"
                if address.split("@")[0] in stored:
                    message = f"{at} is pinned to a digest, which the platform's copy need not have"
                    yield Finding(FILE, None, "mapping-complete", message, warning=True)
                else:
                    shown = address.replace(f"{HOST}/", "the platform's ")
                    yield self._finding("mapping-complete", f"{at} would pull {shown}, which is no image of images/")


def derived(chart: _chart.Chart, helm: Helm) -> dict[str, dict[str, str]]:
    """Image address, as the chart has it, to the fields of mapping.yaml that make it."""
    values, paths = chart.marked(chart.values)
    tags: list[Path] = []
    for path, value in list(_yaml.leaves(chart.values)):
        key = str(path[-1]) if path else ""
        if _TAG_KEY.fullmatch(key) and (
            isinstance(value, (str, int, float)) and not isinstance(value, bool) or value is None
        ):
            _yaml.put(values, path, f"t{len(tags)}.osc")
            tags.append(path)
    plain = chart.render(helm, chart.values)
    marked = chart.render(helm, values)
    changed: dict[str, dict[str, str]] = {}
    for before, after in zip(plain, marked):
        new = dict(_reference.in_tree(after.tree))
        for path, address in _reference.in_tree(before.tree):
            if fields := _fields(new.get(path, ""), paths, tags, chart.values):
                changed.setdefault(address, fields)
    return changed


def _fields(address: str, paths: list[Path], tags: list[Path], values: t.Any) -> dict[str, str]:
    behind = [paths[number] for number in _values.marks_in(address)]
    if not behind:
        return {}
    kinds = [_values.kind_of(path, values) for path in behind]
    match = re.search(r":t(\d+)\.osc(?:@|$)", address)
    fields = {"tag": _yaml.dotted(tags[int(match[1])])} if match else {}
    last = behind[-1]
    if kinds[0] == "registry":
        prefix = "prefixAddress" if "/" in str(_yaml.at(values, behind[0])) else "endpoint"
        fields[prefix] = _yaml.dotted(behind[0])
        if len(behind) > 1 and prefix == "endpoint":
            fields["repo"] = _yaml.dotted(last)
    elif match:
        fields["repository"] = _yaml.dotted(last)
    else:
        fields["fullAddress"] = _yaml.dotted(last)
    return dict(sorted(fields.items()))


def text_of(entries: t.Iterable[JSON]) -> str:
    """mapping.yaml, the same for the same entries."""
    lines = ["instance:"]
    for entry in entries:
        lines += [f"- image: {entry['image']}", f'  tag: "{entry["tag"]}"']
        for section in ("address", "package"):
            if entry.get(section):
                lines += [f"  {section}:", *(f"    {key}: {entry[section][key]}" for key in sorted(entry[section]))]
    return "\n".join(lines) + "\n"


def is_of(address: str, image: str) -> bool:
    """Is it an address of the image of this name?"""
    match = _reference.parse(address)
    return match is not None and match.repository.rsplit("/", 1)[-1] == image.rsplit("/", 1)[-1]
