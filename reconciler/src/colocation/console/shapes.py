"""What a page's template needs beside its view: columns, chips, groups of fields, bars. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import yaml
from markupsafe import Markup
from msgspec import Struct

from colocation.console import bars, charts, forms, model, nodes_table, numbers
from colocation.console.context import Context
from colocation.console.i18n import Language
from colocation.console.schema import schema
from colocation.console.speech import STATES

MINUS: Final = "\N{MINUS SIGN}"
OVERVIEW_CHARTS: Final = ("cpu", "memory")
PARTS: Final = {
    "online": "used by online pods and the system",
    "be": "used by best-effort pods",
    "published": "published and unused",
    "rest": "margin and not published",
}
"""Parts of the bar of a resource over the cluster."""
LOOKS: Final = {
    "withdrawn": ("One node is withdrawn", "{n} nodes are withdrawn"),
    "stale": ("One node does not report", "{n} nodes do not report"),
    "pressed": ("One node is pressed", "{n} nodes are pressed"),
    "starved": ("One node has starved best-effort pods", "{n} nodes have starved best-effort pods"),
    "suspect": ("One node sends suspect reports", "{n} nodes send suspect reports"),
    "closed": ("One node is closed to new best-effort pods", "{n} nodes are closed to new best-effort pods"),
}
"""States that should be rare."""


def of(name: str, view: Struct, context: Context, t: Language) -> dict[str, Any]:
    """By the page's name."""
    made = _MADE.get(name)
    return made(view, context, t) if made else {}


class Parts(Struct, frozen=True):
    """The bar of a resource over the cluster, and its legend."""

    bar: Markup
    legend: tuple[tuple[str, str, float], ...]


def capacity_parts(one: model.Sums) -> Parts:
    """Where the capacity goes: used by online pods and system, by best-effort pods, published and unused, the rest."""
    be = one.used_by_be or 0
    online = max(0, (one.used or 0) - be)
    unused = max(0, one.published - be)
    rest = max(0, one.capacity - online - be - unused)
    sizes = dict(zip(PARTS, (online, be, unused, rest), strict=True))
    parts = tuple((kind, PARTS[kind], size) for kind, size in sizes.items())
    return Parts(bars.stacked([(kind, size) for kind, _, size in parts], one.capacity, one.online_requested), parts)


class Look(Struct, frozen=True):
    """Something that needs a look."""

    text: str
    meaning: str
    path: str
    query: dict[str, str]


def needs_look(view: model.Overview, t: Language) -> list[Look]:
    """Counts of nodes in states that should be rare, and stopped or running roll-outs, each with where to look."""
    found = [
        Look(t.count(count, *LOOKS[state]), str(t(STATES[state][1])), "/nodes", {"state": state})
        for state in LOOKS
        if (count := getattr(view.nodes, state))
    ]
    shown, path = "{updated} of {n} nodes have the newest version.", "/policies/{}"
    found += [
        Look(t("Roll-out stopped: {policy}", policy=one.policy), one.stopped, path.format(one.policy), {})
        for one in view.stopped
    ]
    found += [
        Look(
            t("Roll-out runs: {policy}", policy=one.policy),
            t(shown, updated=one.updated, n=one.nodes),
            path.format(one.policy),
            {},
        )
        for one in view.rolling
    ]
    return found


def _overview(_view: model.Overview, _context: Context, t: Language) -> dict[str, Any]:
    return {
        "capacity_parts": capacity_parts,
        "needs_look": lambda one: needs_look(one, t),
        "overview_charts": [one for one in charts.CHARTS if one.id in OVERVIEW_CHARTS],
        "range": "24h",
    }


def _node(_view: model.NodeView, _context: Context, _t: Language) -> dict[str, Any]:
    return {"node_charts": [one for one in charts.CHARTS if one.scope == "node"], "range": "6h"}


def _monitor(view: model.Monitor, context: Context, _t: Language) -> dict[str, Any]:
    return {"range": view.range, "refresh": dict(context.query).get("refresh", "")}


def _chart(view: model.Series, _context: Context, t: Language) -> dict[str, Any]:
    chart = next(one for one in charts.CHARTS if one.id == view.chart)
    return {"chart": chart, "line_label": lambda line: line_label(line, t), "charted": charted}


def line_label(line: model.Line, t: Language) -> str:
    """The name of a chart's line: a sentence of the catalogue, or a node's name."""
    return str(t(line.label)) if "{" not in line.label else line.label


def charted(value: float | None, unit: str) -> str:
    """A point of a chart, by the chart's unit."""
    match unit:
        case "cores":
            return numbers.UNKNOWN if value is None else numbers.cores(value * 1000)
        case "bytes":
            return numbers.bytes_text(value)
        case "percent":
            return numbers.percent(value)
    return numbers.UNKNOWN if value is None else f"{value:g}"


def _policy(_view: model.PolicyPage, context: Context, _t: Language) -> dict[str, Any]:
    fields = {one.path: one for one in schema().fields}

    def groups(values: Sequence[model.FieldValue]) -> Iterator[tuple[str, list[Any]]]:
        for group, heading in forms.GROUPS.items():
            found = [
                (value, fields.get(value.path))
                for value in values
                if (fields[value.path].group if value.path in fields else "engine") == group
            ]
            if found:
                yield heading, found

    following = any(name == "follow" for name, _ in context.query)
    return {"field_groups": groups, "field_value": field_value, "following": following}


def field_value(value: Any, field: model.SchemaField | None) -> str:
    """A value of a policy with its unit."""
    shown = forms.text_of(value, field.type if field else "text") if value is not None else ""
    if not shown:
        return numbers.UNKNOWN
    return f"{shown} {field.unit}".strip() if field and field.type == "integer" else shown


def _edit(view: model.EditPage, _context: Context, t: Language) -> dict[str, Any]:
    form = view if isinstance(view, forms.EditForm) else forms.EditForm(**_all(view))
    base = form.base if form.base is not None else (view.policy.spec if view.policy else {})

    def groups() -> Iterator[tuple[str, list[forms.Shown]]]:
        for group, heading in forms.GROUPS.items():
            found = [_shown(field, form, t) for field in view.schema.fields if field.group == group]
            if found:
                yield heading, found

    return {
        "form_groups": groups,
        "problems": form.problems,
        "paths": {field.path for field in view.schema.fields},
        "name_problem": wrong_text(wrong, t) if (wrong := forms.problem_at(form.problems, "name")) else "",
        "wrong_text": lambda one: wrong_text(one, t),
        "as_yaml": form.as_yaml,
        "yaml": form.yaml if form.yaml is not None else as_yaml(form.spec),
        "base_json": json.dumps(base),
        "spec_json": json.dumps(form.spec),
        "new_name": form.new_name,
    }


def _shown(field: model.SchemaField, form: forms.EditForm, t: Language) -> forms.Shown:
    value = forms.shown_value(form.spec, field)
    problem = wrong_text(wrong, t) if (wrong := forms.problem_at(form.problems, field.path)) else ""
    return forms.Shown(
        field=field,
        label=label_of(field.path),
        text=forms.text_of(value, field.type),
        changed=value != field.default,
        problem=problem,
        limits=_limits(field, t),
    )


WRONG: Final = {
    "unknownField": "There is no such field{hint}.",
    "missing": "This field is missing.",
    "type": "This must be {wanted}.",
    "minimum": "At least {limit}.",
    "maximum": "At most {limit}.",
    "choice": "One of {choices}.",
    "pattern": "This is not how such a value is written.",
    "tooLong": "At most {limit} characters.",
    "atLeast": "At least {limit} entries.",
    "atMost": "At most {limit} entries.",
}
"""Code of what is wrong with a field to its sentence; the API server's own words come as they are."""


def wrong_text(one: model.FieldProblem, t: Language) -> str:
    """What is wrong with a field."""
    if t.code == "en" or one.code not in WRONG:
        return str(t.word(one.message))
    try:
        return t.plain(WRONG[one.code], **one.values)
    except KeyError:
        return one.message


def label_of(path: str) -> str:
    """A field's name as people read it: "reclaim percent" of oversell.cpu.reclaimPercent, with what it is of."""
    parts = path.split(".")
    shown = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in parts[-1])
    of = [{"cpu": "CPU"}.get(part, part) for part in parts[1:-1] if part != "nodeSelector"]
    return f"{' '.join(of)} {shown}".strip() if of else shown


def _limits(field: model.SchemaField, t: Language) -> str:
    shown = []
    unit = f" {field.unit}" if field.unit else ""
    if field.minimum is not None and field.maximum is not None:
        shown.append(t.plain("{low} to {high}{unit}.", low=field.minimum, high=field.maximum, unit=unit))
    elif field.minimum is not None:
        shown.append(t.plain("At least {low}{unit}.", low=field.minimum, unit=unit))
    default = forms.text_of(field.default, field.type)
    if default:
        shown.append(t.plain("Default: {value}.", value=f"{default}{unit if field.type == 'integer' else ''}"))
    if field.type == "labels":
        shown.append(t.plain("Such as zone=a, disk=ssd."))
    if field.type == "expressions":
        shown.append(t.plain("Such as zone in (a,b), !gpu."))
    return " ".join(shown)


def as_yaml(spec: forms.Spec) -> str:
    """A spec as people write it."""
    return str(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)) if spec else ""


def _effect(view: forms.EffectPage, _context: Context, t: Language) -> dict[str, Any]:
    effect = view.effect
    percent = forms.at(view.spec, "rollout.percent")
    return {
        "spec_json": json.dumps(view.spec),
        "base_json": json.dumps(view.base),
        "apply_problem": str(t(view.problem)) if view.problem else "",
        "reason_given": view.reason,
        "steps_offered": bool(effect and effect.changed > 1 and percent in (None, 100)),
        "delta": _delta,
    }


def _delta(resource: str, moved: model.Moved) -> str:
    change = moved.after - moved.before
    shown = numbers.cores(abs(change)) if resource == "cpu" else numbers.bytes_text(abs(change))
    return f"{'+' if change > 0 else MINUS if change < 0 else ''}{shown}"


def _conflict(view: forms.ConflictPage, _context: Context, _t: Language) -> dict[str, Any]:
    return {
        "name": view.name,
        "theirs": view.theirs,
        "rows": forms.three_ways(view.base, view.yours, view.theirs.spec),
        "merged_json": json.dumps(forms.on_top(view.base, view.yours, view.theirs.spec)),
        "theirs_json": json.dumps(view.theirs.spec),
    }


def _switch(view: forms.SwitchPage, _context: Context, _t: Language) -> dict[str, Any]:
    return {"wanted": view.wanted, "dry_run": view.dry_run}


def _all(view: Struct) -> dict[str, Any]:
    return {name: getattr(view, name) for name in view.__struct_fields__}


_MADE: Final[dict[str, Callable[[Any, Context, Language], dict[str, Any]]]] = {
    "overview": _overview,
    "nodes": nodes_table.shapes,
    "node": _node,
    "monitor": _monitor,
    "chart": _chart,
    "policy": _policy,
    "edit": _edit,
    "effect": _effect,
    "conflict": _conflict,
    "switch": _switch,
}
