"""rubik beside us on the node: its config.json, its process, and the sign that it runs by that config.

The agent writes the file and reads the sign; the keeper in rubik's own pod (`colocation rubik`) gives the sign and
restarts rubik, which reads its file only once. This needs no right in the API.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from colocation.node.journal import write_atomically
from colocation.node.probe import pod_uid

log = logging.getLogger(__name__)
CONFIG: Final = "config.json"
SIGN: Final = "running"
FRESH: Final = 15.0
"""Seconds: a sign that is older says nothing."""


def digest(text: str) -> str:
    """What the sign says of a config."""
    return hashlib.sha256(text.encode()).hexdigest()


class Folder:
    """What agent and keeper share: /var/lib/openfuyao-colocation/rubik, which rubik sees as /var/lib/rubik."""

    def __init__(self, path: Path) -> None:
        self._config, self._sign = path / CONFIG, path / SIGN

    def config(self) -> str | None:
        """The config file's content."""
        try:
            return self._config.read_text(encoding="utf-8")
        except OSError:
            return None

    def written(self) -> float:
        """When it was written, on the wall clock."""
        return self._config.stat().st_mtime

    def write(self, text: str) -> None:
        """Have it say this; nothing is done if it does. Raises OSError."""
        if self.config() != text:
            write_atomically(str(self._config), text)

    def runs_by(self) -> str | None:
        """Digest of the config that rubik runs with; None if rubik does not run, or the keeper has not noted it."""
        try:
            if abs(time.time() - self._sign.stat().st_mtime) > FRESH:
                return None
            return self._sign.read_text(encoding="ascii").strip()
        except OSError:
            return None

    def sign(self, text: str | None) -> None:
        """Say by which config rubik runs; None: it does not."""
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                self._sign.unlink()
        else:
            self._sign.write_text(digest(text), encoding="ascii")


class Process(Struct, frozen=True):
    """One process, and when it was started on the wall clock."""

    pid: int
    started: float


class RubikRestarter:
    """Restarts the rubik of our own pod when its config has changed since it was started."""

    def __init__(self, folder: Folder, proc: str = "/proc") -> None:
        self._folder, self._proc = folder, Path(proc)
        self._ended: tuple[str, int] | None = None
        """(config, pid) that was asked to end."""

    def step(self) -> str:
        """Check once; the state of rubik: none, old, ending or running."""
        text, rubik = self._folder.config(), self.find()
        if text is None or rubik is None:
            self._folder.sign(None)
            return "none"
        # Each config ends one process at most: a clock that was set back must not end every new one.
        known = self._ended is not None and self._ended[0] == text
        if known and self._ended == (text, rubik.pid):
            return "ending"
        if not known and rubik.started < self._folder.written():
            self._folder.sign(None)
            self._ended = (text, rubik.pid)
            log.info("config has changed: rubik is restarted", extra={"pid": rubik.pid})
            with contextlib.suppress(ProcessLookupError):
                os.kill(rubik.pid, signal.SIGTERM)
            return "old"
        self._folder.sign(text)
        return "running"

    def find(self) -> Process | None:
        """The rubik in our pod (hostPID: there are others' processes too)."""
        ours = self._pod("self")
        for entry in self._proc.iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if (entry / "comm").read_text(encoding="utf-8").strip() == "rubik" and self._pod(entry.name) == ours:
                    return Process(int(entry.name), self._started(entry))
            except OSError:
                continue  # it ended meanwhile
        return None

    def _pod(self, pid: str) -> str | None:
        text = (self._proc / pid / "cgroup").read_text(encoding="utf-8")
        return next((uid for part in text.replace("\n", "/").split("/") if (uid := pod_uid(part))), None)

    def _started(self, entry: Path) -> float:
        fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
