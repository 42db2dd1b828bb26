"""Who changed which policy, or which node's label: the console's Events, and the policies' managedFields."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from colocation.console import common, events
from colocation.console import model as m
from colocation.console.app import EVENTS_RIGHT, App, Ask
from colocation.console.policies import MANAGER
from colocation.console.problems import Trouble
from colocation.decoding import decode
from colocation.kube.rest import ApiError


class Noted(Struct, frozen=True, rename="camel"):
    """What the annotation of a console's Event says. Who may write Events may write one by hand: shown as text."""

    by: str = ""
    action: Literal["created", "changed", "deleted", "labelled", "unlabelled"] = "changed"
    diff: tuple[m.Difference, ...] = ()
    reason: str = ""
    foretold: str = ""
    resource_version: str = ""
    generation: int = 0
    spec: dict[str, Any] = field(default_factory=dict)


def recent(app: App, ask: Ask) -> m.Changes:
    """GET /changes, page changes."""
    app.need(ask, EVENTS_RIGHT)
    omitted: list[m.Omission] = []
    found = items(app, ask, omitted)
    policies = common.some_policies(app, ask, omitted) or []
    for one in policies:
        written = one.last_change
        if written is not None and written.by != MANAGER:
            found.append(
                m.Change(
                    at=written.at,
                    by=written.by,
                    kind="ColocationPolicy",
                    name=one.name,
                    action="created" if one.generation == 1 else "changed",
                    by_console=False,
                )
            )
    found.sort(key=lambda one: one.at, reverse=True)
    return m.Changes(**common.around(app, ask), omitted=tuple(omitted), items=tuple(found))


def items(app: App, ask: Ask, omitted: list[m.Omission]) -> list[m.Change]:
    """What the console's Events tell, the newest first."""
    try:
        told = events.of_console(app.rest(ask))
    except ApiError as error:
        try:
            omitted.append(common.omission("events", app.of_api(error, str(EVENTS_RIGHT), ask, "reader")))
        except Trouble as trouble:
            raise trouble from error
        return []
    return [_change(one) for one in told if one.regarding.kind in ("ColocationPolicy", "Node")]


def _change(wire: events.Wire) -> m.Change:
    try:
        noted = decode(wire.metadata.annotations.get(events.CHANGE, "{}"), Noted)
    except msgspec.DecodeError:
        noted = Noted()
    return m.Change(
        at=wire.at,
        by=noted.by,
        kind="Node" if wire.regarding.kind == "Node" else "ColocationPolicy",
        name=wire.regarding.name,
        action=noted.action,
        diff=noted.diff[:200],
        reason=noted.reason,
        foretold=noted.foretold,
        note=wire.note,
    )
