"""Reflector: lists and watches one resource forever, and hands on projected objects. It keeps only their keys."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from colocation.decoding import decoder
from colocation.kube.backoff import Backoff
from colocation.kube.resources import Resource
from colocation.kube.rest import PAGE, ApiError, Rest
from colocation.kube.watch import READ_SECONDS, Watch

log = logging.getLogger(__name__)
W = TypeVar("W")
F = TypeVar("F")
RELIST_SECONDS: Final = 10.0
"""Seconds: a second list within this time waits for a pause first."""
WATCH_SECONDS: Final = (240, 360)
"""Seconds after which the server ends each watch (spread out), so that clients move to restarted API servers."""


class Upsert(Struct, Generic[F], frozen=True, gc=False):
    """An object is there, or has changed."""

    resource: Resource
    key: str
    object: F
    listed: bool
    """From a list, not from a watch: it may be as it was long ago, and it may be older than what we know."""
    version: str = ""
    """Its resourceVersion."""


class Delete(Struct, frozen=True, gc=False):
    """An object is gone, or no longer of interest."""

    resource: Resource
    key: str
    version: str = ""
    """The resourceVersion of its last change; empty where a list no longer has it."""


class Bad(Struct, frozen=True, gc=False):
    """An object is there, but cannot be read."""

    resource: Resource
    key: str
    reason: str


class Synced(Struct, frozen=True, gc=False):
    """Everything there was has been handed on."""

    resource: Resource


Event = Upsert[F] | Delete | Bad | Synced


class WatchState(Enum):
    """The state of a watch, passed on when it changes."""

    LOST = "lost"
    """Broken off, or not to be opened: what was handed on may be out of date."""
    AGAIN = "again"
    """Open: what was missed comes in."""


class _Name(Struct):
    name: str = ""
    namespace: str = ""


class _Named(Struct):
    metadata: _Name


class _Version(Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(Struct):
    metadata: _Version


class Reflector(Generic[W, F]):
    """Lists and watches one resource on a thread of its own.

    ``project`` turns the decoded wire object into what is kept; None: not of interest; ValueError: bad.
    ``emit`` is called on the reflector's thread and must not block. ``on_state`` is called, on the same thread, when
    the watch breaks off or cannot be opened, and when it is open again. ``watch_query``: a wider selection for the
    watch alone, to see how an object ended that the list would no longer show.
    """

    def __init__(
        self,
        rest: Rest,
        resource: Resource,
        wire: type[W],
        project: Callable[[W], F | None],
        emit: Callable[[Event[F]], None],
        *,
        query: Mapping[str, str] | None = None,
        watch_query: Mapping[str, str] | None = None,
        page: int = PAGE,
        read_seconds: float = READ_SECONDS,
        backoff: Backoff | None = None,
        on_state: Callable[[Resource, WatchState], None] | None = None,
        linger: float = 0.0,
    ) -> None:
        self._rest, self._resource, self._project, self._emit = rest, resource, project, emit
        self._query, self._page, self._read_seconds = dict(query or {}), page, read_seconds
        self._watch_query = dict(watch_query or self._query)
        self._wire = decoder(wire)
        self._named = decoder(_Named)
        self._versioned = decoder(_Versioned)
        self._backoff = backoff or Backoff()
        self._on_state, self._watch_state = on_state, WatchState.AGAIN
        self._keys: set[str] = set()
        self._version: str | None = None
        self._listed = float("-inf")
        self._heard = False
        """A line has come on this watch."""
        self._watch = Watch(rest, resource, linger)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lists = 0
        """Lists completed; a second one means that a watch could not be resumed."""

    def start(self) -> None:
        """Begin, on a daemon thread."""
        self._thread = threading.Thread(target=self.run, name=f"watch-{self._resource.plural}", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """End it: the connection is cut, the thread waited for."""
        self._stop.set()
        self._watch.cut()
        if self._thread is not None:
            self._thread.join(seconds)

    def run(self) -> None:
        """List, watch, and whatever happens begin again."""
        while not self._stop.is_set():
            wait = self._round()
            if wait > 0:
                self._stop.wait(wait)

    def _round(self) -> float:
        """One list if there is need, one watch; seconds to wait before the next."""
        began = followed = time.monotonic()
        try:
            if self._version is None:
                self._list()
            self._heard, followed = False, time.monotonic()
            self._follow(self._version or "")
        except ApiError as error:
            if self._stop.is_set():
                return 0.0
            self._see(WatchState.LOST)
            if self._version is not None and not self._heard and time.monotonic() - followed >= self._read_seconds:
                # Not even a bookmark: as if watches were opened and never answered. A list shows what they do not.
                self._version = None
            if error.code == 410:
                log.info("version too old, listing again", extra={"resource": self._resource.plural})
                self._version = None
                # At once, unless a list has only just been made: then history runs away faster than we read it.
                return 0.0 if began - self._listed > RELIST_SECONDS else self._backoff.next()
            wait = self._backoff.next(error.retry_after or 0.0)
            log.warning(
                "list or watch failed",
                extra={"resource": self._resource.plural, "error": str(error), "retry_seconds": round(wait, 2)},
            )
            return wait
        except Exception:  # a fault of ours must not end the watch for good
            log.exception("list or watch failed", extra={"resource": self._resource.plural})
            self._see(WatchState.LOST)
            self._version = None
            return self._backoff.next()
        # A server that ends watches as soon as they begin is not asked again without a pause.
        if time.monotonic() - began < 1:
            self._see(WatchState.LOST)
            return self._backoff.next()
        self._backoff.reset()
        return 0.0

    def _see(self, state: WatchState) -> None:
        if state is not self._watch_state:
            self._watch_state = state
            if self._on_state is not None:
                self._on_state(self._resource, state)

    def _list(self) -> None:
        version, seen = "", set[str]()
        # A long list may outlive its continue token (410): then everything in one answer.
        limit = self._page if self._backoff.failures < 3 else 0
        for page in self._rest.pages(self._resource, self._query, limit):
            version = page.metadata.resource_version
            for raw in page.items or ():
                if self._stop.is_set():
                    return
                key, _ = self._hand_on(raw, listed=True)
                if key is not None:
                    seen.add(key)
        for key in self._keys - seen:
            self._emit(Delete(self._resource, key))
        self._keys = seen
        self._version = version
        self.lists += 1
        self._listed = time.monotonic()
        self._emit(Synced(self._resource))

    def _follow(self, version: str) -> None:
        query = {
            **self._watch_query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 (spreads load, guards nothing)
        }
        for line in self._watch.lines(query, self._read_seconds, lambda: self._see(WatchState.AGAIN)):
            version, self._heard = "", True
            if line.type == "DELETED":
                key, version = self._key(line.object), self._version_of(line.object)
                if key in self._keys:
                    self._keys.discard(key)
                    self._emit(Delete(self._resource, key, version))
            elif line.type != "BOOKMARK":
                _, version = self._hand_on(line.object, listed=False)
            self._version = version or self._version_of(line.object)
            self._backoff.reset()

    def _hand_on(self, raw: Raw, *, listed: bool) -> tuple[str | None, str]:
        """Decode, project, emit; the key if it is of interest (or bad, which is too), and the version if readable."""
        try:
            wire = self._wire.decode(raw)
            fact = self._project(wire)
        except (msgspec.DecodeError, ValueError) as error:  # msgspec's ValidationError is a ValueError
            key = self._key(raw)
            log.warning(
                "object cannot be read", extra={"resource": self._resource.plural, "key": key, "error": str(error)}
            )
            self._keys.add(key)
            self._emit(Bad(self._resource, key, str(error)))
            return key, ""
        metadata = wire.metadata  # type: ignore[attr-defined]  # every wire Struct has one
        version = str(metadata.resource_version)
        key = f"{metadata.namespace}/{metadata.name}" if self._resource.namespaced else str(metadata.name)
        if fact is not None:
            self._keys.add(key)  # at once: a list that breaks off must not forget what it has handed on
            self._emit(Upsert(self._resource, key, fact, listed, version))
            return key, version
        if not listed and key in self._keys:
            self._keys.discard(key)
            self._emit(Delete(self._resource, key, version))
        return None, version

    def _version_of(self, raw: Raw) -> str:
        return self._versioned.decode(raw).metadata.resource_version

    def _key(self, raw: Raw) -> str:
        metadata = self._named.decode(raw).metadata
        return f"{metadata.namespace}/{metadata.name}" if self._resource.namespaced else metadata.name
