"""The thread that asks the API server to evict pods."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from colocation.budget.moves import Place
from colocation.kube.resources import PODS
from colocation.kube.rest import ApiError, Rest
from colocation.model.constraints import PlacedPod, fits, obstacle
from colocation.model.facts import PodFacts
from colocation.model.report import EvictionRequest

log = logging.getLogger(__name__)


class Eviction(Struct, frozen=True):
    """One pod that is to be evicted, and why."""

    node: str
    pod: PodFacts
    request: EvictionRequest
    places: tuple[Place, ...] | None = None
    """It is to move to one of these: it is read first, and stays if it may run on none of them."""


class EvictionOutcome(Struct, frozen=True):
    """What became of it."""

    eviction: Eviction
    error: ApiError | None = None
    skipped: bool = False
    """Never sent: leadership had run out."""
    kept: str = ""
    """Why a pod that was to move stays; it was not asked."""
    place: str = ""
    """The node that it was moved for."""


class Evictor:
    """The thread that asks the API server, one pod at a time."""

    def __init__(self, rest: Rest, may_write: Callable[[], bool], tell: Callable[[EvictionOutcome], None]) -> None:
        self._rest, self._may_write, self._tell = rest, may_write, tell
        self._waiting: queue.SimpleQueue[Eviction | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="evictor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Wait at most this many seconds for the request that is being sent."""
        self._waiting.put(None)
        self._thread.join(seconds)

    def send(self, eviction: Eviction) -> None:
        """Take one; never blocks."""
        self._waiting.put(eviction)

    def _run(self) -> None:
        while (eviction := self._waiting.get()) is not None:
            self._tell(self._ask(eviction))

    def _ask(self, eviction: Eviction) -> EvictionOutcome:
        if not self._may_write():
            return EvictionOutcome(eviction, skipped=True)
        wanted, place = body(eviction.pod), ""
        try:
            if eviction.places is not None:
                kept, place = self._look(eviction.pod, eviction.places)
                if kept:
                    return EvictionOutcome(eviction, kept=kept)
            self._rest.create(PODS.path(**wanted["metadata"], sub="eviction"), wanted, label="pods/eviction")
        except ApiError as error:
            return EvictionOutcome(eviction, error)
        except Exception as error:  # the thread must live: the next pod has to leave too
            log.exception("eviction failed", extra={"pod": eviction.pod.name})
            return EvictionOutcome(eviction, ApiError(500, "InternalError", repr(error)))
        return EvictionOutcome(eviction, place=place)

    def _look(self, pod: PodFacts, places: tuple[Place, ...]) -> tuple[str, str]:
        """Read the pod that is to move: why it stays, or the first place that takes it."""
        namespace, _, name = pod.name.partition("/")
        found = self._rest.get(PODS.path(name, namespace=namespace), PlacedPod, label="pods")
        if why := obstacle(found):
            return why, ""
        for place in places:
            if fits(found, place.name, place.labels, place.taints):
                return "", place.name
        return (
            f"its nodeSelector, node affinity or tolerations keep it off the {len(places)} open node(s) with room",
            "",
        )


def body(pod: PodFacts) -> dict[str, Any]:
    """A policy/v1 Eviction of that very pod, with its own grace."""
    namespace, _, name = pod.name.partition("/")
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }


def nobody(_: Eviction) -> None:
    """Where a dry run's evictions go."""
