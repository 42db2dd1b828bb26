"""Takes page cache from a pod's group, without changing anything that would have to be put back."""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection
from functools import partial
from pathlib import Path

from colocation.node.background import BackgroundJob
from colocation.node.cgroups import Layout

log = logging.getLogger(__name__)
AMOUNT = str(1 << 30)
"""Bytes to ask v2 for at a time; it stops early when there is no more. (v1 always takes all that it can.)"""


class Reclaimer:
    """One reclaim at a time, on a thread of its own: the kernel answers when it is done, the loop must not wait."""

    def __init__(self, features: Collection[str]) -> None:
        self._able = "memory.reclaim" in features
        self._kernel = BackgroundJob("reclaim")
        self.runs = 0

    def submit(self, layout: Layout, group: str) -> None:
        """Take page cache from ``group``, unless another is being taken from, or the kernel cannot."""
        directory = layout.directory("memory", group)
        if not self._able or not group or directory is None or self._kernel.busy:
            return
        name, value = ("memory.reclaim", AMOUNT) if layout.version == 2 else ("memory.force_empty", "0")
        self._kernel.begin(partial(self._run, f"{directory}/{name}", value))

    def _run(self, path: str, value: str) -> None:
        try:
            self.runs += 1
            Path(path).write_text(value, encoding="ascii")
        except OSError as error:
            # EAGAIN, EBUSY: less than was asked for could be taken. Gone: so is its memory.
            if error.errno not in (errno.EAGAIN, errno.EBUSY, errno.ENOENT, errno.ENODEV):
                log.warning("reclaim refused", extra={"path": path, "reason": error.strerror})
