"""Text from elsewhere on its way to a terminal or a log: nothing in it may be taken for a command or a line."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

_NOT_ASCII: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """For terminals: control, format and separator characters as escapes; letters of every script as they are."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def json_line(document: Any) -> str:
    """One line of JSON in ASCII; what JSON cannot hold is written as text, never lost."""
    try:
        text = msgspec.json.encode(document, enc_hook=repr).decode()
    except (ValueError, TypeError, RecursionError):  # lone surrogates, endless integers, keys of strange types
        known = document if isinstance(document, dict) else {"text": document}
        text = json.dumps(
            {str(key): value if isinstance(value, str) else _as_json(value) for key, value in known.items()}
        )
    return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _as_json(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError) as error:
        return f"{type(value).__name__} that cannot be written: {error}"
