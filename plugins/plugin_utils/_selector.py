# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is **PRIVATE** to the collection; it can change at any time.

"""Label selectors as kubectl writes them: C(a=b, c!=d, e in (f, g), h notin (i), j, !k)."""

from __future__ import annotations

import re
import typing as t

_TERM = re.compile(
    r"\s*(?:(?P<no>!)\s*(?P<absent>[^\s,()=!]+)"
    r"|(?P<key>[^\s,()=!]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[^\s,()=!]*)|(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)
Term = t.Tuple[str, str, t.FrozenSet[str]]


class BadSelector(ValueError):
    """No label selector; the message says where."""


def parse(text: str) -> list[Term]:
    """Terms as (key, in | notin | exists | absent, values). Raises BadSelector."""
    terms: list[Term] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TERM.match(text, at)
        if not match:
            raise BadSelector(f"'{text[at:].strip()}' is no label selector, such as 'pool in (a, b), !gpu'")
        at = match.end()
        if match["no"]:
            terms.append((match["absent"], "absent", frozenset()))
        elif match["set"]:
            terms.append((match["key"], match["set"], frozenset(v.strip() for v in match["values"].split(","))))
        elif match["op"]:
            terms.append((match["key"], "notin" if match["op"] == "!=" else "in", frozenset({match["value"]})))
        else:
            terms.append((match["key"], "exists", frozenset()))
    return terms


def fits(terms: t.Iterable[Term], labels: t.Mapping[str, str]) -> bool:
    """True if labels satisfy every term; C(notin) and C(!=) fit where the label is not there, as in Kubernetes."""
    return all(_fits(term, labels) for term in terms)


def _fits(term: Term, labels: t.Mapping[str, str]) -> bool:
    key, operator, values = term
    if operator == "exists":
        return key in labels
    if operator == "absent":
        return key not in labels
    return (labels.get(key) in values) is (operator == "in")
