"""JSON log lines with stable keys, for manager and agent alike.

Every line has ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; what a caller passes in ``extra``
follows under its own name, one of `KEYS`.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
from datetime import UTC, datetime
from typing import IO, Final, Literal

from colocation.text import json_line, printable

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
STDERR: Final = 2
Format = Literal["json", "text"]
KEYS: Final[dict[str, str]] = {
    "be_cpu": "be-cpu as published, millicores; null: the key is absent",
    "be_memory": "be-memory as published, bytes; null: the key is absent",
    "before": "be_cpu and be_memory that the Node had before this write",
    "capabilities": "what the node's kernel can do, as in NodeColocation.status.capabilities",
    "client": "address and port of a client",
    "code": "HTTP status of the API server's answer; 0: no answer",
    "cpu": "the terms of the node's CPU budget, millicores",
    "suspicions": "impossible values in a report, one sentence each",
    "dry_run": "true: nothing is written",
    "error": "the error message of the source",
    "exception": "traceback of an unexpected fault",
    "canary": "number of canary nodes that get a changed policy first",
    "folder": "path of a folder",
    "gate": "number of best-effort pods that the Node accepts; null: closed to new ones",
    "generation": "metadata.generation of the policy",
    "holder": "identity that holds the Lease",
    "identity": "this manager's identity in the Lease",
    "key": "name of an object, or namespace/name",
    "kind": "what the write changes: node, spec or policy",
    "listen": "address on which the server could not listen",
    "memory": "the terms of the node's memory budget, bytes",
    "node": "name of a Node",
    "object": "name of a Node or policy",
    "once": "true: the manager ends after one round",
    "overruns": "rounds of this agent that took too long, since it started",
    "path": "path of a file, or of an API request",
    "pid": "a process of the node",
    "pod": "namespace/name of a pod",
    "pods": "number of pods",
    "policy": "name of a ColocationPolicy",
    "action": "what a person did to a policy: created, changed or deleted",
    "manager": "URL of the manager that a console asks",
    "mode": "how people sign in to a console: token or proxy",
    "nodes": "how many Nodes a person labelled",
    "user": "whose token a request to a console brought",
    "allocated": "what bound best-effort pods request: cpu in millicores, memory in bytes",
    "reason": "the reason, as one word or the kernel's message",
    "renew_at": "when the webhook's certificate is renewed, RFC 3339",
    "report_age_seconds": "seconds since the node's last report arrived",
    "resource": "plural name of an API resource",
    "retry_seconds": "seconds until the next try",
    "seconds": "duration, or its limit",
    "secret": "name of the webhook's Secret",
    "state": "state of rubik on this node",
    "top": "the pods that use most: their CPU in millicores and memory in bytes",
    "uid": "uid of a pod",
    "webhooks": "webhooks whose authority was wrong",
    "why": "the reason, as a sentence",
}
"""Every key that a line may have beside the four, and what it holds. Programs read them: a key keeps its meaning."""


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


def answer_signals() -> None:
    """SIGUSR1 writes the stacks of all threads to stderr; SIGUSR2 switches the level to debug, and back.

    Call it once, on the main thread. docs/runbook.md says how to send them to a pod.
    """
    faulthandler.register(signal.SIGUSR1, file=STDERR, all_threads=True)
    root = logging.getLogger()
    configured = root.level

    def switch(*_: object) -> None:
        root.setLevel(configured if root.level == logging.DEBUG != configured else logging.DEBUG)
        root.log(root.level, "log level is now %s", logging.getLevelName(root.level).lower())

    signal.signal(signal.SIGUSR2, switch)


def setup(level: str = "info", form: Format = "json", stream: IO[str] | None = None) -> None:
    """Send the process's log to ``stream`` (default: stderr)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter() if form == "json" else TextFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # urllib3 warns about each retry and full pool; our own lines say what matters.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
