# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Packages on disk: archives unpacked by the rules of _archive, and folders read by the same rules."""

from __future__ import annotations

import hashlib
import os
import stat
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _archive, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._archive import CHUNK, Guard, Limits

TEXT = (".yaml", ".yml", ".json", ".tpl", ".txt")


def unpack(archive: str, target: str, limits: Limits | None = None, where: str = "") -> None:
    """Unpack an archive into an empty or new folder. Nothing of it is written outside of ``target``."""
    with open(archive, "rb") as stream:
        for entry, pieces in _archive.read(stream, archive, where or os.path.basename(archive), limits):
            path = os.path.join(target, *entry.name.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                for piece in pieces:
                    file.write(piece)
                os.fchmod(file.fileno(), 0o755 if entry.executable else 0o644)


def listing(folder: str, where: str) -> dict[str, str]:
    """Name to path of every file below a folder; Refused for links, devices and names that no archive may carry."""
    guard = Guard(where, 0, Limits())
    entries = {}
    for above, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in [*folders, *sorted(files)]:
            path = os.path.join(above, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                guard.refuse("archive-link", relative, "it is a symbolic link")
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                guard.refuse("archive-special", relative, "it is neither a file nor a folder")
            guard.enter(relative, False)
            entries[relative] = path
    return entries


def _raise(error: OSError) -> t.NoReturn:
    raise error


def contents(folder: str, where: str) -> dict[str, bytes]:
    """Every file below a folder; Refused when text is not UTF-8, or when it is too much."""
    entries, guard = {}, Guard(where, 1 << 62, Limits())
    for name, path in listing(folder, where).items():
        with open(path, "rb") as file:
            entries[name] = b"".join(guard.counted(file, name))
        if name.endswith(TEXT):
            _yaml.text_of(entries[name], f"{where}/{name}")
    return entries


def texts(files: dict[str, bytes]) -> dict[str, str]:
    """Those that are text."""
    entries = {}
    for name, data in files.items():
        try:
            entries[name] = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
    return entries


def executables(files: dict[str, str]) -> set[str]:
    return {name for name, path in files.items() if os.stat(path).st_mode & stat.S_IXUSR}


def sole_folder(folder: str) -> str:
    """The one folder that is all there is in this one, or this one."""
    names = os.listdir(folder)
    below = os.path.join(folder, names[0]) if len(names) == 1 else ""
    return below if below and os.path.isdir(below) and not os.path.islink(below) else folder


def state_of(folder: str) -> dict[str, str]:
    """What a folder holds, to compare: digest and mode of each file. A link shows as one."""
    entries = {}
    for above, folders, files in os.walk(folder):
        for name in [*files, *(f for f in folders if os.path.islink(os.path.join(above, f)))]:
            path = os.path.join(above, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if os.path.islink(path):
                entries[relative] = f"link to {os.readlink(path)}"
                continue
            mode = "755" if os.stat(path).st_mode & stat.S_IXUSR else "644"
            entries[relative] = f"{mode} sha256:{sha256(path)}"
    return dict(sorted(entries.items()))


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
