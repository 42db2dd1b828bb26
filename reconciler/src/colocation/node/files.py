"""Files of the kernel that are read again and again, and the numbers in them."""

from __future__ import annotations

import os
from typing import Final

READ_SIZE: Final = 8192
"""Bytes: more than most files hold, so that one system call is enough."""
MOST: Final = 1 << 20
"""Bytes: a file that is longer is not one of those that are read here, and gives no value."""


class OpenFile:
    """One cgroup file, kept open: reading it again costs one system call. It goes with its group."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def read(self) -> bytes | None:
        """The whole content; None if the file, or its group, is not there or cannot be read."""
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            text = os.pread(self._fd, READ_SIZE, 0)
            return text if len(text) < READ_SIZE else self._rest(text)
        except OSError:
            self.close()
            return None

    def number(self) -> int | None:
        """The content as an integer that is not negative; None for anything else."""
        return number(self.read())

    def field(self, key: bytes) -> int | None:
        """The number behind ``key`` in a file of "key number" lines."""
        return field(self.read(), key)

    def _rest(self, text: bytes) -> bytes | None:
        """``text`` and what follows: a part of a file must not be taken for the whole."""
        while len(text) <= MOST:
            more = os.pread(self._fd, READ_SIZE, len(text))
            if not more:
                return text
            text += more
        return None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def number(text: bytes | None) -> int | None:
    """An integer of 63 bits that is not negative, or None."""
    if text is None:
        return None
    stripped = text.strip()
    # Python refuses to read some thousand digits, by an exception; the API server takes 63 bits.
    value = int(stripped) if stripped.isdigit() and len(stripped) <= 20 else None
    return None if value is None or value >= 1 << 63 else value


def field(text: bytes | None, key: bytes) -> int | None:
    """The number behind ``key`` (with its blank) at the start of a line, or None."""
    if text is None:
        return None
    if text.startswith(key):
        start = len(key)
    else:
        position = text.find(b"\n" + key)
        if position < 0:
            return None
        start = position + 1 + len(key)
    end = text.find(b"\n", start)
    return number(text[start:] if end < 0 else text[start:end])
