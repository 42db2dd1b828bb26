# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Would the API server take this policy? Asked before its kind is there, so that nothing has to be installed first.

The chart's CustomResourceDefinition, under a name of its own, with the policy as the default of C(spec): the server
judges a default by the whole schema and by every rule, and in a dry run it keeps nothing.
"""

from __future__ import annotations

import copy
import difflib
import re
import typing as t

JSON = t.Dict[str, t.Any]
PREFIX = "preflight."
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def schema_of(crd: JSON) -> JSON:
    """The schema of C(spec). Raises ValueError for what is no such definition."""
    try:
        return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    except (KeyError, IndexError, TypeError) as e:
        raise ValueError("this is no CustomResourceDefinition of the chart") from e


def trial(crd: JSON, spec: JSON) -> JSON:
    """What is sent in a dry run."""
    tried = copy.deepcopy(crd)
    tried["spec"]["group"] = PREFIX + crd["spec"]["group"]
    tried["metadata"] = {"name": f"{crd['spec']['names']['plural']}.{tried['spec']['group']}"}
    schema = schema_of(tried)
    # Defaults of levels below are not filled in before the rules are tried, so all are written out.
    schema["default"] = merged(schema.get("default") or {}, spec)
    return tried


def merged(below: t.Any, above: t.Any) -> t.Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def unknown(schema: JSON, value: t.Any, at: str = "spec") -> list[str]:
    """A clause for each field that there is not, with the nearest that there is."""
    if isinstance(value, list):
        return [c for i, element in enumerate(value) for c in unknown(schema.get("items") or {}, element, f"{at}[{i}]")]
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None:
        return []
    given = []
    for key, below in value.items():
        if key in known:
            given += unknown(known[key], below, f"{at}.{key}")
            continue
        near = difflib.get_close_matches(str(key), sorted(known), 1, 0.6)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(known))}."
        given.append(f"{at} has no field {key}. {hint}")
    return given


def named(policies: t.Sequence[JSON]) -> list[str]:
    """What is wrong with the names."""
    given = []
    names = [str(p.get("name") or "") for p in policies]
    for name in dict.fromkeys(names):
        if not NAME.fullmatch(name):
            given.append(f"Policy {name or '(without a name)'}: a name is made of a-z, 0-9, - and ., as in DNS.")
        elif names.count(name) > 1:
            given.append(f"Policy {name} is there {names.count(name)} times.")
    return given


def refusals(status: JSON, message: str) -> list[str]:
    """The server's answer, a clause for each field, without the way through the definition."""
    given = []
    for cause in (status.get("details") or {}).get("causes") or []:
        _before, value, field = str(cause.get("field") or "").partition(".default")
        if value:
            result = re.sub(r"^Invalid value: (\{.*\}|\"object\"|\"integer\"|\"string\"): ", "", str(cause.get("message")))
            result = re.sub(r" in body ", " ", result)
            given.append(f"spec{field}: {result}")
    return list(dict.fromkeys(given)) or [message]
