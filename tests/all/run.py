# SPDX-License-Identifier: Apache-2.0
"""Run one suite by make, and see how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.all import code, counts, results
from tests.all.suites import Suite

LOGS = code.CLONE / "build/out/verified"
GRACE_SECONDS = 60.0
"""For a suite that was interrupted to take its machines away."""


def suite(it: Suite, command: tuple[str, ...] = ("make", "--no-print-directory")) -> results.Result:
    """Run a suite; its output is shown and kept in a log."""
    say(f"{it.name}: {it.about}")
    commit, before, date = code.commit(), code.digest(), datetime.now(UTC)
    began = time.monotonic()
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{it.name}.log"
    status = _execute([*command, it.name], log, it.limit * 60)
    outcome = "failed" if status else "passed" if code.digest() == before else "changed"
    with log.open(errors="replace") as lines:
        counted = counts.read(lines)
    return results.Result(
        suite=it.name, outcome=outcome, commit=commit, code=before, date=date.isoformat(timespec="seconds"),
        minutes=round((time.monotonic() - began) / 60, 2), machine=results.machine(), runs=counted.runs,
        passed=counted.passed, failed=counted.failed, skipped=counted.skipped, reasons=counted.reasons,
    )  # fmt: skip


def say(text: str) -> None:
    """One line of progress."""
    print(f"test-all: {text}", file=sys.stderr, flush=True)


def _execute(command: list[str], log: Path, limit: float) -> int:
    """Run a command in a session of its own; its exit status. Interrupted at the limit (seconds), or when we are."""
    child = subprocess.Popen(
        command, cwd=code.CLONE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    # In a thread: a suite that tidies up after an interrupt still prints, and must not block on a full pipe.
    show = threading.Thread(target=_show, args=(child, log), daemon=True)
    show.start()
    try:
        status = child.wait(limit)
    except subprocess.TimeoutExpired:
        status = _interrupt(child, f"it has not ended within {limit / 60:.0f} min")
    except KeyboardInterrupt:
        _interrupt(child, "interrupted")
        raise
    # Not for ever: a process that the suite left behind may hold the pipe open.
    show.join(10)
    return status


def _show(child: subprocess.Popen[bytes], log: Path) -> None:
    assert child.stdout is not None
    with log.open("wb") as kept:
        for line in child.stdout:
            kept.write(line)
            kept.flush()
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def _interrupt(child: subprocess.Popen[bytes], why: str) -> int:
    """As Ctrl-C would, so that fixtures take their machines away; then by force. Never exit status 0."""
    say(f"stopping it: {why}")
    for sign, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(child.pid, sign)
            child.wait(seconds)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
        break
    return child.returncode or 1
