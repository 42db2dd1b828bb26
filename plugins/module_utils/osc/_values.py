# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Where a chart's values hold image addresses, and values in which each of these is put on a mark of its own.

A rendered address that begins with a mark comes from the value of that mark; one that does not, from somewhere else.
"""

from __future__ import annotations

import copy
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _reference, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._yaml import Path

_MARK = re.compile(r"r(\d+)\.osc\.invalid")
_REGISTRY_KEY = re.compile(r"(?i)(?:.*registry|hub|registry(?:name|host|url))")
_REPOSITORY_KEY = re.compile(r"(?i)(?:.*repository|repo)")
_HOST_START = re.compile(rf"{_reference.HOST}(?=/|$)", re.A)


def mark(number: int) -> str:
    """A registry that cannot exist: .invalid is reserved (RFC 2606)."""
    return f"r{number}.osc.invalid"


def marks_in(text: str) -> list[int]:
    return [int(number) for number in _MARK.findall(text)]


def is_marked(address: str) -> bool:
    return _MARK.match(address) is not None


def marked(
    values: t.Any, also: t.Container[Path] = (), only: t.Container[Path] | None = None
) -> tuple[t.Any, list[Path]]:
    """Values with every address marked, and the path of each mark. ``also``: values to take for addresses, too;
    ``only``: the values that the platform replaces at all.

    Only what is not empty is marked: an address that a template falls back upon must show.
    """
    changed = copy.deepcopy(values)
    paths: list[Path] = []
    for path, value in list(_yaml.leaves(values)):
        if not isinstance(value, str) or not value or "{{" in value or (only is not None and path not in only):
            continue
        new = _marked(path, value, mark(len(paths)), values, path in also)
        if new is not None:
            _yaml.put(changed, path, new)
            paths.append(path)
    return changed, paths


def kind_of(path: Path, values: t.Any) -> str | None:
    """What the key of a value says it is: registry, repository, image, or None."""
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    if _REGISTRY_KEY.fullmatch(key):
        return "registry"
    if _REPOSITORY_KEY.fullmatch(key):
        return "repository"
    if _reference.is_image_key(key) or key.lower() in ("images", "extraimages"):
        return "image"
    if key == "name" and len(path) > 1:
        beside = _yaml.at(values, path[:-1])
        if isinstance(beside, dict) and "tag" in beside or _reference.is_image_key(path[-2]):
            return "repository"
    return None


def _marked(path: Path, value: str, with_mark: str, values: t.Any, forced: bool) -> str | None:
    kind = kind_of(path, values)
    if kind == "registry" and "://" not in value:
        return with_mark + ("/" + value.split("/", 1)[1] if "/" in value else "")
    if (kind or forced) and _reference.parse(value.strip("/")):
        host = _HOST_START.match(value) if "/" in value else None
        return with_mark + (value[host.end() :] if host else "/" + value.lstrip("/"))
    new = value
    for address in _reference.in_text(value):
        reference = _reference.parse(address)
        bare = address[len(reference.host) + 1 :] if reference and reference.host else address
        new = new.replace(address, f"{with_mark}/{bare}")
    return new if new != value else None


def behind(values: t.Any, addresses: t.Iterable[str]) -> set[Path]:
    """Values of any name that one of the addresses may be made of."""
    wanted = set()
    for address in addresses:
        reference = _reference.parse(address)
        wanted |= {address, address.split("@")[0], address.rsplit(":", 1)[0]}
        if reference:
            wanted |= {reference.repository, reference.host or address}
    return {path for path, value in _yaml.leaves(values) if isinstance(value, str) and value.strip("/") in wanted}


def switches(values: t.Any, state: bool) -> list[Path]:
    """What is on, or off, in the values: a branch of the templates may stand behind each."""
    return [path for path, value in _yaml.leaves(values) if value is state]


def switched(values: t.Any, paths: t.Iterable[Path], state: bool) -> t.Any:
    changed = copy.deepcopy(values)
    for path in paths:
        _yaml.put(changed, path, state)
    return changed


def merged(values: t.Any, over: t.Any) -> t.Any:
    """As Helm lays one values file over another: mappings are merged, null takes away, all else replaces."""
    if not isinstance(values, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    changed = copy.deepcopy(values)
    for key, value in over.items():
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = merged(changed.get(key), value) if key in changed else copy.deepcopy(value)
    return changed
