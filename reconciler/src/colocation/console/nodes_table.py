"""The table of nodes: its columns, the links that sort and page it, chips of states, a bar a row. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from markupsafe import Markup
from msgspec import Struct

from colocation.console import bars, model
from colocation.console.context import Context
from colocation.console.i18n import Language
from colocation.console.links import Links
from colocation.console.speech import STATES


class Column(Struct, frozen=True):
    """One column of the table of nodes."""

    name: str
    sort: str = ""
    """What it is sorted by; "": it is not."""
    meaning: str = ""
    span: int = 0
    number: bool = False


AMOUNTS: Final = (
    Column("capacity", "capacity", "The Node's status.capacity"),
    Column("requested", "onlineRequested", "Requests of online pods"),
    Column("used", "used", "By everything on the node, mean of the last window, in percent of capacity"),
    Column("published", "published", "What the Node carries for best-effort pods"),
    Column("allocated", "allocated", "What bound best-effort pods request"),
    Column("used by BE", "usedByBe", "By best-effort pods"),
    Column("gain", "gain", "Use by best-effort pods in percent of capacity"),
)
COLUMNS: Final = (
    Column("Node", "node"),
    Column("Policy", "policy", "The policy that counts for it"),
    Column("State", "state"),
    Column("Age", "age", "Seconds since its last report", number=True),
    Column("BE pods", "bePods", "Best-effort pods that are bound to it", number=True),
    Column("CPU (cores)", span=len(AMOUNTS)),
    Column("Memory (bytes)", span=len(AMOUNTS)),
    Column("Pressure", "pressure", "CPU pressure: percent of time in which something waited", number=True),
    Column("Why", meaning="Why it has its number"),
)


def use_bar(one: Any) -> Markup:
    """A node's bar: online use, best-effort use; the line is what online pods request."""
    be = one.used_by_be or 0
    return bars.stacked(
        [("online", max(0, (one.used or 0) - be)), ("be", be)], max(1, one.capacity), one.online_requested
    )


def query_of(query: model.Query) -> dict[str, Any]:
    """A filter as the query of a link, without what is the default."""
    given = {
        "q": query.q,
        "policy": query.policy,
        "state": query.state,
        "sort": "" if query.sort == "node" else query.sort,
        "order": "" if query.order == "asc" else query.order,
        "limit": None if query.limit == 50 else query.limit,
    }
    return {name: value for name, value in given.items() if value}


def shapes(_view: model.Nodes, context: Context, t: Language) -> dict[str, Any]:
    """What the page's template needs."""
    links = Links(context)

    def address(query: model.Query, **more: Any) -> str:
        changed = query_of(query) | {"continue" if name == "continue_" else name: v for name, v in more.items()}
        return links.url("/nodes", **changed)

    def sort_link(query: model.Query, column: Column, resource: str = "") -> Markup:
        name = t(column.name)
        if not column.sort:
            return name
        key = f"{resource}.{column.sort}" if resource else column.sort
        down = query.sort == key and query.order == "asc"
        href = address(query, sort=key, order="desc" if down else "asc")
        shown = Markup("{}{}").format(
            name, {True: " ▲", False: " ▼"}[query.order == "asc"] if query.sort == key else ""
        )
        said = (
            Markup('<span class="hidden"> {}</span>').format(t("CPU") if resource == "cpu" else t("Memory"))
            if resource
            else ""
        )
        return Markup('<a href="{}" data-fragment="#nodes" title="{}">{}{}</a>').format(
            href, t(column.meaning) if column.meaning else "", shown, said
        )

    def aria_sort(query: model.Query, key: str) -> Markup:
        if not key or query.sort != key:
            return Markup("")
        return Markup(' aria-sort="{}"').format("ascending" if query.order == "asc" else "descending")

    def chips(one: model.Nodes) -> Iterator[tuple[str, str, str, int]]:
        for state, (name, meaning) in STATES.items():
            yield state, str(t(name)), str(t(meaning)), getattr(one.counts, state)

    return {
        "node_columns": COLUMNS,
        "amount_columns": AMOUNTS,
        "sort_link": sort_link,
        "aria_sort": aria_sort,
        "nodes_url": address,
        "state_chips": chips,
        "use_bar": use_bar,
        "query_of": query_of,
    }
