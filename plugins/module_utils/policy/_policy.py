# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""A ColocationPolicy between the two ways it is written: options in snake case, and the API's camel case."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.policy._fields import FIELDS

JSON = t.Dict[str, t.Any]


def camel(name: str) -> str:
    """stale_after_seconds -> staleAfterSeconds"""
    return re.sub("_([a-z0-9])", lambda m: m.group(1).upper(), name)


def to_api(options: t.Mapping[str, t.Any], fields: t.Mapping[str, t.Any] | None = None) -> JSON:
    """Options of the module -> spec. What was not given (None) is left out; what users name (labels) stays as it is."""
    return {
        camel(name): _each(field, options[name], to_api)
        for name, field in (FIELDS if fields is None else fields).items()
        if options.get(name) is not None
    }


def from_api(spec: t.Mapping[str, t.Any], fields: t.Mapping[str, t.Any] | None = None) -> JSON:
    """Spec -> options. A field that this version does not know is kept under its own name, so that nothing is hidden."""
    known = {camel(name): (name, field) for name, field in (FIELDS if fields is None else fields).items()}
    values: JSON = {}
    for key, value in spec.items():
        name, field = known.get(key, (key, {}))
        values[name] = _each(field, value, from_api)
    return values


def changes(before: t.Any, after: t.Any, at: str = "") -> list[str]:
    """The paths at which two specs differ, as clauses."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [c for key in keys for c in changes(before.get(key), after.get(key), f"{at}.{key}" if at else str(key))]
    return [] if before == after else [f"{at}: {_word(before)} -> {_word(after)}"]


def _each(field: t.Mapping[str, t.Any], value: t.Any, convert: t.Callable[[t.Any, t.Any], t.Any]) -> t.Any:
    below = field.get("options")
    if not below:
        return value
    return [convert(element, below) for element in value] if field["type"] == "list" else convert(value, below)


def _word(value: t.Any) -> str:
    return "not set" if value is None else str(value)
