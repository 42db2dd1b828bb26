# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Writes archives that depend on names and contents only: sorted, one time for all, no owner, no host.

What is packed already (images, nested archives) is stored, not deflated again.
"""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import typing as t
import zipfile

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._archive import CHUNK, SUFFIXES

EPOCH = 315532800
"""1980-01-01, the first time that a zip can hold."""
STORED = (".tar", ".tgz", ".tar.gz", ".zip", ".png", ".jpg")

Source = t.Union[bytes, str]
"""An entry's content, or the path of the file that has it."""


def write(target: t.BinaryIO, suffix: str, files: dict[str, Source], executable: t.Container[str] = ()) -> None:
    """Write ``files`` (name to content) as an archive of that format."""
    (_zip if SUFFIXES[suffix] == "zip" else _tgz)(target, files, executable)


def pack(suffix: str, files: dict[str, Source], executable: t.Container[str] = ()) -> bytes:
    """The archive as bytes, for small ones."""
    target = io.BytesIO()
    write(target, suffix, files, executable)
    return target.getvalue()


def opened(source: Source) -> t.BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _zip(target: t.BinaryIO, files: dict[str, Source], executable: t.Container[str]) -> None:
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = (stat.S_IFREG | (0o755 if name in executable else 0o644)) << 16
            info.compress_type = zipfile.ZIP_STORED if name.endswith(STORED) else zipfile.ZIP_DEFLATED
            with opened(files[name]) as data:
                info.file_size = data.seek(0, io.SEEK_END)
                data.seek(0)
                info._compresslevel = 9  # type: ignore[attr-defined]  # ZipFile.open takes none of its own
                with archive.open(info, "w") as entry:
                    shutil.copyfileobj(data, entry, CHUNK)


def _tgz(target: t.BinaryIO, files: dict[str, Source], executable: t.Container[str]) -> None:
    with gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=9, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
            for name in sorted(files):
                info = tarfile.TarInfo(name)
                info.mtime, info.mode = EPOCH, 0o755 if name in executable else 0o644
                with opened(files[name]) as data:
                    info.size = data.seek(0, io.SEEK_END)
                    data.seek(0)
                    archive.addfile(info, data)
