"""The spec this node is to follow: from the API server while it answers, else the last one, kept on disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from colocation import lenient
from colocation.kube.cache import Bad, Delete, Event, Reflector, Upsert
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import ApiError, Rest
from colocation.kube.watch import READ_SECONDS
from colocation.model.report import NodeColocationSpec
from colocation.model.wire import Metadata
from colocation.node import state
from colocation.node.background import BackgroundJob
from colocation.node.state import Followed

log = logging.getLogger(__name__)


class Api(Protocol):
    """All that the agent may do in the cluster: watch its own NodeColocation, and patch that object's status."""

    def watch(self, emit: Callable[[Event[ReadSpec]], None]) -> None:
        """Begin to hand on what happens to the object, on a thread of its own; errors are retried, not raised."""

    def patch_status(self, body: dict[str, object]) -> None:
        """Merge ``body`` into the object. Raises ApiError."""


class _Object(Struct, rename="camel"):
    """NodeColocation without its status, which is our own and need not be read back."""

    metadata: Metadata
    spec: Any = None


class ReadSpec(Struct, frozen=True):
    """A spec as far as this version can read it, and a sentence for each field that it cannot."""

    followed: Followed
    problems: tuple[str, ...] = ()


def read_spec(wire: _Object) -> ReadSpec:
    """The spec of the object. Raises msgspec.ValidationError if a field that must be readable is not."""
    spec, problems = lenient.read(NodeColocationSpec, wire.spec or {}, state.NEEDED)
    return ReadSpec(Followed(spec, wire.metadata.generation), problems)


class KubeApi:
    """Api over ``colocation.kube``."""

    def __init__(self, rest: Rest, node: str, read_seconds: float = READ_SECONDS) -> None:
        """``read_seconds``: seconds without any message after which a watch is closed."""
        self._rest, self._node, self._read_seconds = rest, node, read_seconds

    def watch(self, emit: Callable[[Event[ReadSpec]], None]) -> None:
        """See Api."""
        # Named in the selector: RBAC with resourceNames then allows list and watch of this object only.
        selector = {"fieldSelector": f"metadata.name={self._node}"}
        Reflector(
            self._rest, NODE_COLOCATIONS, _Object, read_spec, emit, query=selector, read_seconds=self._read_seconds
        ).start()

    def patch_status(self, body: dict[str, object]) -> None:
        """See Api."""
        path = NODE_COLOCATIONS.path(self._node, sub="status")
        self._rest.patch(path, body, label=NODE_COLOCATIONS.plural)


class Specs:
    """What is known of the spec. ``emit`` runs on the watching thread, everything else on the loop's."""

    def __init__(self, kept: Path, *, read_only: bool = False) -> None:
        self._kept, self._read_only = kept, read_only
        self._lock = threading.Lock()
        self._current = state.load(kept)
        self._known = self._current is not None
        self._present = False
        self._unsaved = False
        self._error = ""
        self._disk = BackgroundJob("spec")
        self._save_error = ""

    def emit(self, event: Event[ReadSpec]) -> None:
        """Take what the watch hands on."""
        with self._lock:
            if isinstance(event, Upsert):
                self._present, self._known, self._error = True, True, "; ".join(event.object.problems)
                if event.object.followed != self._current:
                    self._current, self._unsaved = event.object.followed, True
            elif isinstance(event, Bad):  # garbage: the last good one holds
                self._present, self._error = True, f"the last good spec holds: {event.reason}"
            elif isinstance(event, Delete) or not self._present:
                # Deleted now, or (all has been listed, and it was not there) while we were away.
                self._present, self._known, self._error = False, True, ""
                self._unsaved |= self._current is not None
                self._current = None

    def take(self) -> Followed | None:
        """The spec to follow (one that switches everything off if the object was deleted); has it kept on disk.

        None: nothing is known yet, neither from disk nor from the API server; values are left as they are.
        """
        if not self._read_only:
            self._keep()
        with self._lock:
            if not self._known:
                return None
            return self._current or Followed(NodeColocationSpec())

    def close(self, seconds: float = 5.0) -> None:
        """Wait until what was taken last is on disk, or the disk has failed or takes too long."""
        self._disk.wait(seconds)

    @property
    def error(self) -> str:
        """What of the object's spec cannot be read, and what holds instead; "" if all can."""
        return self._error

    def _keep(self) -> None:
        """Write beside the round what has changed; again in a later round if the disk refuses it."""
        try:
            if not self._disk.settled():
                return
        except OSError as error:
            self._refused(str(error))
            if self._disk.busy:
                return
        with self._lock:
            current, unsaved = self._current, self._unsaved
            self._unsaved = False
        if unsaved:
            self._disk.begin(
                partial(state.forget, self._kept) if current is None else partial(state.save, self._kept, current)
            )
        else:
            self._save_error = ""

    def _refused(self, error: str) -> None:
        with self._lock:
            self._unsaved = True
        if error != self._save_error:  # logged once, not at every retry
            log.warning("spec not saved", extra={"path": str(self._kept), "error": error})
        self._save_error = error


__all__ = ["Api", "ApiError", "KubeApi", "Specs"]
