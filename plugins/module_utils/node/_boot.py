# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What a node gets at its next boot: kernel arguments, and a mount of resctrl. Decisions without I/O.

Which boot loader a distribution has is the role's knowledge (roles/colocation_node/vars).
"""

from __future__ import annotations

import shlex
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.node._node import HEADER

GRUB_FILE = "/etc/default/grub.d/90-openfuyao-colocation.cfg"
"""Debian's and Ubuntu's update-grub read this folder after /etc/default/grub."""
RESCTRL, RESCTRL_UNIT = "/sys/fs/resctrl", "/etc/systemd/system/sys-fs-resctrl.mount"
RESCTRL_LINK = "/etc/systemd/system/local-fs.target.wants/sys-fs-resctrl.mount"
LOADERS = ("grub", "grubby")


def grub_text(arguments: t.Iterable[str]) -> str:
    tokens = " ".join(arguments)
    return f'{HEADER}GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {tokens}"\n'


def resctrl_unit() -> str:
    return (
        f"{HEADER}[Unit]\nDescription=resctrl, for openfuyao.colocation\nConditionPathExists={RESCTRL}\n\n"
        f"[Mount]\nWhat=resctrl\nWhere={RESCTRL}\nType=resctrl\n\n[Install]\nWantedBy=local-fs.target\n"
    )


def problems(arguments: t.Iterable[str]) -> list[str]:
    """Arguments that could end the assignment they are written into, or that are several."""
    return [argument for argument in arguments if not argument or argument != shlex.quote(argument).strip("'") or any(c in argument for c in "\"'`$\\ \t\n")]


def inactive(cmdline: str, arguments: t.Iterable[str]) -> list[str]:
    """Arguments that the running kernel was not started with; of a name that is there twice the last counts."""
    tokens = cmdline.split()
    last = {word.partition("=")[0]: word for word in tokens}
    return [argument for argument in arguments if last.get(argument.partition("=")[0]) != argument]


def grubby_arguments(info: str) -> list[str]:
    """The arguments that every kernel has, out of C(grubby --info=ALL)."""
    lines = [line[5:].strip().strip('"').split() for line in info.splitlines() if line.startswith("args=")]
    return [word for word in lines[0] if all(word in tokens for tokens in lines)] if lines else []


def mounted(mounts: str, where: str = RESCTRL) -> bool:
    """By /proc/mounts."""
    return any(line.split()[1:2] == [where] for line in mounts.splitlines())
