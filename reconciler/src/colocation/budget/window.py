"""A minimum over a sliding time window: falls at once, rises only when the space has lasted."""

from __future__ import annotations

from msgspec import Struct, field


class SlidingMinimum:
    """Smallest value that was in effect at any moment of the last ``seconds``.

    A value is in effect from its `add` until the next one. Kept as values that rise from front to back,
    so memory is bounded by the changes within a window. (A list: an empty deque takes 0.7 KB, twice a node.)
    """

    __slots__ = ("_entries", "seconds")

    def __init__(self, seconds: float) -> None:
        """An empty window of this length; changing `seconds` later takes effect at the next look."""
        self.seconds = seconds
        self._entries: list[tuple[int, float | None]] = []  # (value, when it stopped being in effect)

    def add(self, now: float, value: int) -> int:
        """From ``now`` on, ``value`` is in effect; the smallest of the window that ends ``now``."""
        entries = self._entries
        if len(entries) == 1 and entries[0][0] == value:
            return value  # by far the most frequent: nothing has changed
        self._push(entries, now, value)
        return self.minimum(now) or 0

    @staticmethod
    def _push(entries: list[tuple[int, float | None]], now: float, value: int) -> None:
        if entries and entries[-1][1] is None:
            last = entries.pop()[0]
            if last < value:  # still counts for a while; a larger or equal one never will again
                entries.append((last, now))
            elif last == value:
                entries.append((value, None))
                return
        while entries and entries[-1][0] >= value:
            entries.pop()
        entries.append((value, None))

    def minimum(self, now: float) -> int | None:
        """The smallest value of the window that ends ``now``; None if nothing was ever added."""
        while len(self._entries) > 1 and self._expires(self._entries[0]) <= now:
            self._entries.pop(0)
        return self._entries[0][0] if self._entries else None

    def rises_at(self) -> float | None:
        """When the minimum will rise if nothing is added; None if it will not."""
        return self._expires(self._entries[0]) if len(self._entries) > 1 else None

    def _expires(self, entry: tuple[int, float | None]) -> float:
        return float("inf") if entry[1] is None else entry[1] + self.seconds

    @property
    def empty(self) -> bool:
        """Nothing was ever added."""
        return not self._entries


class Windows(Struct):
    """A node's two windows."""

    cpu: SlidingMinimum = field(default_factory=lambda: SlidingMinimum(0))
    memory: SlidingMinimum = field(default_factory=lambda: SlidingMinimum(0))
    waits_since: float | None = None
    """Since when the first report of a node that was published by somebody else is awaited."""
    waits_missed: float = 0.0
    """`Hearing.missed` then."""

    def resize(self, seconds: float) -> None:
        """Use another length from now on."""
        self.cpu.seconds = self.memory.seconds = seconds
