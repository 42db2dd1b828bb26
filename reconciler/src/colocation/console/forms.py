"""A policy as a form: its fields as texts, and a form's texts as a policy's spec. No I/O.

What a text cannot be read as stays a text: the check of the console then says, at the field, what is wrong with it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import yaml
from msgspec import Struct

from colocation.console.model import Check, EditPage, FieldProblem, LabelAnswer, PolicyView, Schema, SchemaField

Spec = dict[str, Any]
GROUPS: Final = {
    "selection": "Which nodes",
    "oversell": "What is published",
    "protection": "Protection of online pods",
    "eviction": "Eviction of best-effort pods",
    "report": "Reports",
    "rollout": "Roll-out of changes",
    "engine": "Engine",
}
"""Group of a field to its heading, in the order of the form."""
STEPS: Final = {"percent": 10, "pauseSeconds": 600}
"""The roll-out in steps that is offered for a change that affects many nodes."""
_EXPRESSION: Final = re.compile(r"\s*(!)?([^\s!(),]+)(?:\s+(in|notin)\s*\(([^()]*)\))?\s*(?:,|$)", re.IGNORECASE)


class EditForm(EditPage, frozen=True, kw_only=True):
    """The page of the fields, once more: what was given is shown again, with what is wrong with it."""

    problems: tuple[FieldProblem, ...] = ()
    as_yaml: bool = False
    yaml: str | None = None
    """The text that was given, if it could not be read."""
    base: Spec | None = None
    """The spec that the change began from; None: that of ``policy``."""
    new_name: str = ""


class EffectPage(Check, frozen=True, kw_only=True):
    """The page of a check, from which the change is confirmed."""

    spec: Spec = msgspec.field(default_factory=dict)
    """What was checked."""
    base: Spec = msgspec.field(default_factory=dict)
    """What it began from."""
    problem: str = ""
    """Why it was not written just now."""
    reason: str = ""


class ConflictPage(Struct, frozen=True, kw_only=True):
    """Somebody wrote the policy meanwhile."""

    name: str
    base: Spec
    yours: Spec
    theirs: PolicyView


class SwitchPage(LabelAnswer, frozen=True, kw_only=True):
    """Nodes that are switched: what it would do, or what it did."""

    wanted: bool
    dry_run: bool


class AddPage(Struct, frozen=True, kw_only=True):
    """Nodes that do not take part."""

    names: tuple[str, ...] = ()
    more: bool = False


class Shown(Struct, frozen=True, kw_only=True):
    """One field of the form, as it is shown."""

    field: SchemaField
    label: str
    text: str
    changed: bool
    """It differs from the default."""
    problem: str = ""
    limits: str = ""

    @property
    def open(self) -> bool:
        """Among the fields that are folded up, this one is to be seen."""
        return self.changed or bool(self.problem)


def at(spec: Mapping[str, Any], path: str) -> Any:
    """The value at a path; None where there is none."""
    found: Any = spec
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def put(spec: Spec, path: str, value: Any) -> None:
    """Set the value at a path; None takes it away."""
    *above, last = path.split(".")
    for part in above:
        if not isinstance(spec.get(part), dict):
            if value is None:
                return
            spec[part] = {}
        spec = spec[part]
    if value is None:
        spec.pop(last, None)
    else:
        spec[last] = value


def text_of(value: Any, kind: str) -> str:
    """A value as the form shows it."""
    if value is None:
        return ""
    if kind == "boolean":
        return "true" if value is True else "false"
    if kind == "labels" and isinstance(value, Mapping):
        return ", ".join(f"{name}={label}" for name, label in value.items())
    if kind == "expressions" and isinstance(value, Sequence):
        return ", ".join(_expression_text(one) for one in value if isinstance(one, Mapping))
    if kind == "object" and isinstance(value, Mapping):
        return str(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True))
    return value if isinstance(value, str) else json.dumps(value)


def value_of(text: str, kind: str) -> Any:
    """What a text of the form stands for; None: the field is empty, its default counts."""
    text = text.strip()
    match kind:
        case "boolean":
            return text == "true"
        case "labels":
            return _labels(text) if text else None
        case "expressions":
            return _expressions(text) if text else None
        case "object":
            return _object(text) if text else None
        case "integer":
            return (int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text) if text else None
    return text or None


def spec_of(form: Mapping[str, Sequence[str]], schema: Schema, base: Spec) -> Spec:
    """``base``, with each field that the form has in its place. A checkbox gives its last value."""
    spec = copy.deepcopy(base)
    for field in schema.fields:
        if field.path in form:
            text = form[field.path][-1]
            if text != text_of(shown_value(base, field), field.type):
                put(spec, field.path, value_of(text, field.type))
    return spec


def shown_value(spec: Spec, field: SchemaField) -> Any:
    """What counts: the value of the spec, else the default."""
    found = at(spec, field.path)
    return field.default if found is None else found


def flat(spec: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of a spec with its path."""
    for name, value in spec.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{path}.")
        else:
            yield path, value


class Row(Struct, frozen=True, kw_only=True):
    """One field in the view of three versions."""

    path: str
    base: Any
    yours: Any
    theirs: Any

    @property
    def both(self) -> bool:
        """Both changed it, and not to the same."""
        return self.base not in (self.yours, self.theirs) and self.yours != self.theirs


def three_ways(base: Spec, yours: Spec, theirs: Spec) -> list[Row]:
    """The fields in which one of the three differs."""
    versions = [dict(flat(one)) for one in (base, yours, theirs)]
    paths = sorted({path for one in versions for path in one})
    rows = [Row(path=p, base=versions[0].get(p), yours=versions[1].get(p), theirs=versions[2].get(p)) for p in paths]
    return [row for row in rows if not row.base == row.yours == row.theirs]


def on_top(base: Spec, yours: Spec, theirs: Spec) -> Spec:
    """Theirs, with what you changed since ``base``."""
    merged = copy.deepcopy(theirs)
    for row in three_ways(base, yours, theirs):
        if row.yours != row.base:
            put(merged, row.path, row.yours)
    return merged


def problem_at(problems: Sequence[FieldProblem], path: str) -> FieldProblem | None:
    """What is wrong with a field, or with something in it; None if nothing is."""
    return next((one for one in problems if one.path == path or one.path.startswith((f"{path}.", f"{path}["))), None)


def _object(text: str) -> Any:
    try:
        return json.loads(json.dumps(yaml.safe_load(text)))
    except (yaml.YAMLError, TypeError, ValueError):
        return text


def _labels(text: str) -> Any:
    found = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or not name.strip():
            return text
        found[name.strip()] = value.strip()
    return found


def _expressions(text: str) -> Any:
    found, place = [], 0
    while place < len(text):
        match = _EXPRESSION.match(text, place)
        if match is None or match.end() == place:
            return text
        without, key, operator, values = match.groups()
        one: dict[str, Any] = {"key": key, "operator": "DoesNotExist" if without else "Exists"}
        if operator:
            if without:
                return text
            one |= {"operator": "In" if operator.lower() == "in" else "NotIn"}
            one["values"] = [value.strip() for value in values.split(",") if value.strip()]
        found.append(one)
        place = match.end()
    return found


def _expression_text(one: Mapping[str, Any]) -> str:
    key, operator = str(one.get("key", "")), one.get("operator")
    if operator in ("In", "NotIn"):
        values = ",".join(map(str, one.get("values") or ()))
        return f"{key} {'in' if operator == 'In' else 'notin'} ({values})"
    return key if operator == "Exists" else f"!{key}"
