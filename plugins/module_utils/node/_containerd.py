# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""containerd's configuration as containerd itself reads it: imported files, and the merged result of C(containerd config dump).

Without a TOML library, since a node's Python need not have one: of a dump, which a machine wrote, single values are found by line.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _kubelet, _node, _service

DEFAULT_CONFIG = "/etc/containerd/config.toml"
PLACES = f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin"
CRI = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime")
"""Plugins without which kubelet can start no pod; containerd 1.x has the first only."""
Path = t.Tuple[str, ...]
_ARRAY = r"^\s*{}\s*=\s*\[(.*?)\]"


class Program(t.NamedTuple):
    """The containerd of this machine: its program ("" where there is none), its command line if it runs, its main file."""

    path: str
    argv: list[str]
    main: str


def find(run: _service.Run, config_file: str | None = None) -> Program:
    """The process of the unit C(containerd), else the program in PATH."""
    pid = _service.Unit("containerd", run).show("MainPID").get("MainPID", "0") if _node.booted() else "0"
    argv = (_node.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0") if pid != "0" else []
    path = argv[0] if argv and os.path.isabs(argv[0]) else shutil.which("containerd", path=PLACES)
    flags = {**_short_flags(argv), **_kubelet.flags(argv)}
    return Program(path or "", argv, config_file or flags.get("config") or flags.get("c") or DEFAULT_CONFIG)


def _short_flags(argv: t.Sequence[str]) -> dict[str, str]:
    return {word[1:]: value for word, value in zip(argv, argv[1:]) if word == "-c"}


def dump(program: Program, run: _service.Run) -> tuple[str, str]:
    """What is in force by C(containerd config dump), and what containerd finds wrong with its files, or nothing."""
    argv = ["--config", program.main, "config", "dump"] if os.path.exists(program.main) else ["config", "default"]
    rc, out, err = run([program.path, *argv])
    return ("", err.strip().splitlines()[-1] if err.strip() else f"exit code {rc}") if rc else (out, "")


def array(text: str, name: str) -> list[str]:
    """A top-level array of strings."""
    top = re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    match = re.search(_ARRAY.format(name), top, re.MULTILINE | re.DOTALL)
    body = re.sub(r"^\s*#.*$", "", match.group(1), flags=re.MULTILINE) if match else ""
    return [a or b for a, b in re.findall(r"\"([^\"]*)\"|'([^']*)'", body)]


def imported(main: str, dumped: str) -> list[str]:
    """Files that the main file imports, in the order in which containerd reads them: of a value that is in two the last counts.

    A dump of containerd 1.x has the files that were read (it takes a relative pattern from its working directory), one of 2.x
    has what the files say.
    """
    read: list[str] = []
    pending = [main]
    while pending:
        path = pending.pop(0)
        if path in read:
            continue
        read.append(path)
        for name in array(_node.read(path) or "", "imports"):
            item = os.path.normpath(os.path.join(os.path.dirname(path), name))
            pending += sorted(glob.glob(item)) if "*" in item else [item]
    answer = array(dumped, "imports")
    return [item for item in read[1:] if main not in answer or item in answer]


def value_of(dumped: str, path: Path) -> str | None:
    """One value of a dump, as it is written there, without quotes; None where there is none."""
    here: Path = ()
    for line in dumped.splitlines():
        header = re.match(r"^\s*\[([^\[\]].*)\]\s*$", line)
        if header:
            here = tuple(a or b or c for a, b, c in re.findall(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)", header.group(1)))
        elif here == path[:-1] and (match := re.match(rf"^\s*{re.escape(path[-1])}\s*=\s*(.*?)\s*$", line)):
            return match.group(1).strip("\"'")
    return None


def disabled(names: t.Iterable[str], plugins: t.Iterable[str]) -> list[str]:
    """Those of the plugins that a C(disabled_plugins) of these names keeps from loading.

    A file of version 1 (a package of Docker's has C(["cri"]) in one) has the last part of a plugin's name, and containerd 1.x dumps it so.
    """
    given = set(names)
    return sorted(one for one in plugins if given & {one, one.rpartition(".")[2]})


def foreseen(dumped: str, wrong: str, in_force: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """Why a restart with these files would not do what it is for, or nothing. ``in_force``: C(path) and C(value) that have to be."""
    if wrong:
        return f"containerd cannot read it: {wrong}"
    off = disabled(array(dumped, "disabled_plugins"), CRI)
    if off:
        return f"disabled_plugins has {', '.join(off)}, without which kubelet can start no pod"
    for item in in_force:
        have, want = value_of(dumped, tuple(item["path"])), item["value"]
        if have != want:
            return f"{'.'.join(item['path'])} is {have} by `containerd config dump`, and was to become {want}"
    return ""
