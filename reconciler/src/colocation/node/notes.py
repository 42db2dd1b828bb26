"""The journal, written beside the loop: a value is changed once its old one is on disk, and no round waits for that.

One write at a time. What comes meanwhile waits for a later round, which asks for it again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Final

from colocation.node.background import begin
from colocation.node.journal import Entry, Journal

PATIENCE_SECONDS: Final = 0.1
"""A round waits so long for the disk: most take less, and then values are changed in the round that wants them."""
LATE_SECONDS: Final = 5.0
"""After so long without an answer the disk is said to refuse."""


class Notes:
    """What is on disk of the journal. Belongs to the loop."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._clock = journal, clock
        self._job: Future[None] | None = None
        self._began = 0.0
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
        return self._idle() and self._do(lambda: self._journal.note(fresh))

    def drop(self, paths: Iterable[str]) -> bool:
        """Have values forgotten that were put back. False: not yet, ask again. Raises OSError when the disk refuses."""
        leaving = frozenset(paths)
        if not self._idle():
            return False
        self._leaving = leaving
        return self._do(lambda: self._journal.drop(leaving))

    def _do(self, job: Callable[[], None]) -> bool:
        """Begin a job; True if it was done at once. Raises what it raised."""
        self._job, self._began = begin("journal", job), self._clock()
        wait_for([self._job], PATIENCE_SECONDS)
        return self._idle()

    def _idle(self) -> bool:
        """No job is under way. Raises OSError if one has failed, once, and while one takes far too long."""
        job = self._job
        if job is None:
            return True
        if not job.done():
            if self._clock() - self._began >= LATE_SECONDS:
                raise OSError(errno.ETIMEDOUT, "the disk does not answer")
            return False
        self._job, self._leaving = None, frozenset()
        job.result()
        return True
