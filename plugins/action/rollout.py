# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says who runs this play: user, machine, and the process of ansible-playbook.

A rollout that was killed on this machine must not lock its operator out: its process is looked for here.
"""

from __future__ import annotations

import getpass
import os
import socket
import typing as t

from ansible.plugins.action import ActionBase

MODULE = "openfuyao.colocation.rollout"


def started(pid: int) -> str:
    """When a process began, so that another with its number is not taken for it; empty if there is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):  # no /proc here: the number alone has to do
        return "0"


def holder(pid: int) -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}:{pid}:{started(pid)}"


def is_gone(other: str) -> bool:
    """True if this holder ran on this machine, and runs no more."""
    who, pid, since = (*other.split(":"), "", "")[:3]
    return who.rpartition("@")[2] == socket.gethostname() and pid.isdigit() and started(int(pid)) != since


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        # A worker is a child of ansible-playbook, which lives as long as the play.
        args = {**self._task.args, "holder": holder(os.getppid()), "gone": []}
        result = self._execute_module(MODULE, module_args=args, task_vars=task_vars)
        held = result.get("held_by")
        if result.get("failed") and held and is_gone(str(held)):
            result = self._execute_module(MODULE, module_args={**args, "gone": [held]}, task_vars=task_vars)
        return result
