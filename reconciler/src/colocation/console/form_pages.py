"""Handlers of pages that work by forms, without a script: they do what the REST API does, and show it as a page."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, quote

import msgspec
import yaml
from msgspec import Struct, field, structs

from colocation.console import forms, labels, problems, reads, writes
from colocation.console.app import App, Ask
from colocation.console.forms import AddPage, ConflictPage, EditForm, EffectPage, Spec, SwitchPage
from colocation.console.model import (
    ChangeRequest,
    Check,
    CheckRequest,
    FieldProblem,
    LabelRequest,
    PolicyPage,
    PolicyView,
    Series,
    SeriesQuery,
)
from colocation.console.problems import Trouble
from colocation.console.schema import schema
from colocation.decoding import convert, decode
from colocation.kube.resources import NODES
from colocation.kube.rest import ApiError
from colocation.model.names import NODE_LABEL
from colocation.serving import Answer

MOST_FIELDS: Final = 512
MOST_LISTED: Final = 100
"""Nodes that are offered at once."""
API_SECONDS: Final = 5.0


class _ListMeta(Struct, frozen=True):
    next: str = field(default="", name="continue")


class _Named(Struct, frozen=True):
    name: str = ""


class _Item(Struct, frozen=True):
    metadata: _Named = _Named()


class _Nodes(Struct, frozen=True):
    items: tuple[_Item, ...] = ()
    metadata: _ListMeta = _ListMeta()


class Given:
    """What a form sent."""

    def __init__(self, ask: Ask) -> None:
        """Raises Trouble."""
        try:
            text = bytes(ask.request.body).decode("utf-8")
            self.fields = parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        except (UnicodeDecodeError, ValueError) as error:
            raise problems.malformed(f"the form cannot be read: {error}") from error

    def text(self, name: str) -> str:
        """A field's last value; "" without one."""
        return self.fields.get(name, [""])[-1]

    def all(self, name: str) -> list[str]:
        """A field's values."""
        return self.fields.get(name, [])

    def spec(self, name: str) -> Spec:
        """A spec that a page of ours put into a hidden field. Raises Trouble."""
        try:
            found = json.loads(self.text(name) or "{}")
        except ValueError as error:
            raise problems.malformed(f"the form's field {name} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise problems.malformed(f"the form's field {name} is not an object")
        return found


def check(app: App, ask: Ask) -> Answer:
    """The form of the fields was sent: its effect, or the form again with what is wrong."""
    given = Given(ask)
    name, base = given.text("name").strip(), given.spec("base")
    try:
        spec = _spec(given)
    except ValueError as error:
        wrong = (FieldProblem(path="", message=str(error)),)
        return _edit(app, ask, given, given.spec("spec"), wrong, as_yaml=True, text=given.text("yaml"), code=422)
    if given.text("next") in ("fields", "yaml"):
        return _edit(app, ask, given, spec, as_yaml=given.text("next") == "yaml")
    if not name or "/" in name:
        return _edit(app, ask, given, spec, (FieldProblem(path="name", message="A policy needs a name."),), code=422)
    found = _check(app, ask, name, CheckRequest(spec=spec, version=given.text("version")))
    if isinstance(found, Trouble):
        return _conflict(app, ask, found, name, base, spec)
    if not found.valid:
        return _edit(app, ask, given, spec, found.fields, as_yaml=given.text("form") == "yaml", code=422)
    return app.render("effect", _effect(found, spec, base), ask.context)


def apply(app: App, ask: Ask) -> Answer:
    """A checked change was confirmed: write it, and lead to where it can be followed."""
    given = Given(ask)
    name, spec, base = given.text("name"), given.spec("spec"), given.spec("base")
    if given.text("edit"):
        if given.text("edit") == "steps":
            for field, value in forms.STEPS.items():
                forms.put(spec, f"rollout.{field}", value)
        return _edit(app, ask, given, spec)
    gone = bool(given.text("delete"))
    body = ChangeRequest(
        spec=None if gone else spec,
        version=given.text("version"),
        reason=given.text("reason"),
        typed_name=given.text("typedName"),
    )
    asked = _as(ask, name, body, check=given.text("check"))
    try:
        (writes.delete if gone else writes.put)(app, asked)
    except Trouble as trouble:
        return _not_written(app, ask, trouble, given, spec, base)
    to = "./policies" if gone else f"./policies/{quote(name, safe='')}?follow=1"
    return Answer(303, b"", "text/plain", (("Location", to),))


def delete(app: App, ask: Ask) -> EffectPage | Answer:
    """What deleting a policy would do."""
    name = ask.names["name"]
    policy = _policy(app, ask, name)
    found = _check(app, ask, name, CheckRequest(version=policy.version, delete=True))
    if isinstance(found, Trouble):
        raise found
    return _effect(found, policy.spec, policy.spec)


def label(app: App, ask: Ask) -> Answer:
    """Nodes were chosen: what switching them would do, or, confirmed, what it did."""
    given = Given(ask)
    names = dict.fromkeys([*given.all("names"), *given.text("named").replace(",", " ").split()])
    if not names:
        raise problems.malformed("no node was chosen: go back and mark the nodes first", "nothingChosen")
    wanted, confirmed = given.text("colocation") == "true", bool(given.text("confirmed"))
    document = {
        "names": list(names),
        "colocation": wanted,
        "dryRun": not confirmed,
        "reason": given.text("reason"),
    }
    try:
        body = convert(document, LabelRequest)
    except msgspec.ValidationError as error:
        raise problems.malformed(f"at most 100 nodes at once: {error}") from error
    found = labels.label(app, structs.replace(ask, body=body))
    view = SwitchPage(items=found.items, pods=found.pods, wanted=wanted, dry_run=not confirmed)
    return app.render("switch", view, ask.context)


def add(app: App, ask: Ask) -> AddPage:
    """Nodes that do not take part, as far as this person may list nodes."""
    query = {"labelSelector": f"{NODE_LABEL}!=true", "limit": str(MOST_LISTED)}
    try:
        text = app.rest(ask).send("GET", NODES.path(), query=query, label=NODES.plural, read_seconds=API_SECONDS)
    except ApiError as error:
        if error.code == 403:
            return AddPage()
        raise app.of_api(error, "list nodes", ask) from error
    found = decode(text, _Nodes)
    return AddPage(names=tuple(one.metadata.name for one in found.items), more=bool(found.metadata.next))


def chart(app: App, ask: Ask) -> Series:
    """One chart as a table."""
    given = dict(ask.context.query)
    query = SeriesQuery(chart=ask.names["chart"], node=given.get("node", "")[:253], range=given.get("range", "6h")[:8])
    found: Series = reads.series(app, structs.replace(ask, query=query))
    return found


def _spec(given: Given) -> Spec:
    """What was given, as a spec. Raises ValueError for YAML that is none."""
    match given.text("form"):
        case "yaml":
            try:
                found = yaml.safe_load(given.text("yaml"))
            except yaml.YAMLError as error:
                raise ValueError(f"This is not YAML: {error}") from error
            if found is not None and not isinstance(found, dict):
                raise ValueError("The spec is a mapping: field: value.")
            return json.loads(json.dumps(found or {}, default=str)) if found else {}
        case "fields":
            return forms.spec_of(given.fields, schema(), given.spec("spec"))
    return given.spec("spec")


def _check(app: App, ask: Ask, name: str, body: CheckRequest) -> Check | Trouble:
    """The check; a Trouble that is a conflict."""
    try:
        found: Check = writes.check(app, _as(ask, name, body))
    except Trouble as trouble:
        if trouble.problem.status == 409:
            return trouble
        raise
    return found


def _effect(found: Check, spec: Spec, base: Spec, problem: str = "", reason: str = "") -> EffectPage:
    given = {name: getattr(found, name) for name in Check.__struct_fields__}
    return EffectPage(**given, spec=spec, base=base, problem=problem, reason=reason)


def _not_written(app: App, ask: Ask, trouble: Trouble, given: Given, spec: Spec, base: Spec) -> Answer:
    """The page that leads on from a write that was refused. Raises Trouble."""
    problem, name = trouble.problem, given.text("name")
    if problem.status == 409:
        return _conflict(app, ask, trouble, name, base, spec)
    if problem.status == 422 and problem.fields and all(one.path != "typedName" for one in problem.fields):
        return _edit(app, ask, given, spec, problem.fields, code=422)
    if problem.status not in (412, 422):
        raise trouble
    gone = bool(given.text("delete"))
    body = CheckRequest(spec=None if gone else spec, version=given.text("version"), delete=gone)
    found = _check(app, ask, name, body)
    if isinstance(found, Trouble):
        return _conflict(app, ask, found, name, base, spec)
    if not found.valid:
        return _edit(app, ask, given, spec, found.fields, code=422)
    why = "Nothing was written: " + problem.detail
    return app.render("effect", _effect(found, spec, base, why, given.text("reason")), ask.context, problem.status)


def _conflict(app: App, ask: Ask, trouble: Trouble, name: str, base: Spec, yours: Spec) -> Answer:
    """The view of three versions. Raises Trouble when theirs cannot be read."""
    theirs = trouble.problem.theirs or _policy(app, ask, name)
    return app.render("conflict", ConflictPage(name=name, base=base, yours=yours, theirs=theirs), ask.context, 409)


def _edit(
    app: App,
    ask: Ask,
    given: Given,
    spec: Spec,
    wrong: tuple[FieldProblem, ...] = (),
    *,
    as_yaml: bool = False,
    text: str | None = None,
    code: int = 200,
) -> Answer:
    """The form again, with what was given."""
    name, version = given.text("name").strip(), given.text("version")
    policy = None
    if version:
        now = _policy(app, ask, name)
        # The version that the change began from: another one is noticed when it is checked.
        policy = structs.replace(now, version=version)
    view = EditForm(
        as_of=None,
        age_seconds=None,
        leader=None,
        name=name if version else "",
        policy=policy,
        schema=schema(),
        spec=copy.deepcopy(spec),
        problems=wrong,
        as_yaml=as_yaml,
        yaml=text,
        base=given.spec("base"),
        new_name=name,
    )
    return app.render("edit", view, ask.context, code)


def _policy(app: App, ask: Ask, name: str) -> PolicyView:
    """As it is now. Raises Trouble."""
    page: PolicyPage = reads.policy(app, structs.replace(ask, names={"name": name}))
    return page.policy


def _as(ask: Ask, name: str, body: Any, *, check: str = "") -> Ask:
    """The same person's request to the REST API."""
    headers = copy.copy(ask.request.headers)
    if check:
        headers = copy.deepcopy(ask.request.headers)
        del headers["X-Check"]
        headers["X-Check"] = check
    names: Mapping[str, str] = {"name": name}
    return structs.replace(ask, names=names, body=body, request=structs.replace(ask.request, headers=headers))
