"""The journal, written beside the loop: a value is changed once its old one is on disk, and no round waits for that.

One write at a time. What comes meanwhile waits for a later round, which asks for it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from colocation.node.background import BackgroundJob
from colocation.node.journal import Entry, Journal

PATIENCE_SECONDS: Final = 0.1
"""Seconds that a round waits for the disk: most writes take less, and then values change in the same round."""


class Notes:
    """What is on disk of the journal. Belongs to the loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._disk = journal, BackgroundJob("journal")
        self._leaving: frozenset[str] = frozenset()
        """Paths that are being forgotten: on disk they are no longer certain to be there."""

    @property
    def path(self) -> str:
        """The file."""
        return self._journal.path

    @property
    def entries(self) -> list[Entry]:
        """What is noted now, in the order in which it was."""
        return [entry for entry in self._journal.entries if entry.path not in self._leaving]

    def get(self, path: str) -> Entry | None:
        """The entry of a path, if its value is noted."""
        return None if path in self._leaving else self._journal.get(path)

    def note(self, entries: Iterable[Entry]) -> bool:
        """Have old values noted. False: not on disk yet, ask again. Raises OSError when the disk refuses."""
        fresh = [entry for entry in entries if (known := self.get(entry.path)) is None or known.group != entry.group]
        if not fresh:
            return True
        return self._settled() and self._do(lambda: self._journal.note(fresh))

    def drop(self, paths: Iterable[str]) -> bool:
        """Have values forgotten that were put back. False: not yet, ask again. Raises OSError when the disk refuses."""
        if not self._settled():
            return False
        self._leaving = leaving = frozenset(paths)
        return self._do(lambda: self._journal.drop(leaving))

    def _do(self, job: Callable[[], None]) -> bool:
        """Begin; True if it was done at once. Raises what it raised."""
        self._disk.begin(job)
        self._disk.wait(PATIENCE_SECONDS)
        return self._settled()

    def _settled(self) -> bool:
        """Nothing is being written. Raises what the last write raised, once."""
        if not self._disk.busy:
            self._leaving = frozenset()
        return self._disk.settled()
