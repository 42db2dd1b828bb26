# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Custom service definitions (CSD): their versionDefinition, and the upgrades and rollbacks of instances that follow from it."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _reference, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON, Finding, Refused

API_VERSION = "osc.io/v1beta1"
KIND = "CustomServiceDefinition"


def is_csd(name: str) -> bool:
    return re.search(r"(?:^|[/_.-])csd\.ya?ml$", name) is not None


def is_crd(name: str) -> bool:
    return re.search(r"(?:^|[/_.-])crd\.ya?ml$", name) is not None


class Csd:
    """One file. ``crds`` are the package's, ``values`` a chart's, ``examples`` custom resources of a ClusterServiceVersion."""

    def __init__(
        self, text: str, file: str, crds: list[JSON], values: t.Any = None, examples: t.Sequence[JSON] = ()
    ) -> None:
        self.text, self.file, self.crds, self.values, self.examples = text, file, crds, values, examples
        self.tree = _yaml.load(text, file)
        self.spec: JSON = (self.tree.get("spec") if isinstance(self.tree, dict) else None) or {}

    @property
    def _definition_path(self) -> tuple[str, ...]:
        # The platform's own pages show it below spec and, shortened, alone.
        return ("spec", "versionDefinition") if "versionDefinition" in self.spec else ("versionDefinition",)

    @property
    def definition(self) -> t.Any:
        try:
            return _yaml.at(self.tree, self._definition_path)
        except KeyError:
            return None

    def _finding(self, rule: str, message: str, *path: str | int) -> Finding:
        return Finding(self.file, _yaml.line_at(self.text, self.file, path), rule, message)

    def check(self) -> t.Iterator[Finding]:
        if not isinstance(self.tree, dict) or not isinstance(self.spec, dict):
            yield self._finding("csd-syntax", "it is not an object with a spec")
            return
        if (self.tree.get("apiVersion"), self.tree.get("kind")) != (API_VERSION, KIND):
            yield self._finding("csd-syntax", f"it is not a {KIND} of {API_VERSION}", "kind")
        yield from self._check_crd()
        if self.definition is not None:
            yield from self._check_version()

    def _check_crd(self) -> t.Iterator[Finding]:
        if not self.crds and "CRDRef" not in self.spec:
            return
        ref = self.spec.get("CRDRef")
        ref = ref if isinstance(ref, dict) else {}
        name = (ref.get("metadata") or {}).get("name") if isinstance(ref.get("metadata"), dict) else ref.get("name")
        names = [(crd.get("metadata") or {}).get("name") for crd in self.crds]
        if name not in names:
            there = ", ".join(sorted(str(n) for n in names)) or "none"
            yield self._finding(
                "csd-syntax", f"CRDRef names {name or 'no CRD'}; in the package: {there}", "spec", "CRDRef"
            )

    def _check_version(self) -> t.Iterator[Finding]:
        at, definition = self._definition_path, self.definition
        if not isinstance(definition, dict):
            yield self._finding("csd-version", "versionDefinition is not a mapping", *at)
            return
        mode, path, tags = (definition.get(key) for key in ("mode", "path", "tags"))
        if mode not in ("url", "tag"):
            yield self._finding("csd-version", f"mode is {mode!r}; it is url or tag", *at, "mode")
        if not isinstance(path, str) or not path:
            yield self._finding("csd-version", "path is missing", *at, "path")
        if not isinstance(tags, list) or not tags:
            yield self._finding("csd-version", "tags are missing", *at, "tags")
        else:
            yield from self._check_tags(tags, at)
        if isinstance(path, str) and path and mode in ("url", "tag"):
            yield from self._check_path(mode, path, at)

    def _check_tags(self, tags: list[t.Any], at: tuple[str, ...]) -> t.Iterator[Finding]:
        for number, tag in enumerate(tags):
            if not isinstance(tag, str):
                yield self._finding("csd-tags", f"{tag!r} is not a string: put it into quotes", *at, "tags", number)
            elif not _reference.valid_tag(tag):
                yield self._finding("csd-tags", f"{tag!r} is no valid image tag", *at, "tags", number)
            elif tag in tags[:number]:
                yield self._finding("csd-tags", f"{tag!r} is there twice", *at, "tags", number)

    def _check_path(self, mode: str, path: str, at: tuple[str, ...]) -> t.Iterator[Finding]:
        try:
            value = self.current()
        except Refused as e:
            yield e.finding
            return
        except KeyError:
            if self._in_schema(path):
                return
            where = (
                "values.yaml"
                if self.values is not None
                else "the custom resource (defaultConfiguration, alm-examples, CRD)"
            )
            yield self._finding("csd-path", f"{path} is not in {where}", *at, "path")
            return
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            yield self._finding("csd-path", f"{path} holds {type(value).__name__}, no text", *at, "path")
        elif mode == "tag" and value != "" and not _reference.valid_tag(str(value)):
            yield self._finding(
                "csd-path", f"{path} holds {value!r}, which is no tag; mode url is for addresses", *at, "path"
            )
        elif mode == "url" and not _is_address(str(value)):
            yield self._finding(
                "csd-path", f"{path} holds {value!r}, which is no address with a tag; mode tag is for tags", *at, "path"
            )

    def current(self) -> t.Any:
        """What stands at the path now; KeyError where nothing does."""
        path = _yaml.undotted(str(self.definition["path"]))
        for tree in self._resources():
            try:
                return _yaml.at(tree, path)
            except KeyError:
                continue
        raise KeyError(path)

    def configurations(self) -> t.Iterator[t.Any]:
        """The custom resource that an instance starts from."""
        text = self.spec.get("defaultConfiguration")
        if isinstance(text, str) and text.strip():
            try:
                yield _yaml.load_json(text)
            except ValueError as e:
                line = _yaml.line_at(self.text, self.file, ("spec", "defaultConfiguration"))
                raise Refused("csd-syntax", self.file, f"defaultConfiguration is not JSON: {e}", line) from None
        elif isinstance(text, dict):
            yield text

    def _resources(self) -> t.Iterator[t.Any]:
        yield from self.configurations()
        if self.values is not None:
            yield self.values
        yield from self.examples

    def _in_schema(self, path: str) -> bool:
        for crd in self.crds:
            for version in (crd.get("spec") or {}).get("versions") or []:
                schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
                for step in path.split("."):
                    schema = (schema.get("properties") or {}).get(step) if isinstance(schema, dict) else None
                if schema is not None:
                    return True
        return False

    def versions(self) -> JSON | None:
        """What an instance can be upgraded to, and what it is rolled back to; None without a sound versionDefinition."""
        definition = self.definition
        if definition is None or any(self.check()):
            return None
        try:
            value: t.Any = self.current()
        except KeyError:
            value = None
        mode, tags = definition["mode"], definition["tags"]
        tag = _tag_of(mode, value)
        return {
            "file": self.file,
            "mode": mode,
            "path": definition["path"],
            "current": tag,
            "tags": tags,
            # A failed upgrade is undone by writing back what is there now.
            "rollback": None if value is None else {"tag": tag, "value": str(value)},
            "upgrades": [{"tag": to, "value": _value(mode, value, to)} for to in newer(tags, tag)],
        }


def newer(tags: t.Sequence[str], current: str | None) -> list[str]:
    """The tags that an instance may be upgraded to, in order of version; all where the tag it has is unknown."""
    ordered = sorted(tags, key=version_key)
    return ordered if current is None else [tag for tag in ordered if version_key(tag) > version_key(current)]


def version_key(tag: str) -> tuple[t.Any, ...]:
    """Orders tags as versions: numbers by value, and 1.0.0-rc1 before 1.0.0."""
    head, dash, tail = tag.lstrip("v").partition("-")
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"[._]", head)]
    return (
        parts,
        not dash or tail[:1].isdigit(),
        [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", tail)],
    )


def _is_address(text: str) -> bool:
    reference = _reference.parse(text)
    return reference is not None and reference.tag is not None


def _tag_of(mode: str, value: t.Any) -> str | None:
    if value in (None, ""):
        return None
    if mode == "tag":
        return str(value)
    reference = _reference.parse(str(value))
    return reference.tag if reference else None


def _value(mode: str, value: t.Any, tag: str) -> str | None:
    """What is written at the path for this tag."""
    if mode == "tag":
        return tag
    reference = _reference.parse(str(value)) if value else None
    return str(_reference.Reference(reference.host, reference.repository, tag, None)) if reference else None
