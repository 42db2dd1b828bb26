"""Handlers that only look: the report by the shared snapshot, everything else with the person's own token."""

from __future__ import annotations

from typing import Final

from colocation.console import changes, common, events, problems, table
from colocation.console import model as m
from colocation.console import policies as pol
from colocation.console.app import EVENTS_RIGHT, App, Ask
from colocation.console.ring import Ring
from colocation.console.schema import schema as the_schema
from colocation.console.series import Charts
from colocation.console.snapshot import Seen, Snapshot
from colocation.kube.rest import ApiError
from colocation.serving import Answer

API_SECONDS: Final = 5.0
FEW: Final = 5
"""Changes on the overview."""


def me(app: App, ask: Ask) -> m.Me:
    """GET /me."""
    return app.me(ask)


def overview(app: App, ask: Ask) -> m.Overview:
    """GET /summary, page overview."""
    snapshot: Snapshot = app.service(Snapshot)
    seen = snapshot.need()
    omitted: list[m.Omission] = []
    known = common.some_policies(app, ask, omitted)
    rolling, stopped = pol.moving(known or ())
    latest = changes.items(app, ask, omitted)[:FEW] if ask.context.path == "/" else ()
    return m.Overview(
        **common.about(snapshot, seen),
        omitted=tuple(omitted),
        cpu=seen.cpu,
        memory=seen.memory,
        nodes=seen.counts,
        rolling=tuple(_point(one) for one in rolling),
        stopped=tuple(_point(one) for one in stopped),
        policies=None if known is None else len(known),
        gained=app.service(Ring).gained(),
        changes=tuple(latest),
    )


def nodes(app: App, ask: Ask) -> m.Nodes:
    """GET /nodes, page nodes."""
    snapshot: Snapshot = app.service(Snapshot)
    seen, query = snapshot.need(), ask.query
    rows = _chosen(seen, query)
    start = query.continue_
    end = start + query.limit
    return m.Nodes(
        **common.about(snapshot, seen),
        query=query,
        items=tuple(rows[start:end]),
        total=len(rows),
        cpu=seen.cpu if len(rows) == len(seen.rows) else table.sums(row.cpu for row in rows),
        memory=seen.memory if len(rows) == len(seen.rows) else table.sums(row.memory for row in rows),
        counts=seen.counts,
        policies=seen.policies,
        continue_=end if end < len(rows) else None,
    )


def nodes_csv(app: App, ask: Ask) -> Answer:
    """GET /nodes.csv."""
    text = table.as_csv(_chosen(app.service(Snapshot).need(), ask.query))
    head = (("Content-Disposition", 'attachment; filename="nodes.csv"'),)
    return Answer(200, text.encode(), "text/csv; charset=utf-8", head)


def node(app: App, ask: Ask) -> m.NodeView:
    """GET /nodes/{name}."""
    snapshot: Snapshot = app.service(Snapshot)
    name = ask.names["name"]
    row = None if snapshot.seen is None else snapshot.seen.by_name.get(name)
    try:
        explanation = snapshot.explain(name)
    except problems.Trouble:
        if row is None:
            raise
        explanation = None
    if row is None and explanation is None:
        raise problems.absent(f"the manager knows no node {name!r}")
    return m.NodeView(**common.about(snapshot, snapshot.need()), name=name, row=row, explanation=explanation)


def node_page(app: App, ask: Ask) -> m.NodeView:
    """Page node: with its Events, where the person may see them."""
    found = node(app, ask)
    omitted: list[m.Omission] = []
    told = _events(app, ask, "Node", omitted)
    return m.NodeView(
        **{name: getattr(found, name) for name in m.Answered.__struct_fields__ if name != "omitted"},
        omitted=tuple(omitted),
        name=found.name,
        row=found.row,
        explanation=found.explanation,
        events=told,
    )


def node_events(app: App, ask: Ask) -> m.Events:
    """GET /nodes/{name}/events."""
    app.need(ask, EVENTS_RIGHT)
    return m.Events(**common.around(app, ask), items=_events(app, ask, "Node", None) or ())


def policy_events(app: App, ask: Ask) -> m.Events:
    """GET /policies/{name}/events."""
    app.need(ask, EVENTS_RIGHT)
    return m.Events(**common.around(app, ask), items=_events(app, ask, "ColocationPolicy", None) or ())


def policies(app: App, ask: Ask) -> m.Policies:
    """GET /policies, page policies."""
    omitted: list[m.Omission] = []
    return m.Policies(**common.around(app, ask), omitted=tuple(omitted), items=tuple(common.all_policies(app, ask)))


def policy(app: App, ask: Ask) -> m.PolicyPage:
    """GET /policies/{name}, page policy."""
    stored = common.one_policy(app, ask, ask.names["name"])
    omitted: list[m.Omission] = []
    told = [one for one in changes.items(app, ask, omitted) if one.kind == "ColocationPolicy"]
    mine = tuple(one for one in told if one.name == stored.metadata.name)
    written = pol.last_written(stored.metadata)
    newest = mine[0] if mine and written and written.by == pol.MANAGER else None
    last = m.LastChange(at=newest.at, by=newest.by) if newest else None
    view = pol.view(stored, last)
    return m.PolicyPage(**common.around(app, ask), omitted=tuple(omitted), policy=view, changes=mine)


def schema(_app: App, _ask: Ask) -> m.Schema:
    """GET /policy-schema."""
    return the_schema()


def charts(app: App, ask: Ask) -> m.Monitor:
    """GET /charts, page monitor."""
    snapshot: Snapshot = app.service(Snapshot)
    found: Charts = app.service(Charts)
    query = ask.query or m.MonitorQuery()
    names = tuple(snapshot.seen.by_name) if snapshot.seen else ()
    return m.Monitor(
        **common.about(snapshot),
        charts=found.all,
        ranges=found.ranges,
        prometheus=found.prometheus,
        node=query.node,
        range=query.range if query.range in found.ranges else "6h",
        nodes=names,
    )


def series(app: App, ask: Ask) -> m.Series:
    """GET /series."""
    found: Charts = app.service(Charts)
    answer = found.series(ask.query)
    seen = common.about(app.service(Snapshot))
    omitted = (m.Omission(part="prometheus", why="away"),) if found.away else ()
    return m.Series(**seen, omitted=omitted, **answer)


def _events(app: App, ask: Ask, kind: str, omitted: list[m.Omission] | None) -> tuple[m.Event, ...] | None:
    """About the object that the path names; ``omitted`` None: a failure is the answer's."""
    try:
        told = events.about(app.rest(ask), kind, ask.names["name"])
    except ApiError as error:
        trouble = app.of_api(error, str(EVENTS_RIGHT), ask, "reader")
        if omitted is None:
            raise trouble from error
        omitted.append(common.omission("events", trouble))
        return None
    return tuple(events.shown(one) for one in told)


def _chosen(seen: Seen, query: m.Query) -> list[m.NodeRow]:
    try:
        return table.chosen(seen.rows, query)
    except ValueError as error:
        raise problems.malformed(str(error)) from error


def _point(view: m.PolicyView) -> m.Point:
    return m.Point(
        policy=view.name, updated=view.updated_nodes or 0, nodes=view.nodes or 0, stopped=view.rollout_stopped
    )
