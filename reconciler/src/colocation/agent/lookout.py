"""What the API says runs here, compared with what was found: a pod whose group is not found is not limited."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

LASTING_SECONDS: Final = 30.0
"""Seconds after which a pod counts as missing: its status and its cgroup do not appear and disappear together."""


class Lookout:
    """Which running best-effort pods have not been found, and since when. Belongs to the loop."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self.running = 0
        """Best-effort pods that run here, as the API says."""
        self.missing: tuple[str, ...] = ()
        """Those of them that have not been found for `LASTING_SECONDS`."""
        self._found_once = False

    @property
    def sought(self) -> bool:
        """A pod was not found in this round."""
        return bool(self._since)

    @property
    def blind(self) -> bool:
        """Pods run here, and none of them is found: not since the start, or not for `LASTING_SECONDS`."""
        none = bool(self.running) and len(self._since) == self.running
        return none and (not self._found_once or len(self.missing) == self.running)

    def look(self, running: Collection[str], limited: Collection[str], now: float) -> None:
        """One round."""
        self._since = {uid: self._since.get(uid, now) for uid in running if uid not in limited}
        self.running = len(running)
        self._found_once |= len(self._since) < len(running)
        self.missing = tuple(uid for uid, since in self._since.items() if now - since >= LASTING_SECONDS)
