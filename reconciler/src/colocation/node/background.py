"""Work that may hang on the disk, on a thread of its own: protection goes on meanwhile."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(name: str, job: Callable[[], T]) -> Future[T]:
    """Start one job on a daemon thread, which a disk that hangs cannot keep the process from ending by."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 (whoever asks for the result gets it)
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:  # no more threads: like any disk that refuses, tried again later
        future.set_exception(OSError(errno.EAGAIN, str(error)))
    return future
