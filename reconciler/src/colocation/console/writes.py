"""Handlers that change policies: nothing is written that the API server's dry run and `simulate` have not shown."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation.console import check as checked
from colocation.console import common, events, problems
from colocation.console import model as m
from colocation.console import policies as pol
from colocation.console.app import App, Ask
from colocation.console.problems import Trouble
from colocation.console.schema import schema
from colocation.console.snapshot import Snapshot
from colocation.decoding import decode
from colocation.kube.resources import EVENTS, POLICIES
from colocation.kube.rest import MERGE_PATCH, ApiError
from colocation.model import form

log = logging.getLogger(__name__)
CHECK_SECONDS: Final = 900.0
WRITE_SECONDS: Final = 8.0
TRIES: Final = 3
"""The manager may write the status between our look and our write: the spec is then still the one that was checked."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_STRICT: Final = {"fieldValidation": "Strict", "fieldManager": pol.MANAGER}
_RIGHT: Final = "colocationpolicies.colocation.openfuyao.com"


class Foretold(Struct, frozen=True, array_like=True):
    """What a check token says of its check."""

    level: str
    text: str


def check(app: App, ask: Ask) -> m.Check:
    """POST /policies/{name}:check. Each stage only if the one before was good."""
    name, given = ask.names["name"], ask.body
    stored = _start(app, ask, name, given.version)
    before = _spec(stored)
    after = None if given.delete else given.spec
    if after is None and not given.delete:
        raise problems.malformed("give the policy's whole spec, or delete: true")
    seen = common.around(app, ask)
    wrong = [m.FieldProblem(path=w.path, message=w.message, code=w.code, values=w.values) for w in _wrong(name, after)]
    if not wrong:
        try:
            _write(app, ask, name, stored, after, dry=True)
        except Trouble as trouble:
            if trouble.problem.status != 422:
                raise
            wrong = list(trouble.problem.fields)
    if wrong:
        return m.Check(
            **seen, name=name, valid=False, fields=tuple(wrong), created=stored is None, deleted=given.delete
        )
    omitted: list[m.Omission] = []
    effect = _effect(app, ask, name, after, omitted)
    diff = checked.difference(before, after)
    risk = checked.risk(before, after, effect)
    return m.Check(
        **seen,
        omitted=tuple(omitted),
        name=name,
        valid=True,
        created=stored is None,
        deleted=given.delete,
        diff=diff,
        yaml_before=checked.as_yaml(name, before),
        yaml_after=checked.as_yaml(name, after),
        effect=effect,
        risk=risk,
        version=given.version,
        check_token=_token(app, ask, name, given.version, after, Foretold(risk.level, checked.foretold(effect))),
    )


def put(app: App, ask: Ask) -> m.Changed:
    """PUT /policies/{name}."""
    if ask.body.spec is None:
        raise problems.malformed("give the policy's whole spec")
    return _change(app, ask, ask.body.spec)


def delete(app: App, ask: Ask) -> m.Changed:
    """DELETE /policies/{name}."""
    return _change(app, ask, None)


def edit_page(app: App, ask: Ask) -> m.EditPage:
    """Page edit."""
    stored = common.one_policy(app, ask, ask.names["name"])
    view = pol.view(stored)
    back = ask.query.back and view.stable is not None
    spec = view.stable if back and view.stable is not None else view.spec
    seen = common.around(app, ask)
    return m.EditPage(**seen, name=view.name, policy=view, schema=schema(), spec=spec, going_back=back)


def new_page(app: App, ask: Ask) -> m.EditPage:
    """Page edit, of a policy that is not there yet."""
    return m.EditPage(**common.around(app, ask), name="", policy=None, schema=schema(), spec={})


def _change(app: App, ask: Ask, after: dict[str, Any] | None) -> m.Changed:
    name, given = ask.names["name"], ask.body
    foretold = _foretold(app, ask, name, given.version, after)
    if foretold.level != "low" and given.typed_name != name:
        wrong = m.FieldProblem(path="typedName", message="type the policy's name to confirm", code="typedName")
        raise problems.invalid((wrong,))
    stored = _start(app, ask, name, given.version)
    before = _spec(stored)
    written = _write(app, ask, name, stored, after, dry=False)
    action = "deleted" if after is None else "created" if stored is None else "changed"
    diff = checked.difference(before, after)
    noted = _note(app, ask, written, action, diff, foretold.text)
    app.service(Snapshot).soon()
    return m.Changed(
        name=name,
        version="" if after is None else pol.version(written.metadata),
        generation=written.metadata.generation,
        created=stored is None,
        deleted=after is None,
        noted=noted,
    )


def _wrong(name: str, spec: Mapping[str, Any] | None) -> tuple[form.Wrong, ...]:
    found = () if spec is None else form.wrong(spec)
    if len(name) > 253 or not _NAME.fullmatch(name):
        sentence = "must be lower-case letters, digits, - and ., and begin and end with a letter or digit"
        found = (form.Wrong(path="metadata.name", message=sentence, code="name"), *found)
    return found


def _start(app: App, ask: Ask, name: str, version: str) -> pol.Stored | None:
    """The policy that a change starts from, as it is now; None: there is none yet. Raises Trouble: 409 for another."""
    try:
        stored = common.one_policy(app, ask, name)
    except Trouble as trouble:
        if trouble.problem.status != 404:
            raise
        if version:
            raise problems.changed_meanwhile(f"the policy {name} was deleted meanwhile", None) from trouble
        return None
    if pol.version(stored.metadata) != version:
        what = "changed" if version else "made"
        raise problems.changed_meanwhile(f"the policy {name} was {what} meanwhile", pol.view(stored))
    return stored


def _spec(stored: pol.Stored | None) -> dict[str, Any] | None:
    if stored is None:
        return None
    return stored.spec if isinstance(stored.spec, dict) else {}


def _write(
    app: App, ask: Ask, name: str, stored: pol.Stored | None, after: dict[str, Any] | None, *, dry: bool
) -> pol.Stored:
    """Write it, or (``dry``) have the API server say whether it would. Raises Trouble."""
    for last in (*([False] * (TRIES - 1)), True):
        try:
            return _write_once(app, ask, name, stored, after, dry=dry)
        except ApiError as error:
            if error.code != 409 or stored is None:
                verb = "delete" if after is None else "patch" if stored else "create"
                raise app.of_api(error, f"{verb} {_RIGHT} {name}", ask) from error
            stored = _start(app, ask, name, pol.version(stored.metadata))
            if last or stored is None:
                raise problems.changed_meanwhile(f"the policy {name} changes all the time", None) from error
    raise AssertionError("unreachable")


def _write_once(
    app: App, ask: Ask, name: str, stored: pol.Stored | None, after: dict[str, Any] | None, *, dry: bool
) -> pol.Stored:
    rest, query = app.rest(ask), {**_STRICT, **({"dryRun": "All"} if dry else {})}
    if stored is None:
        document = {
            "apiVersion": POLICIES.group_version,
            "kind": "ColocationPolicy",
            "metadata": {"name": name},
            "spec": after,
        }
        text = rest.send(
            "POST",
            POLICIES.path(),
            query=query,
            body=msgspec.json.encode(document),
            label=POLICIES.plural,
            read_seconds=WRITE_SECONDS,
        )
        return decode(text, pol.Stored)
    here = {"uid": stored.metadata.uid, "resourceVersion": stored.metadata.resource_version}
    if after is None:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": here}
        options |= {"dryRun": ["All"]} if dry else {}
        rest.send(
            "DELETE",
            POLICIES.path(name),
            body=msgspec.json.encode(options),
            label=POLICIES.plural,
            read_seconds=WRITE_SECONDS,
        )
        return stored
    patch = {"metadata": here, "spec": checked.merge_patch(_spec(stored) or {}, after)}
    text = rest.send(
        "PATCH",
        POLICIES.path(name),
        query=query,
        body=msgspec.json.encode(patch),
        kind=MERGE_PATCH,
        label=POLICIES.plural,
        read_seconds=WRITE_SECONDS,
    )
    return decode(text, pol.Stored)


def _effect(app: App, ask: Ask, name: str, after: dict[str, Any] | None, omitted: list[m.Omission]) -> m.Effect | None:
    """None: the person may not see the report, or the manager is away. Raises Trouble."""
    if not common.may_see_report(app, ask):
        omitted.append(m.Omission(part="manager", why="denied", remedy=app.grant(ask)))
        return None
    try:
        wanted = [] if after is None else [{"metadata": {"name": name}, "spec": after}]
        return checked.effect(app.service(Snapshot).simulate(wanted, [name] if after is None else []))
    except Trouble as trouble:
        omitted.append(common.omission("manager", trouble))
        return None


def _document(ask: Ask, name: str, version: str, after: dict[str, Any] | None, foretold: Foretold) -> list[Any]:
    user = ask.user.username if ask.user else ""
    return [user, name, version, after, foretold]


def _token(app: App, ask: Ask, name: str, version: str, after: dict[str, Any] | None, foretold: Foretold) -> str:
    signed = app.sessions.check_token(_document(ask, name, version, after, foretold), app.wall(), CHECK_SECONDS)
    return f"{base64.urlsafe_b64encode(msgspec.json.encode(foretold)).decode()}.{signed}"


def _foretold(app: App, ask: Ask, name: str, version: str, after: dict[str, Any] | None) -> Foretold:
    """The result of its check. Raises Trouble: 412 without one."""
    text, _, signed = ask.request.headers.get("X-Check", "").partition(".")
    if not signed:
        raise problems.unchecked("the change was not checked: the header X-Check is missing")
    try:
        foretold = decode(base64.b64decode(text.encode("ascii"), b"-_", validate=True), Foretold)
    except (ValueError, msgspec.MsgspecError):
        raise problems.unchecked("X-Check is not what :check gave") from None
    good = app.sessions.good_check(signed, _document(ask, name, version, after, foretold), app.wall())
    if good is None:
        raise problems.unchecked("the change was checked more than 15 minutes ago")
    if not good:
        raise problems.unchecked("X-Check is of another change, another policy or another person")
    return foretold


def _note(app: App, ask: Ask, written: pol.Stored, action: str, diff: tuple[m.Difference, ...], foretold: str) -> bool:
    """An Event in the person's name, as a courtesy, and a line in the log. False: the person may not write Events."""
    user = ask.user.username if ask.user else ""
    reason, name = ask.body.reason, written.metadata.name
    change = {"by": user, "action": action, "diff": diff, "reason": reason, "foretold": foretold}
    log.info("policy changed", extra={"user": user, "policy": name, "action": action, "why": reason})
    why = f"; reason: {reason}" if reason else ""
    note = f"{user}: {action}: {checked.summary(diff)}{why}; foretold: {foretold}"
    event = events.made("ColocationPolicy", name, written.metadata.uid, "PolicyChanged", note, change)
    return note_down(app, ask, event)


def note_down(app: App, ask: Ask, event: dict[str, Any]) -> bool:
    """Write an Event with the person's token; False: it could not be."""
    try:
        app.rest(ask).send(
            "POST",
            EVENTS.path(namespace=events.NAMESPACE),
            body=msgspec.json.encode(event),
            label=EVENTS.plural,
            read_seconds=WRITE_SECONDS,
        )
    except ApiError as error:
        log.info("event not written", extra={"error": str(error)})
        return False
    return True
