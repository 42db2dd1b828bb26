"""Everything that the console answers: one line a method and path, for JSON and for pages.

A page's handler returns the view that its template is given: `render(template, view, context)`.
"""

from __future__ import annotations

from typing import Final

from colocation.console import changes, files, form_pages, labels, live, reads, sign, writes
from colocation.console import model as m
from colocation.console.router import Endpoint

API: Final = "/api/v1"

JSON: Final = (
    Endpoint(method="GET", path=f"{API}/me", handle=reads.me, answer=m.Me, summary="Who is signed in, and may do what"),
    Endpoint(
        method="GET",
        path=f"{API}/summary",
        handle=reads.overview,
        answer=m.Overview,
        needs="report",
        summary="The cluster in sums, and what needs a look",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/nodes",
        handle=reads.nodes,
        query=m.Query,
        answer=m.Nodes,
        needs="report",
        summary="One page of the nodes that take part, filtered and sorted",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/nodes.csv",
        handle=reads.nodes_csv,
        query=m.Query,
        needs="report",
        summary="All nodes that the filter leaves, as CSV: a line a node and resource",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/nodes/{{name}}",
        handle=reads.node,
        answer=m.NodeView,
        needs="report",
        summary="One node: its row, and why it has its number",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/nodes/{{name}}/events",
        handle=reads.node_events,
        answer=m.Events,
        summary="Events about a node",
    ),
    Endpoint(
        method="POST",
        path=f"{API}/nodes:label",
        handle=labels.label,
        body=m.LabelRequest,
        answer=m.LabelAnswer,
        summary="Let up to 100 nodes take part, or no longer; with dryRun: only say what would be",
    ),
    Endpoint(method="GET", path=f"{API}/policies", handle=reads.policies, answer=m.Policies, summary="All policies"),
    Endpoint(
        method="GET",
        path=f"{API}/policies/{{name}}",
        handle=reads.policy,
        answer=m.PolicyPage,
        summary="One policy, and who changed it",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/policies/{{name}}/events",
        handle=reads.policy_events,
        answer=m.Events,
        summary="Events about a policy",
    ),
    Endpoint(
        method="POST",
        path=f"{API}/policies/{{name}}:check",
        handle=writes.check,
        body=m.CheckRequest,
        answer=m.Check,
        summary="Check a change of a policy, and foretell its effect; writes nothing",
    ),
    Endpoint(
        method="PUT",
        path=f"{API}/policies/{{name}}",
        handle=writes.put,
        body=m.ChangeRequest,
        answer=m.Changed,
        check=True,
        summary="Write a change that was checked",
    ),
    Endpoint(
        method="DELETE",
        path=f"{API}/policies/{{name}}",
        handle=writes.delete,
        body=m.ChangeRequest,
        answer=m.Changed,
        check=True,
        summary="Delete a policy, once that was checked",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/policy-schema",
        handle=reads.schema,
        answer=m.Schema,
        summary="Fields of a policy: type, default, range, unit and meaning",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/charts",
        handle=reads.charts,
        answer=m.Monitor,
        needs="report",
        summary="Which charts and ranges there are",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/series",
        handle=reads.series,
        query=m.SeriesQuery,
        answer=m.Series,
        needs="report",
        summary="The lines of one chart over a range of time",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/changes",
        handle=changes.recent,
        answer=m.Changes,
        summary="Who changed which policy or which node's label",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/stream",
        handle=live.stream,
        query=m.StreamQuery,
        needs="report",
        summary="Server-sent events: summary, changed, policy, away, bye",
    ),
    Endpoint(
        method="GET",
        path=f"{API}/openapi.json",
        handle=files.openapi,
        needs="nobody",
        summary="This API, as OpenAPI 3.1",
    ),
)


def _page(path: str, template: str, handle: object, needs: str = "person", query: type | None = None) -> Endpoint:
    return Endpoint(
        method="GET",
        path=path,
        template=template,
        handle=handle,
        needs=needs,  # type: ignore[arg-type]
        query=query,
        summary=f"The page {template}",
    )


def _form(path: str, template: str, handle: object) -> Endpoint:
    summary = f"The form that leads to the page {template}"
    return Endpoint(method="POST", path=path, template=template, handle=handle, summary=summary)


PAGES: Final = (
    _page("/", "overview", reads.overview, "report"),
    _page("/nodes", "nodes", reads.nodes, "report", m.Query),
    _page("/nodes/{name}", "node", reads.node_page, "report"),
    _page("/policies", "policies", reads.policies),
    _page("/policies:new", "edit", writes.new_page),
    _page("/policies/{name}", "policy", reads.policy),
    _page("/policies/{name}/edit", "edit", writes.edit_page, query=m.EditQuery),
    _page("/monitor", "monitor", reads.charts, "report", m.MonitorQuery),
    _page("/monitor/{chart}", "chart", form_pages.chart, "report"),
    _page("/nodes:add", "add", form_pages.add),
    _page("/policies/{name}/delete", "effect", form_pages.delete),
    _form("/policies:check", "edit", form_pages.check),
    _form("/policies:apply", "effect", form_pages.apply),
    _form("/nodes:label", "switch", form_pages.label),
    _page("/changes", "changes", changes.recent),
    _page("/login", "login", sign.page, "nobody", m.LoginQuery),
    Endpoint(
        method="POST", path="/login", handle=sign.login, needs="nobody", template="login", csrf=False, summary="Sign in"
    ),
    Endpoint(method="POST", path="/logout", handle=sign.logout, needs="nobody", template="login", summary="Sign out"),
    Endpoint(
        method="POST",
        path="/preferences",
        handle=sign.preferences,
        needs="nobody",
        template="login",
        csrf=False,
        summary="A form with language or theme, and goTo: sets cookies",
    ),
    Endpoint(method="GET", path="/static/{name}", handle=files.static, needs="nobody", summary="Styles and scripts"),
    Endpoint(method="GET", path="/dist/{name}", handle=files.dist, needs="nobody", summary="openFuyao's plugin script"),
)

ALL: Final = (*JSON, *PAGES)
