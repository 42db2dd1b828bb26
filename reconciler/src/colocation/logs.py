"""JSON log lines with stable keys, for manager and agent alike.

Every line has ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; whatever a caller passes in
``extra`` follows under its own name (``node``, ``resource``, ``reason``, ...).
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Final, Literal

from colocation.text import json_line, printable

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
Format = Literal["json", "text"]


class JsonFormatter(logging.Formatter):
    """One JSON object a line, whatever a message quotes; what JSON cannot hold is written as text, never lost."""

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
        return json_line(line)


class TextFormatter(logging.Formatter):
    """For people at a terminal, which must not obey what a message quotes."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """See logging.Formatter."""
        record.message = printable(record.message)
        return super().formatMessage(record)


def setup(level: str = "info", form: Format = "json", stream: IO[str] | None = None) -> None:
    """Send the process's log to ``stream`` (stderr unless told)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter() if form == "json" else TextFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # urllib3 warns about each retry and full pool; our own lines say what matters.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
