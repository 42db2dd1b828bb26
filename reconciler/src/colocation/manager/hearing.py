"""Whether reports can reach this manager: time in which they cannot does not count against the agents."""

from __future__ import annotations

from typing import Final

from colocation.budget import Hearing
from colocation.kube.cache import WatchState
from colocation.manager.watch_health import PATIENCE_SECONDS

STILL_SECONDS: Final = 10.0
"""An API server that did not answer the lease keeper for this long is away, and a loop that did not come round for this
long stood still (suspended, or out of CPU): both are due every one or two seconds."""


class Ear:
    """Follows the watch of reports, the API server's answers and the loop itself. Times in seconds, the caller's.

    A watch that stays away while the API server answers excuses the agents for `PATIENCE_SECONDS` only: then silence
    has to be withdrawn all the same.
    """

    def __init__(self) -> None:
        """Nothing is known to be interrupted."""
        self._lost_at: float | None = None
        self._awake_at: float | None = None
        self._patient_until = float("-inf")
        self._deaf_since: float | None = None
        self._missed, self._back_at = 0.0, float("-inf")

    @property
    def deaf(self) -> bool:
        """As of the last look, no report can come in."""
        return self._deaf_since is not None

    def watch_changed(self, seeing: WatchState, now: float) -> None:
        """The watch of reports was lost, or is open again."""
        if seeing is WatchState.AGAIN:
            self._lost_at = None
        elif self._lost_at is None:
            self._lost_at, self._patient_until = now, now + PATIENCE_SECONDS

    def awake(self, now: float) -> None:
        """The loop has come round: before it takes what came in."""
        if self._awake_at is not None and now - self._awake_at > STILL_SECONDS:
            self._begin(self._awake_at)
            self._patient_until = now + PATIENCE_SECONDS
        self._awake_at = now

    def look(self, now: float, answered_at: float) -> Hearing:
        """How things stand. ``answered_at``: when the API server last answered."""
        if now - answered_at > STILL_SECONDS:
            self._begin(answered_at)
            self._patient_until = now + PATIENCE_SECONDS
        elif self._lost_at is not None and now < self._patient_until:
            self._begin(self._lost_at)
        elif self._deaf_since is not None:
            self._missed += now - self._deaf_since
            self._deaf_since, self._back_at = None, now
        if self._deaf_since is not None:
            return Hearing(self._missed + now - self._deaf_since, now)
        return Hearing(self._missed, self._back_at, max(0.0, now - answered_at))

    def _begin(self, at: float) -> None:
        if self._deaf_since is None:
            self._deaf_since = max(at, self._back_at)
