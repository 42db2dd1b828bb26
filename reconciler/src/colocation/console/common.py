"""What several handlers need: the state of the report, and policies in the person's name."""

from __future__ import annotations

from typing import Any, Final

from colocation.console import model as m
from colocation.console import policies as pol
from colocation.console import problems
from colocation.console.app import App, Ask
from colocation.console.gate import report_right
from colocation.console.snapshot import Seen, Snapshot
from colocation.decoding import decode
from colocation.kube.resources import POLICIES
from colocation.kube.rest import ApiError

API_SECONDS: Final = 5.0


def about(snapshot: Snapshot, seen: Seen | None = None) -> dict[str, Any]:
    """What each answer says of the report behind it."""
    seen = seen or snapshot.seen
    return {
        "as_of": None if seen is None else problems.rfc3339(seen.at),
        "age_seconds": None if seen is None else round(max(0.0, snapshot.now() - seen.at), 1),
        "leader": seen.holder or None if seen else None,
        "away": snapshot.away_since is not None,
    }


def around(app: App, ask: Ask) -> dict[str, Any]:
    """The same for answers that need no right to the report: without it they say nothing of it."""
    if may_see_report(app, ask):
        return about(app.service(Snapshot))
    return {"as_of": None, "age_seconds": None, "leader": None}


def all_policies(app: App, ask: Ask) -> list[m.PolicyView]:
    """By name. Raises Trouble."""
    try:
        text = app.rest(ask).send("GET", POLICIES.path(), label=POLICIES.plural, read_seconds=API_SECONDS)
    except ApiError as error:
        raise app.of_api(error, "list colocationpolicies.colocation.openfuyao.com", ask, "reader") from error
    return sorted((pol.view(one) for one in decode(text, pol.StoredList).items), key=lambda one: one.name)


def some_policies(app: App, ask: Ask, omitted: list[m.Omission]) -> list[m.PolicyView] | None:
    """The same where they are only a part of an answer; None: not allowed to, or away."""
    try:
        return all_policies(app, ask)
    except problems.Trouble as trouble:
        omitted.append(omission("policies", trouble))
        return None


def one_policy(app: App, ask: Ask, name: str) -> pol.Stored:
    """As it is now. Raises Trouble."""
    try:
        path = POLICIES.path(name)
        return decode(app.rest(ask).send("GET", path, label=POLICIES.plural, read_seconds=API_SECONDS), pol.Stored)
    except ApiError as error:
        raise app.of_api(error, f"get colocationpolicies.colocation.openfuyao.com {name}", ask, "reader") from error


def omission(part: str, trouble: problems.Trouble) -> m.Omission:
    """A part that is left out, instead of the whole answer. Raises Trouble where the whole is in question."""
    problem = trouble.problem
    if problem.status == 403:
        return m.Omission(part=part, why="denied", remedy=problem.remedy)  # type: ignore[arg-type]
    if problem.status == 503:
        return m.Omission(part=part, why="away")  # type: ignore[arg-type]
    raise trouble


def may_see_report(app: App, ask: Ask) -> bool:
    """For parts of answers that are made of the report."""
    return app.may(ask, report_right(app.options.namespace))
