# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Reads archives that a stranger made: every entry is judged before a byte of it is handed on.

Only regular files are handed on; folders follow from their names. Sizes are counted while data is unpacked, so that
what an archive says of itself is never relied on.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import re
import stat
import tarfile
import typing as t
import unicodedata
import zipfile
import zlib

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Refused

CHUNK = 1 << 16
HEADER_LIMIT = 1 << 20
"""A pax or long-name header is read at once; none is larger than this."""

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)
SUFFIXES = {".zip": "zip", ".tgz": "tar", ".tar.gz": "tar"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much an archive may come to."""

    entries: int = 20000
    total: int = 256 << 20
    ratio: int = 100
    free: int = 1 << 20
    """Below this size, bytes, the ratio does not matter."""


@dataclasses.dataclass(frozen=True)
class Entry:
    name: str
    size: int
    executable: bool = False


def suffix_of(name: str) -> str | None:
    """Which of the three archive formats a file name says; None for any other."""
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)


def stem_of(name: str) -> str:
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix else name


def read(
    stream: t.BinaryIO, name: str, where: str, limits: Limits | None = None
) -> t.Iterator[tuple[Entry, t.Iterator[bytes]]]:
    """The regular files of an archive, each with its bytes in pieces; Refused at the first breach.

    ``name`` says the format, ``where`` is how findings call the archive. Pieces must be taken before the next entry.
    """
    suffix = suffix_of(name)
    if suffix is None:
        raise Refused("archive-format", where, "it ends in none of .zip, .tgz, .tar.gz")
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    guard = Guard(where, size, limits or Limits())
    try:
        yield from (_zip if SUFFIXES[suffix] == "zip" else _tgz)(stream, guard)
    except DAMAGED as e:
        raise Refused("archive-damaged", where, f"it cannot be read: {e}") from None
    except UnicodeDecodeError as e:
        raise Refused("encoding", where, f"the name of an entry is not UTF-8 ({e.object[:80]!r})") from None


class Guard:
    """Judges names and counts bytes, for one archive or folder."""

    def __init__(self, where: str, size: int, limits: Limits) -> None:
        self.where, self.size, self.limits = where, size, limits
        self.seen: dict[str, tuple[str, str]] = {}
        self.files: set[str] = set()
        self.entries = self.total = 0

    def place(self, name: str) -> str:
        return f"{self.where}/{name.encode('utf-8', 'backslashreplace').decode()}" if name else self.where

    def refuse(self, rule: str, name: str, message: str) -> t.NoReturn:
        raise Refused(rule, self.place(name), message)

    def enter(self, raw: str, folder: bool) -> str:
        """The entry's name, if it is one that may be written below a folder."""
        self.entries += 1
        if self.entries > self.limits.entries:
            self.refuse("archive-bomb", "", f"it has more than {self.limits.entries} entries")
        try:
            raw.encode()
        except UnicodeEncodeError:
            self.refuse("encoding", raw, "the entry's name is not UTF-8")
        name = raw[:-1] if folder and raw.endswith("/") else raw
        while name.startswith("./"):
            name = name[2:]
        if folder and name in ("", "."):
            return ""
        if any(unicodedata.category(c) == "Cc" for c in name):
            self.refuse("archive-path", raw, "the entry's name has control characters")
        if "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
            self.refuse("archive-path", raw, "the entry's name is not a relative path with forward slashes")
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts):
            self.refuse("archive-path", raw, "the entry would be written outside of the archive's folder")
        if any(len(part.encode()) > 255 for part in parts) or len(name.encode()) > 2048:
            self.refuse("archive-path", raw[:80], "the entry's name is too long")
        self._once(name, "folder" if folder else "file")
        for end in range(1, len(parts)):
            self._once("/".join(parts[:end]), "folder")
        return name

    def _once(self, name: str, kind: str) -> None:
        there = self.seen.setdefault(unicodedata.normalize("NFC", name).casefold(), (kind, name))
        if there == (kind, name) and kind == "file" and name in self.files:
            self.refuse(
                "archive-duplicate", name, "the file is there twice; which one counts depends on who unpacks it"
            )
        if there != (kind, name):
            self.refuse(
                "archive-duplicate", name, f"beside it is the {there[0]} {there[1]}, the same name on many file systems"
            )
        if kind == "file":
            self.files.add(name)

    def count(self, amount: int, name: str) -> None:
        self.total += amount
        if self.total > self.limits.total:
            self.refuse("archive-bomb", name, f"unpacked it comes to more than {self.limits.total >> 20} MiB")
        if self.total > self.limits.free and self.total > self.limits.ratio * self.size:
            self.refuse("archive-bomb", name, f"unpacked it is more than {self.limits.ratio} times its size")

    def counted(self, stream: t.Any, name: str) -> t.Iterator[bytes]:
        try:
            while piece := stream.read(CHUNK):
                self.count(len(piece), name)
                yield piece
        except DAMAGED as e:
            self.refuse("archive-damaged", name, f"it cannot be read: {e}")


def _zip(stream: t.BinaryIO, guard: Guard) -> t.Iterator[tuple[Entry, t.Iterator[bytes]]]:
    with zipfile.ZipFile(stream) as archive:
        infos = archive.infolist()
        end = 0
        for info in sorted(infos, key=lambda i: i.header_offset):
            if info.header_offset < end:
                guard.refuse("archive-bomb", info.filename, "the entry's data overlaps another's")
            if not end and info.header_offset:
                guard.refuse("archive-damaged", "", "something stands before its first entry")
            end = info.header_offset + 30 + info.compress_size
        files = []
        for info in infos:
            raw = info.orig_filename
            folder = raw.endswith("/")
            if not raw.isascii() and not info.flag_bits & 0x800:
                guard.refuse("encoding", "", f"the name of the entry {raw!r} is not marked as UTF-8")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                guard.refuse("archive-link", raw, "the entry is a symbolic link")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > folder:
                guard.refuse("archive-special", raw, "the entry is neither a file nor a folder")
            if info.flag_bits & 0x1:
                guard.refuse("archive-special", raw, "the entry is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                guard.refuse(
                    "archive-special", raw, f"the entry is packed by method {info.compress_type}, not by deflate"
                )
            name = guard.enter(raw, folder)
            if not folder:
                files.append((info, Entry(name, info.file_size, bool(info.external_attr >> 16 & 0o111))))
        for info, entry in files:
            with archive.open(info) as data:
                yield entry, guard.counted(data, entry.name)


def _tgz(stream: t.BinaryIO, guard: Guard) -> t.Iterator[tuple[Entry, t.Iterator[bytes]]]:
    with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
        limited = _Limited(unpacked, guard)
        with tarfile.open(fileobj=t.cast(t.BinaryIO, limited), mode="r:", encoding="utf-8") as archive:
            for info in archive:
                archive.members = []  # tarfile keeps all that it has seen
                if info.issym() or info.islnk():
                    kind = "symbolic" if info.issym() else "hard"
                    guard.refuse("archive-link", info.name, f"the entry is a {kind} link to {info.linkname!r}")
                if not info.isdir() and (
                    info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse is not None
                ):
                    guard.refuse("archive-special", info.name, "the entry is neither a plain file nor a folder")
                raw = info.name + "/" if info.isdir() else info.name
                name = guard.enter(raw, info.isdir())
                if info.isdir():
                    continue
                data = archive.extractfile(info)
                if data is None:
                    guard.refuse("archive-special", name, "the entry has no data")
                yield Entry(name, info.size, bool(info.mode & 0o111)), guard.counted(data, name)


class _Limited:
    """What tarfile reads from: no more than the limits allow, also of headers and of what is skipped."""

    def __init__(self, stream: gzip.GzipFile, guard: Guard) -> None:
        self.stream, self.guard = stream, guard
        self.most = max(guard.limits.free, min(guard.limits.total, guard.limits.ratio * guard.size)) + (
            1024 * guard.limits.entries
        )

    def read(self, amount: int) -> bytes:
        if amount > HEADER_LIMIT:
            self.guard.refuse("archive-bomb", "", f"a header of {amount} bytes")
        self._allow(self.stream.tell() + amount)
        return self.stream.read(amount)

    def seek(self, offset: int) -> int:
        self._allow(offset)
        return self.stream.seek(offset)

    def tell(self) -> int:
        return self.stream.tell()

    def _allow(self, end: int) -> None:
        if end > self.most:
            self.guard.refuse("archive-bomb", "", f"unpacked it comes to more than {self.most >> 20} MiB")
