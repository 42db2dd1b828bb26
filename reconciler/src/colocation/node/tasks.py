"""SCHED_IDLE on the tasks of a group: what there is where the kernel has no cpu.idle."""

from __future__ import annotations

import os
from pathlib import Path


def make_idle(group: Path) -> int:
    """Make every normal task in a group and its children SCHED_IDLE; how many were. Raises OSError.

    Tasks that chose another policy for themselves (batch, real time) are left alone. Needs the host's pid
    namespace: elsewhere the kernel lists the tasks as 0, which is an error here and not "none".
    """
    changed = 0
    for directory, _, files in os.walk(group):
        listing = Path(directory) / ("tasks" if "tasks" in files else "cgroup.threads")
        for word in listing.read_text(encoding="ascii").split():
            task = int(word)
            if task == 0:
                raise PermissionError(1, "tasks are in another pid namespace (hostPID is needed)")
            try:
                if os.sched_getscheduler(task) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER:
                    os.sched_setscheduler(task, os.SCHED_IDLE, os.sched_param(0))
                    changed += 1
            except ProcessLookupError:
                continue
    return changed
