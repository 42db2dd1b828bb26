"""Kubernetes Events: few, on a thread of their own, never in the way of a write that counts."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct

from colocation.kube.bucket import Bucket
from colocation.kube.resources import EVENTS
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.model.fit import cut_bytes

log = logging.getLogger(__name__)
RATE: Final = 1.0
BURST: Final = 60.0
"""Events a second on average, and at once: with the usual hour that they are kept at most 4,000, 1.5 KB each."""
QUIET_SECONDS: Final = 60.0
"""At most one Event per object and reason in this many seconds; the next one counts those that were left out."""
NOTE_BYTES: Final = 1024
INSTANCE_BYTES: Final = 128
NAME_LENGTH: Final = 253
"""What events.k8s.io/v1 takes: https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/apis/core/validation/events.go"""
NAMESPACE: Final = "default"
"""Where Events about objects without namespace live."""
_ACTIONS: Final = {"Node": "Publish", "ColocationPolicy": "RollOut", "Pod": "Evict"}


class About(Struct, frozen=True):
    """The object an Event is about."""

    kind: Literal["Node", "ColocationPolicy", "Pod"]
    name: str
    """For a Pod: namespace/name."""
    uid: str


class Events:
    """Decides on the caller's thread whether an Event is written, and writes it on its own."""

    def __init__(self, send: Callable[[dict[str, Any]], None], who: str, clock: Callable[[], float]) -> None:
        """``send``: takes one Event; never blocks."""
        self._send, self._who, self._clock = send, who, clock
        self._bucket = Bucket(RATE, BURST, clock())
        self._last: dict[tuple[str, str], dict[str, tuple[float, int]]] = {}
        """By object and reason: when one was last written, and how many were left out since."""

    def tell(self, about: About, reason: str, message: Callable[[], str], *, warning: bool = False) -> bool:
        """Write one, unless there have just been others; ``words`` are asked for only if it is written."""
        now, last = self._clock(), self._last.setdefault((about.kind, about.name), {})
        before, left_out = last.get(reason, (float("-inf"), 0))
        if now - before < QUIET_SECONDS or self._bucket.take(now) > 0:
            last[reason] = (before, left_out + 1)
            return False
        last[reason] = (now, 0)
        note = message() + (f" ({left_out} more before this one: see the log)" if left_out else "")
        self._send(event(about, reason, note, self._who, warning=warning))
        return True

    def forget(self, kind: str, name: str) -> None:
        """The object is gone."""
        self._last.pop((kind, name), None)


def event(about: About, reason: str, note: str, who: str, *, warning: bool) -> dict[str, Any]:
    """An events.k8s.io/v1 Event."""
    version = f"{names.API_GROUP}/{names.API_VERSION}" if about.kind == "ColocationPolicy" else "v1"
    namespace, _, name = about.name.rpartition("/")
    regarding = {"apiVersion": version, "kind": about.kind, "name": name, "uid": about.uid}
    if namespace:
        regarding["namespace"] = namespace
    return {
        "apiVersion": EVENTS.group_version,
        "kind": "Event",
        "metadata": {"name": _name(name, time.time_ns()), "namespace": namespace or NAMESPACE},
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "action": _ACTIONS[about.kind],
        "note": cut_bytes(note, NOTE_BYTES),
        "regarding": regarding,
        "reportingController": names.REPORTER,
        "reportingInstance": cut_bytes(who, INSTANCE_BYTES),
    }


def _name(about: str, now: int) -> str:
    """A name of its own: the object's, as much as there is place for, and the time."""
    end = f".{now:x}"
    return about[: NAME_LENGTH - len(end)].rstrip("-.") + end  # before a dot a name ends in a letter or digit


class EventSender:
    """The thread that writes Events. What cannot be written is counted and dropped: the log has the same words."""

    def __init__(self, rest: Rest, may_write: Callable[[], bool], count: Callable[[str], None]) -> None:
        """``count`` is called with each outcome."""
        self._rest, self._may_write, self._count = rest, may_write, count
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(int(BURST) * 4)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the request that is being sent."""
        self._put(None)
        self._thread.join(seconds)

    def send(self, body: dict[str, Any]) -> None:
        """Take one; never blocks."""
        self._put(body)

    def _put(self, body: dict[str, Any] | None) -> None:
        try:
            self._waiting.put_nowait(body)
        except queue.Full:
            self._count("dropped")

    def _run(self) -> None:
        while (body := self._waiting.get()) is not None:
            if not self._may_write():
                continue
            try:
                self._rest.create(EVENTS.path(namespace=body["metadata"]["namespace"]), body, label=EVENTS.plural)
                self._count("ok")
            except ApiError as error:
                self._count(str(error.code))
                log.info("event not written", extra={"error": str(error), "reason": body["reason"]})
            except Exception:  # Events are a courtesy: whatever happens, the next one is tried
                self._count("error")
                log.exception("event not written")


def nobody(_: dict[str, Any]) -> None:
    """Where a dry run's Events go."""
