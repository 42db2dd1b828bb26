# SPDX-License-Identifier: Apache-2.0
"""Running commands and keeping daemons: nothing is killed that is not ours.

A daemon is recorded as ``pid start-time`` the moment it exists. A pid alone is
no proof, the kernel gives it out again; together with the start time it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import LabError

_TAIL_LINES = 15
_live: set[subprocess.Popen[str]] = set()


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    stdin: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its output; its failure is a LabError.

    The command gets a session of its own, and that whole group is ended when we
    are interrupted: compilers and package managers leave no children behind.
    """
    argv = [str(part) for part in command]
    try:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]}: no such program on this machine") from error
    _live.add(child)
    try:
        out, err = child.communicate(stdin, timeout)
    except BaseException as error:
        _end_group(child)
        if isinstance(error, subprocess.TimeoutExpired):
            raise LabError(f"{' '.join(argv[:4])}: no end after {timeout:.0f} s") from error
        raise
    finally:
        _live.discard(child)
    if check and child.returncode:
        tail = "\n".join((err or out).strip().splitlines()[-_TAIL_LINES:])
        raise LabError(f"{' '.join(argv)[:300]}\nended with status {child.returncode}:\n{tail}")
    return subprocess.CompletedProcess(argv, child.returncode, out, err)


def end_commands() -> None:
    """End every command that other threads are running: their `run` raises."""
    for child in list(_live):
        _end_group(child)


def _end_group(child: subprocess.Popen[str]) -> None:
    """Ask the group to end; after its leader has, kill what is left of it."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def start_time(pid: int) -> str | None:
    """When the kernel says that process began; None when it is gone (or a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


class Daemon:
    """A process that outlives this program, known by a file with pid and start time."""

    def __init__(self, record: Path) -> None:
        """Name the record file; it need not exist."""
        self.record = record
        self.name = record.stem

    @property
    def pid(self) -> int | None:
        """Its pid while it is alive and provably the one we started, else None."""
        try:
            pid, _, began = self.record.read_text().strip().partition(" ")
            return int(pid) if began and start_time(int(pid)) == began else None
        except (OSError, ValueError):
            return None

    def start(self, argv: Sequence[str | Path], log: Path) -> None:
        """Start it in a session of its own, output to `log`, and record it."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            child = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.record.write_text(f"{child.pid} {start_time(child.pid) or 'gone'}\n")

    def signal(self, sign: signal.Signals) -> bool:
        """Send a signal if it is alive and ours; say whether it was."""
        pid = self.pid
        if pid is None:
            return False
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False when it still lives."""
        return wait_until(lambda: self._reap() is None, seconds)

    def stop(self, patience: float, *, kill: bool = True) -> bool:
        """SIGTERM, wait, SIGKILL if allowed; True when it is gone."""
        if self.signal(signal.SIGTERM) and not self.wait(patience):
            if not kill:
                return False
            self.signal(signal.SIGKILL)
            self.wait(5)
        self.record.unlink(missing_ok=True)
        return True

    def _reap(self) -> int | None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return self.pid


def wait_until(happened: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Ask until the answer is yes or the time is over."""
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
    return True
