"""The pods' histories on the node's disk: written now and then, whole or not at all; read once, at the start."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from colocation.decoding import decode
from colocation.node.background import BackgroundJob
from colocation.node.journal import write_atomically
from colocation.predict.peak import Checkpoint, Histories

log = logging.getLogger(__name__)
EVERY_SECONDS: Final = 300.0


class HistoryFile(msgspec.Struct, frozen=True):
    """The file's content. ``written``: by the node's clock, only to compute how long the agent was away."""

    written: float
    kept: Checkpoint


class HistoryWriter:
    """Writes on a thread of its own: an fsync on a slow disk must not hold up protection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._disk = BackgroundJob("histories")
        self._saved_at: float | None = None
        self._error = ""

    def load(self, now: float) -> Histories:
        """What was kept; empty, with a word in the log, if it cannot be used."""
        histories = Histories()
        try:
            file = decode(self._path.read_bytes(), HistoryFile)
            histories.restore(file.kept, now, max(0.0, time.time() - file.written))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            log.warning("histories ignored; learning again", extra={"path": str(self._path), "error": str(error)})
        else:
            log.info("histories loaded", extra={"pods": len(histories.pods)})
        return histories

    def save_if_due(self, histories: Histories, now: float) -> None:
        """Write if the last writing is long ago and done."""
        if self._saved_at is None:
            self._saved_at = now
        if now - self._saved_at >= EVERY_SECONDS and not self._disk.busy:
            self._saved_at = now
            self._disk.begin(partial(self._write, _text(histories, now)))

    def wait(self, seconds: float = 5.0) -> bool:
        """Wait for what is being written; False: it still is."""
        return self._disk.wait(seconds)

    def save(self, histories: Histories, now: float) -> None:
        """Write now, and wait: at the end."""
        if self.wait():
            self._write(_text(histories, now))
        # Else the disk hangs: what was kept before stays whole.

    def _write(self, text: str) -> None:
        try:
            write_atomically(str(self._path), text)
        except OSError as error:
            if str(error) != self._error:  # logged once, not every five minutes
                log.warning("histories not saved", extra={"path": str(self._path), "error": str(error)})
            self._error = str(error)
        else:
            self._error = ""


def _text(histories: Histories, now: float) -> str:
    return msgspec.json.encode(HistoryFile(time.time(), histories.keep(now))).decode()
