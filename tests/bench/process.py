# SPDX-License-Identifier: Apache-2.0
"""What a process has used, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mib(pid: int | str) -> float:
    """Memory that is resident now, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory any more")


def cpu_seconds(pid: int) -> float:
    """CPU time used so far by the threads that live now."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def thread_cpu_seconds(pid: int, thread: int) -> float:
    """CPU time used so far by one thread (the main one has the process's own number)."""
    return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9


def ended_too(pid: int) -> float:
    """CPU time used so far by all threads, those that ended included; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
