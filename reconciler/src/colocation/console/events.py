"""Kubernetes Events about Nodes and policies: read with the person's token, and written in the person's name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from colocation.console.model import Event
from colocation.decoding import decode
from colocation.kube.resources import EVENTS
from colocation.kube.rest import Rest
from colocation.model import names
from colocation.model.fit import cut_bytes

NAMESPACE: Final = "default"
NOTE_BYTES: Final = 1024
CONSOLE: Final = "colocation.openfuyao.com/console"
"""reportingController of the console's Events."""
CHANGE: Final = "colocation.openfuyao.com/change"
"""Annotation of them: what was changed, as JSON."""
MOST: Final = 500
"""Events that are asked for at a time."""


class _Regarding(Struct):
    kind: str = ""
    name: str = ""


class _Series(Struct, rename="camel"):
    count: int = 1
    last_observed_time: str = ""


class _Meta(Struct, rename="camel"):
    name: str = ""
    creation_timestamp: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


class Wire(Struct, rename="camel"):
    """An events.k8s.io/v1 Event."""

    metadata: _Meta
    event_time: str | None = None
    reason: str = ""
    note: str = ""
    type: str = "Normal"
    regarding: _Regarding = field(default_factory=_Regarding)
    reporting_controller: str = ""
    series: _Series | None = None

    @property
    def at(self) -> str:
        """When it was, or was last."""
        last = self.series.last_observed_time if self.series else ""
        return last or self.event_time or self.metadata.creation_timestamp


class _List(Struct):
    items: tuple[Wire, ...] = ()


def about(rest: Rest, kind: str, name: str) -> list[Wire]:
    """The manager's and the console's about one object, the newest first. Raises ApiError."""
    return _ask(rest, f"regarding.kind={kind},regarding.name={name}")


def of_console(rest: Rest) -> list[Wire]:
    """All of the console's own, the newest first. Raises ApiError."""
    return _ask(rest, f"reportingController={CONSOLE}")


def _ask(rest: Rest, selector: str) -> list[Wire]:
    query = {"fieldSelector": selector, "limit": str(MOST)}
    text = rest.send("GET", EVENTS.path(namespace=NAMESPACE), query=query, label=EVENTS.plural, read_seconds=5)
    ours = [one for one in decode(text, _List).items if one.reporting_controller in (names.REPORTER, CONSOLE)]
    return sorted(ours, key=lambda one: one.at, reverse=True)


def shown(wire: Wire) -> Event:
    """As people see it."""
    return Event(
        at=wire.at,
        reason=wire.reason,
        kind=wire.regarding.kind,
        name=wire.regarding.name,
        note=wire.note,
        warning=wire.type == "Warning",
        count=wire.series.count if wire.series else 1,
    )


def made(kind: str, name: str, uid: str, reason: str, note: str, change: Mapping[str, Any]) -> dict[str, Any]:
    """An Event of the console about an object."""
    end = f".{time.time_ns():x}"
    version = f"{names.API_GROUP}/{names.API_VERSION}" if kind == "ColocationPolicy" else "v1"
    return {
        "apiVersion": EVENTS.group_version,
        "kind": "Event",
        "metadata": {
            "name": name[: 253 - len(end)].rstrip("-.") + end,
            "namespace": NAMESPACE,
            "annotations": {CHANGE: msgspec.json.encode(change).decode()},
        },
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Normal",
        "reason": reason,
        "action": "Change",
        "note": cut_bytes(_plain(note), NOTE_BYTES),
        "regarding": {"apiVersion": version, "kind": kind, "name": name, "uid": uid},
        "reportingController": CONSOLE,
        "reportingInstance": "colocation-console",
    }


def _plain(text: str) -> str:
    """Without control characters: a note is shown on terminals too."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
