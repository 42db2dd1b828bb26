"""Whether the cluster's default PriorityClass is the one that admission was installed for.

The Priority plugin writes the class with `globalDefault` into each pod that names none, before admission sees the pod.
A class that became the default later looks like one that the pod chose, and every such best-effort pod is refused. A
new default comes seldom: it is listed once a minute, on a thread of its own, instead of watched.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct, field

from colocation.kube.resources import PRIORITY_CLASSES
from colocation.kube.rest import ApiError, Rest
from colocation.model.wire import Metadata

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 60.0
BEST_EFFORT: Final = "priority-be"
"""Refused for no best-effort pod, whether or not it is the cluster's default."""


class PriorityClass(Struct, frozen=True, rename="camel"):
    """What is read of a scheduling.k8s.io/v1 PriorityClass."""

    metadata: Metadata
    value: int = 0
    global_default: bool = False


class PriorityClasses(Struct, frozen=True):
    """The list."""

    items: list[PriorityClass] = field(default_factory=list)


class Default(Struct, frozen=True):
    """Message to the loop: why best-effort pods are refused; empty: the default priority is no reason."""

    why: str


def default(classes: Iterable[PriorityClass]) -> str:
    """The class that pods get which name none; of several the API server takes the one with the lowest value."""
    defaults = [(entry.value, entry.metadata.name) for entry in classes if entry.global_default]
    return min(defaults)[1] if defaults else ""


def mismatch(now: str, installed: str) -> str:
    """What is wrong and what helps; empty: best-effort pods that name no class are admitted."""
    if now in ("", installed, BEST_EFFORT):
        return ""
    known = f"PriorityClass {installed}" if installed else "a cluster without such a class"
    return (
        f"PriorityClass {now} has globalDefault, and admission was installed for {known}: best-effort pods that name "
        f"no PriorityClass are refused. Run the playbook site, or helm upgrade with "
        f"admission.globalDefaultPriorityClass={now}"
    )


class Priorities:
    """Looks, and sends a `Default` whenever the outcome has changed."""

    def __init__(self, rest: Rest, installed: str, emit: Callable[[Default], None]) -> None:
        """``installed``: the class that admission takes for the default."""
        self._rest, self._installed, self._emit = rest, installed, emit
        self._why: str | None = None
        self._error = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="priorities", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End."""
        self._stop.set()
        self._thread.join(seconds)

    def step(self) -> None:
        """Look once. An API server that does not answer changes nothing of what is known."""
        try:
            listed = self._rest.get(PRIORITY_CLASSES.path(), PriorityClasses, label=PRIORITY_CLASSES.plural)
        except (ApiError, msgspec.MsgspecError) as error:
            self._failed(str(error))
            return
        self._error = ""
        why = mismatch(default(listed.items), self._installed)
        if why != self._why:
            if why:
                log.warning("best-effort pods are refused", extra={"why": why})
            elif self._why:
                log.info("the default PriorityClass is the one that admission was installed for")
            self._why = why
            self._emit(Default(why))

    def _failed(self, error: str) -> None:
        if error != self._error:  # once, not every minute
            log.warning("the default PriorityClass is not known", extra={"error": error})
        self._error = error

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except Exception:  # the next look must come
                log.exception("looking for the default PriorityClass failed")
            self._stop.wait(LOOK_SECONDS)
