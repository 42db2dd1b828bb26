"""The old value of everything we change, on disk before it is changed, so that all of it can be put back.

Standard library only, Python 3.9 syntax, no import of ours: the same file is copied into the Ansible
collection, whose uninstall restores a node even when no agent runs any more.

One JSON object a line, appended and fsynced before the value is written: killed at any byte, the file holds
every change that was made, and at most one torn last line, whose value was not written yet. Paths are relative
to the cgroup root, because the agent's container and the host see it in different places.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Dict, Iterable, List, Optional, Tuple

FILE = "file"
LINES = "lines"
"""Kind of an entry whose file takes one line at a time, each behind the word (a disk) that it is for."""


RESCTRL = "resctrl"
"""Kind of an entry whose path is a resctrl group that was made: removed, its tasks are the root group's again."""


def group_of(cgroup_root: str, name: str = "") -> str:
    """Directory of a resctrl group, or of all: resctrl is mounted beside the cgroups, on the host as in a container."""
    return os.path.join(os.path.dirname(cgroup_root.rstrip("/")), "resctrl", name)


class Entry:
    """One changed value. ``path``: the cgroup file relative to the cgroup root."""

    __slots__ = ("boot", "group", "kind", "old", "path", "uid")

    def __init__(self, path: str, old: str, uid: str, group: int, boot: str, kind: str = FILE) -> None:
        self.path, self.old, self.uid, self.group, self.boot, self.kind = path, old, uid, group, boot, kind

    def line(self) -> str:
        """The entry as it is on disk."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, sort_keys=True) + "\n"

    def alive(self, cgroup_root: str) -> bool:
        """True if the group is still the one whose value was noted: same boot, same inode (they are not reused)."""
        same = self.kind == RESCTRL or self.group == group_id(self.directory(cgroup_root))
        return same and self.boot == boot_id()

    def directory(self, cgroup_root: str) -> str:
        """The group's absolute path."""
        if self.kind == RESCTRL:
            return group_of(cgroup_root, self.path)
        return os.path.dirname(os.path.join(cgroup_root, self.path))


class Journal:
    """The entries of one node, in the order they were noted. Raises OSError when the disk refuses."""

    def __init__(self, path: str, cgroup_root: str) -> None:
        self.path = path
        self.cgroup_root = cgroup_root
        entries, clean = _load(path)
        self._entries = {entry.path: entry for entry in entries if entry.alive(cgroup_root)}
        # A torn or stale line is cleared away before anything is appended behind it.
        self._rewrite_first = not clean or len(self._entries) != len(entries)

    @property
    def entries(self) -> List[Entry]:
        """What is changed now."""
        return list(self._entries.values())

    def get(self, path: str) -> Optional[Entry]:
        """The entry of a path, if its value was noted."""
        return self._entries.get(path)

    def note(self, entries: Iterable[Entry]) -> None:
        """Make the old values durable; one fsync for all. A value must not be changed before this returns.

        A path that is noted already keeps its first value, unless its group is a new one.
        """
        fresh = []
        for entry in entries:
            known = self._entries.get(entry.path)
            if known is None or known.group != entry.group:
                fresh.append(entry)
        if not fresh:
            return
        wanted = dict(self._entries)
        wanted.update({entry.path: entry for entry in fresh})
        if self._rewrite_first:
            self._rewrite(wanted)
        else:
            self._rewrite_first = True  # until the append is known to be whole
            _append(self.path, "".join(entry.line() for entry in fresh))
            self._rewrite_first = False
        self._entries = wanted

    def drop(self, paths: Iterable[str]) -> None:
        """Forget values that were put back, or whose group is gone."""
        gone = set(paths) & set(self._entries)
        if gone:
            left = {path: entry for path, entry in self._entries.items() if path not in gone}
            self._rewrite(left)
            self._entries = left

    def _rewrite(self, entries: Dict[str, Entry]) -> None:
        write_atomically(self.path, "".join(entry.line() for entry in entries.values()))
        self._rewrite_first = False


def restore(journal_path: str, cgroup_root: str = "/sys/fs/cgroup") -> Dict[str, List[str]]:
    """Put back every value in the journal, the last change first; running it again changes nothing.

    Returns ``{"restored": [path], "unchanged": [path], "gone": [path], "failed": ["path: why"]}``. What failed stays
    in the journal; when nothing failed, the journal is removed.
    """
    done = {"restored": [], "unchanged": [], "gone": [], "failed": []}  # type: Dict[str, List[str]]
    entries = _load(journal_path)[0]
    kept = []  # type: List[Entry]
    for entry in reversed(entries):
        try:
            done[put_back(entry, cgroup_root)].append(entry.path)
        except OSError as error:
            kept.insert(0, entry)
            done["failed"].append("{}: {}".format(entry.path, error.strerror))
    if kept:
        write_atomically(journal_path, "".join(entry.line() for entry in kept))
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(journal_path)
    return done


def put_back(entry: Entry, cgroup_root: str) -> str:
    """Put one value back; "restored", "unchanged" or "gone". Raises OSError when the kernel refuses."""
    if not entry.alive(cgroup_root):
        return "gone"
    try:
        if entry.kind == RESCTRL:
            os.rmdir(entry.directory(cgroup_root))
            return "restored"
        path = os.path.join(cgroup_root, entry.path)
        with open(path, encoding="ascii") as file:
            there = file.read().strip()
        if there == entry.old:
            return "unchanged"
        write_value(path, _lines_back(path, there, entry.old) if entry.kind == LINES else entry.old, entry.kind)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return "gone"
        raise
    return "restored"


def write_value(path: str, value: str, kind: str = FILE) -> None:
    """Write a cgroup file; of LINES each by a write of its own, for the kernel takes no more. Raises OSError."""
    for line in value.split("\n") if kind == LINES else [value]:
        with open(path, "w", encoding="ascii") as file:
            file.write(line)


def _lines_back(path: str, there: str, old: str) -> str:
    """What is to be written so that a file of lines holds ``old`` again; other words lose their value."""
    had = {line.partition(" ")[0] for line in old.split("\n")}
    name = os.path.basename(path)
    none = {"io.max": "rbps=max wbps=max riops=max wiops=max", "io.weight": "default"}.get(name, "0")
    new = [line.partition(" ")[0] for line in there.split("\n") if line]
    gone = ["{} {}".format(word, none) for word in new if word not in had]
    return "\n".join(gone + (old.split("\n") if old else []))


def group_id(directory: str) -> int:
    """A number that a group keeps for life and a later one of the same name does not get; 0 if it is gone."""
    try:
        return os.stat(directory).st_ino
    except OSError:
        return 0


def boot_id() -> str:
    """The id of this boot; "" where the kernel has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def write_atomically(path: str, text: str) -> None:
    """Replace a file so that a reader, or a crash, sees the old text or the new one, never half of it."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = path + ".new"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # half a file would keep a full disk full
        raise
    _sync_directory(path)


def _append(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    new = not os.path.exists(path)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(file).st_size
        data = text.encode()
        try:
            while data:
                data = data[os.write(file, data) :]
            os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)  # a disk that is full takes half a line
            raise
    finally:
        os.close(file)
    if new:
        _sync_directory(path)


def _sync_directory(path: str) -> None:
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _load(path: str) -> Tuple[List[Entry], bool]:
    """(entries, whether every line could be read); of two lines for one path the later group wins."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return [], True
    entries = {}  # type: Dict[str, Entry]
    clean = not text or text.endswith("\n")
    for line in text.split("\n"):
        if line:
            entry = _decode(line)
            if entry is None:
                clean = False
            elif entry.path not in entries or entries[entry.path].group != entry.group:
                entries[entry.path] = entry
    return list(entries.values()), clean


def _decode(line: str) -> Optional[Entry]:
    try:
        fields = json.loads(line)
        entry = Entry(**fields)
        entry.line()
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (entry.path, entry.old, entry.uid, entry.boot, entry.kind)
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.group, int):
        return None
    # Whatever was done to the file: nothing outside the cgroup root is ever written.
    if os.path.isabs(entry.path) or ".." in entry.path.split("/") or "\0" in entry.path:
        return None
    return entry
