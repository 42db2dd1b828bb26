# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""The three forms of a deployment package: what each must hold, where its source is marked, where addresses may stand.

All of it pure: a package is its files, by name.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _csd, _reference, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON, Finding, Refused
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._yaml import Path

SOURCES = ("ISV", "OpenSource", "HuaweiProvided")
FORMATS = {"helm": (".tgz", ".tar.gz"), "operator": (".zip",), "osc": (".zip", ".tgz", ".tar.gz")}
"""The archive formats of each form; the first is what is built."""

_YAML = (".yaml", ".yml")
_SEMVER = re.compile(r"v?\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


def form_of(names: t.Iterable[str]) -> str | None:
    """Which form the files of a package make; their root folder left out."""
    there = set(names)
    if "Chart.yaml" in there:
        return "helm"
    if "lifecycle.yaml" in there or any(n.startswith("manifests/") and _csd.is_csd(n) for n in there):
        return "osc"
    return "operator" if any(is_csv(name) for name in there) else None


def is_csv(name: str) -> bool:
    return name.endswith((".clusterserviceversion.yaml", ".clusterserviceversion.yml"))


class Service:
    """The files of a deployment package, below its root folder; ``where`` is how findings call that folder."""

    def __init__(self, form: str, files: dict[str, bytes], where: str) -> None:
        self.form, self.files, self.where = form, files, where

    def place(self, name: str) -> str:
        return f"{self.where}/{name}"

    def text(self, name: str) -> str:
        return _yaml.text_of(self.files[name], self.place(name))

    def load(self, name: str) -> t.Any:
        return _yaml.load(self.text(name), self.place(name))

    def mapping(self, name: str) -> JSON:
        tree = self.load(name) if name in self.files else None
        return tree if isinstance(tree, dict) else {}

    @property
    def csv(self) -> str | None:
        return next((name for name in sorted(self.files) if is_csv(name)), None)

    def identity(self) -> tuple[str | None, str | None]:
        """Name and version, as the package itself says them."""
        if self.form == "operator":
            tree = self.mapping(self.csv) if self.csv else {}
            name = (tree.get("metadata") or {}).get("name") or ""
            version = (tree.get("spec") or {}).get("version") or name.partition(".v")[2]
            return _text(name.partition(".v")[0]), _text(version)
        tree = self.mapping("Chart.yaml" if self.form == "helm" else "metadata.yaml")
        return _text(tree.get("name")), _text(tree.get("version"))

    # The source mark

    def mark(self) -> tuple[str, Path]:
        """The file and the path at which this form says its source."""
        if self.form == "helm":
            return "Chart.yaml", ("annotations", "source")
        if self.form == "operator":
            return self.csv or "", ("metadata", "annotations", "source")
        return "metadata.yaml", ("source",)

    def marked(self, source: str) -> dict[str, bytes]:
        """The files, with the source marked; all else as it is, comments too."""
        name, path = self.mark()
        if name not in self.files:
            return self.files
        text = self.files[name].decode("utf-8-sig")
        return {**self.files, name: _yaml.with_value(text, self.place(name), path, source).encode()}

    def check_mark(self, wanted: str) -> t.Iterator[Finding]:
        name, path = self.mark()
        if name not in self.files:
            return
        try:
            there = _yaml.at(self.load(name), path)
        except KeyError:
            there = None
        if there != wanted:
            line = _yaml.line_at(self.text(name), self.place(name), path)
            shown = "missing" if there is None else repr(there)
            yield Finding(self.place(name), line, "source-mark", f"{_yaml.dotted(path)} is {shown}, not {wanted}")

    # Layout

    def check_layout(self) -> t.Iterator[Finding]:
        def missing(rule: str, what: str) -> Finding:
            return Finding(self.where, None, rule, f"it has no {what}")

        names = set(self.files)
        if self.form == "helm":
            yield from (missing("layout-chart", name) for name in ("Chart.yaml", "values.yaml") if name not in names)
            if not any(name.startswith("templates/") for name in names):
                yield missing("layout-chart", "templates/")
        elif self.form == "operator":
            matches = sorted(name for name in names if is_csv(name))
            if len(matches) != 1:
                message = f"it has {len(matches)} ClusterServiceVersions ({', '.join(matches) or 'none'}), not one"
                yield Finding(self.where, None, "layout-operator", message)
            if not self.crds():
                yield missing("layout-operator", "CustomResourceDefinition")
        else:
            for name in ("metadata.yaml", "lifecycle.yaml"):
                if name not in names:
                    yield missing("layout-osc", name)
            if not any(name.startswith("manifests/") and _csd.is_crd(name) for name in names):
                yield missing("layout-osc", "manifests/*_crd.yaml")
        for name in sorted(names):
            if name.endswith(_YAML) and "templates/" not in name:
                yield from self._readable(name)

    def _readable(self, name: str) -> t.Iterator[Finding]:
        try:
            _yaml.load_all(self.text(name), self.place(name))
        except Refused as e:
            yield e.finding

    def crds(self) -> list[JSON]:
        matches = []
        for name in sorted(self.files):
            if name.endswith(_YAML) and "templates/" not in name:
                try:
                    trees = _yaml.load_all(self.text(name), self.place(name))
                except Refused:
                    continue
                matches += [x for x in trees if isinstance(x, dict) and x.get("kind") == "CustomResourceDefinition"]
        return matches

    # Addresses, for the forms without templates

    def check_addresses(self) -> t.Iterator[Finding]:
        """Addresses where the platform will not replace them."""
        rule = "image-from-csv" if self.form == "operator" else "image-from-osc"
        goes = "the ClusterServiceVersion" if self.form == "operator" else "lifecycle.yaml or a *csd.yaml"
        for name in sorted(self.files):
            if not name.endswith((*_YAML, ".json")) or self._replaced(name):
                continue
            try:
                trees = _yaml.load_all(self.text(name), self.place(name))
            except Refused:
                continue  # reported by the layout check
            for number, tree in enumerate(trees):
                for path, address in _reference.in_tree(tree):
                    if self._informs(name, path):
                        continue
                    line = _line_of(self.text(name), self.place(name), path, number, address)
                    yield Finding(
                        self.place(name),
                        line,
                        rule,
                        f"{address} stands at {_yaml.dotted(path)}; it belongs into {goes}",
                    )

    def _replaced(self, name: str) -> bool:
        if self.form == "operator":
            return is_csv(name)
        # raw/ of an operator is not looked at by the platform; that of a chart is rendered.
        return name == "lifecycle.yaml" or _csd.is_csd(name) or name.startswith("raw/")

    @staticmethod
    def _informs(name: str, path: Path) -> bool:
        """Parts that are only shown to people, and from which no image is pulled."""
        return name == "metadata.yaml" and path in (("containerImage",), ("repository",)) or "links" in path

    def addresses(self) -> list[str]:
        """Every address that the platform replaces."""
        matches: dict[str, None] = {}
        for name in sorted(self.files):
            if self.form != "helm" and self._replaced(name) and name.endswith(_YAML) and not name.startswith("raw/"):
                tree = self.load(name)
                for text in [tree, *self._nested(tree)]:
                    matches.update(dict.fromkeys(address for _path, address in _reference.in_tree(text)))
        return sorted(matches)

    @staticmethod
    def _nested(tree: t.Any) -> t.Iterator[t.Any]:
        """JSON within YAML: alm-examples and defaultConfiguration."""
        for _path, value in _yaml.leaves(tree):
            if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
                try:
                    yield _yaml.load_json(value)
                except ValueError:
                    continue

    # Versions of instances

    def csds(self, extends: dict[str, bytes], values: t.Any) -> list[_csd.Csd]:
        """The package's CSDs, and those of the folder extends/ beside it."""
        crds, examples = self.crds(), self._examples()
        images = [
            _csd.Csd(self.text(n), self.place(n), crds, values, examples)
            for n in sorted(self.files)
            if _csd.is_csd(n) and "templates/" not in n
        ]
        beside = [n for n in sorted(extends) if _csd.is_csd(n)]
        texts = {n: _yaml.text_of(extends[n], f"extends/{n}") for n in beside}
        return images + [_csd.Csd(texts[n], f"extends/{n}", crds, values, examples) for n in beside]

    def _examples(self) -> list[JSON]:
        tree = self.mapping(self.csv) if self.csv else {}
        annotations = (tree.get("metadata") or {}).get("annotations") or {}
        try:
            matches = _yaml.load_json(annotations.get("alm-examples") or "[]")
        except (ValueError, TypeError):
            return []
        return [example for example in matches if isinstance(example, dict)] if isinstance(matches, list) else []


def check_name(stem: str, name: str | None, version: str | None, file: str, rule: str) -> t.Iterator[Finding]:
    """Does the file name say the name and version that the package has?"""
    if name and version and stem != f"{name}-{version}":
        yield Finding(file, None, rule, f"it is called {stem}, but holds {name} {version}: call it {name}-{version}")
    if version and not _SEMVER.fullmatch(version):
        yield Finding(file, None, rule, f"its version {version} is no semantic version (1.2.3)")


def _line_of(text: str, file: str, path: Path, number: int, address: str) -> int | None:
    """The very line, also within a block of text."""
    start = _yaml.line_at(text, file, path, number) or 1
    lines = text.splitlines()
    return next((n for n in range(start, len(lines) + 1) if address in lines[n - 1]), start)


def _text(value: t.Any) -> str | None:
    return None if value in (None, "") else str(value)
