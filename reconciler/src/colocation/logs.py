"""JSON log lines with stable keys, for manager and agent alike.

Every line has ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; whatever a caller passes in
``extra`` follows under its own name (``node``, ``resource``, ``reason``, ...).
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Final, Literal

import msgspec

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
Format = Literal["json", "text"]


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a value that JSON cannot hold is written as text, never lost."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in record.__dict__.items() if key not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def setup(level: str = "info", form: Format = "json", stream: IO[str] | None = None) -> None:
    """Send the process's log to ``stream`` (stderr unless told)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # urllib3 warns about each retry and full pool; our own lines say what matters.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
