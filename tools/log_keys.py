"""`docs/logs.md`: the keys of log lines, from `colocation.logs`."""

from __future__ import annotations

from colocation.logs import KEYS
from tools.crds import HEADER

PAGE = """\
<!-- {header} -->
# Log lines

**For:** operators who collect the logs of manager and agent.

Each line is one JSON object on stderr (`--log-format text` is for a terminal). It has `time` (RFC 3339, UTC), `level`,
`logger` and `message`, and those of the following keys that the message needs. A key keeps its meaning; new keys may be
added.

| key | what it holds |
|---|---|
{rows}
"""


def render() -> str:
    """The page."""
    rows = "\n".join(f"| `{key}` | {text} |" for key, text in sorted(KEYS.items()))
    return PAGE.format(header=HEADER.format(source="reconciler/src/colocation/logs.py"), rows=rows)
