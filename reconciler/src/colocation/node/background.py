"""Work that may hang on a disk or in the kernel, on a thread of its own: protection continues meanwhile."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Final

LATE_SECONDS: Final = 5.0
"""Seconds without an answer after which the disk is reported as refusing."""


class BackgroundJob:
    """One job at a time. All but the job itself belongs to one thread, the loop's."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``name``: of the thread."""
        self._name, self._clock = name, clock
        self._job: Future[None] | None = None
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """A job is under way: another cannot begin."""
        return self._job is not None and not self._job.done()

    def begin(self, job: Callable[[], None]) -> None:
        """Start a job, while not busy, on a daemon thread: one that hangs keeps no process from ending."""
        future: Future[None] = Future()
        self._job, self._began = future, self._clock()

        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 (`stable` raises it, on the loop's thread)
                future.set_exception(error)
            else:
                future.set_result(None)

        try:
            threading.Thread(target=run, name=self._name, daemon=True).start()
        except RuntimeError as error:  # no more threads: like any disk that refuses, tried again later
            future.set_exception(OSError(errno.EAGAIN, str(error)))

    def wait(self, seconds: float) -> bool:
        """Wait for the job that is under way; False: it still is."""
        if self._job is not None:
            wait_for([self._job], seconds)
        return not self.busy

    def settled(self) -> bool:
        """No job is under way. Raises what the last one raised, once, and OSError while one takes far too long."""
        job = self._job
        if job is None:
            return True
        if self.busy:
            if self._clock() - self._began >= LATE_SECONDS:
                raise OSError(errno.ETIMEDOUT, "the disk does not answer")
            return False
        self._job = None
        job.result()
        return True
