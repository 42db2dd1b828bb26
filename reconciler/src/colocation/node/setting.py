"""One value that a file of a group is to hold, beside what is there."""

from __future__ import annotations

from msgspec import Struct

from colocation.node.files import OpenFile


class Setting(Struct, frozen=True, gc=False):
    """One value to hold. ``path`` is relative to the cgroup root; ``there``: what is read now, None: no such file."""

    path: str
    want: str
    there: str | None
    beside: str = ""
    """Path of a value that the kernel changes when this one is written: it is noted, and put back, with it."""
    beside_there: str | None = None
    lines: bool = False
    """The file holds one value a line, each behind the word that it is for; those of other words are left alone."""

    @property
    def holds(self) -> bool:
        """Nothing to do."""
        if self.lines:
            return set(self.want.splitlines()) <= set((self.there or "").splitlines())
        return self.there == self.want


def text(file: OpenFile) -> str | None:
    """A file's content without its end; None if it is not there or is not text."""
    raw = file.read()
    if raw is None:
        raw = file.read()  # the open file belongs to a group that has been created again
    if raw is None:
        return None
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError:
        return None
