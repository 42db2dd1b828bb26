"""Whether the watches are up to date: a manager that cannot see changes must not publish.

While a watch is interrupted its cache does not change. The others continue, so a node could be published without an
online pod that has just been bound there, or below what a new best-effort pod requests.
"""

from __future__ import annotations

from typing import Final

from colocation.kube.cache import WatchState

PATIENCE_SECONDS: Final = 20.0
"""Seconds for which an interrupted watch stops all writes; then silent nodes have to be withdrawn all the same."""
SETTLE_SECONDS: Final = 0.5
"""After the last watch is back: what it missed comes in."""


class WatchHealth:
    """Which watches are interrupted, and since when. Times in seconds, the caller's."""

    def __init__(self) -> None:
        """Nothing is known to be interrupted."""
        self._away: set[str] = set()
        self._clear_at = float("-inf")

    def changed(self, what: str, state: WatchState, now: float) -> None:
        """A watch was lost, or is open again."""
        if state is WatchState.LOST:
            if not self._away:
                self._clear_at = now + PATIENCE_SECONDS
            self._away.add(what)
        elif what in self._away:
            self._away.discard(what)
            if not self._away:
                self._clear_at = now + SETTLE_SECONDS

    def reached(self, now: float) -> None:
        """The API server answers again (the lease is ours): what was interrupted has all of its time to come back."""
        if self._away:
            self._clear_at = now + PATIENCE_SECONDS

    def clear_at(self, now: float) -> float:
        """From when on it may be written; ``now`` if it may be already."""
        return max(now, self._clear_at)
