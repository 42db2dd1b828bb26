"""Handler that lets nodes take part, or no longer: one label of each Node, in the person's name."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from colocation.console import common, events, writes
from colocation.console import model as m
from colocation.console.app import App, Ask
from colocation.console.policies import MANAGER
from colocation.console.problems import Trouble
from colocation.console.snapshot import Snapshot
from colocation.decoding import decode
from colocation.kube.bucket import Bucket
from colocation.kube.resources import NODES
from colocation.kube.rest import MERGE_PATCH, ApiError
from colocation.model import names

log = logging.getLogger(__name__)
RATE: Final = 20.0
"""Nodes a second, over all people."""
BURST: Final = 20.0
API_SECONDS: Final = 5.0
MOST_PODS: Final = 100


class Turns:
    """Spreads writes to Nodes over time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bucket = Bucket(RATE, BURST, time.monotonic())

    def wait(self) -> None:
        """Until one may be written."""
        while True:
            with self._lock:
                left = self._bucket.take(time.monotonic())
            if not left:
                return
            time.sleep(left)


class _Meta(Struct):
    name: str = ""
    uid: str = ""
    labels: dict[str, str] = field(default_factory=dict)


class _Node(Struct):
    metadata: _Meta


def label(app: App, ask: Ask) -> m.LabelAnswer:
    """POST /nodes:label."""
    wanted = ask.body
    shown = common.may_see_report(app, ask)
    seen = app.service(Snapshot).seen if shown else None
    turns, chosen = app.service(Turns), tuple(dict.fromkeys(wanted.names))
    items: list[m.Labelled] = []
    pods: list[str] = []
    for name in chosen:
        row = seen.by_name.get(name) if seen else None
        turns.wait()
        items.append(_one(app, ask, name, row))
        if wanted.dry_run and not wanted.colocation and row is not None and row.be_pods and len(pods) < MOST_PODS:
            pods += _pods(app, name)
    if not wanted.dry_run:
        done = [one.name for one in items if one.outcome == "done"]
        log.info("nodes labelled", extra={"user": ask.user.username if ask.user else "", "nodes": len(done)})
        app.service(Snapshot).soon()
    return m.LabelAnswer(items=tuple(items), pods=tuple(pods[:MOST_PODS]))


def _one(app: App, ask: Ask, name: str, row: m.NodeRow | None) -> m.Labelled:
    """Raises Trouble where no other node would fare better."""
    wanted = ask.body
    value = "true" if wanted.colocation else None
    told: dict[str, Any] = {
        "name": name,
        "be_pods": row.be_pods if row else None,
        "published_cpu": row.cpu.published if row else None,
        "published_memory": row.memory.published if row else None,
    }
    rest = app.rest(ask)
    try:
        node = decode(rest.send("GET", NODES.path(name), label=NODES.plural, read_seconds=API_SECONDS), _Node)
        if node.metadata.labels.get(names.NODE_LABEL) == value:
            return m.Labelled(outcome="same", **told)
        rest.send(
            "PATCH",
            NODES.path(name),
            query={"fieldManager": MANAGER, **({"dryRun": "All"} if wanted.dry_run else {})},
            body=msgspec.json.encode({"metadata": {"labels": {names.NODE_LABEL: value}}}),
            kind=MERGE_PATCH,
            label=NODES.plural,
            read_seconds=API_SECONDS,
        )
    except ApiError as error:
        trouble = app.of_api(error, f"patch nodes {name}", ask)
        if trouble.problem.status in (401, 503):
            raise trouble from error
        outcome = {403: "denied", 404: "missing", 409: "conflict"}.get(error.code, "failed")
        return m.Labelled(outcome=outcome, message=error.message, **told)  # type: ignore[arg-type]
    if wanted.dry_run:
        return m.Labelled(outcome="would", **told)
    action = "labelled" if wanted.colocation else "unlabelled"
    user = ask.user.username if ask.user else ""
    change = {"by": user, "action": action, "reason": wanted.reason}
    why = f"; reason: {wanted.reason}" if wanted.reason else ""
    note = f"{user}: {action} {names.NODE_LABEL}{why}"
    writes.note_down(app, ask, events.made("Node", name, name, "ColocationLabel", note, change))
    return m.Labelled(outcome="done", **told)


def _pods(app: App, name: str) -> tuple[str, ...]:
    try:
        found = app.service(Snapshot).explain(name)
    except Trouble:
        return ()
    return found.best_effort if found is not None else ()
