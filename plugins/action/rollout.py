# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says who runs this play, and renews its Lease beside it for as long as it runs.

A holder is USER@HOST:PID:START:PLACE. PLACE is where the number of a process means that process: one boot of one machine, and one
PID namespace on it. Two containers may have one host name, and each its process 1.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import time
import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE = "openfuyao.colocation.rollout"
KEEPER = "colocation_lease_keeper"
"""The fact that names the process that renews the Lease, as PID:START."""
PARTS = 4
"""The Lease is renewed when this part of its time has passed, so that some renewals may fail."""
LOOK_SECONDS = 1.0
RELEASE_TRIES = 5
DEFAULT_DURATION = 120


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
            state, *rest = file.read().rpartition(")")[2].split()
    except (OSError, ValueError):  # no /proc here: the number alone has to do
        return "0"
    return "" if state in ("Z", "X") else rest[18]


def place() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: the host's name has to do
        return socket.gethostname()


def holder(pid: int) -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}:{pid}:{started(pid)}:{place()}"


def is_gone(other: str) -> bool:
    """True if this holder ran where its process would be seen from here, and runs no more."""
    _who, pid, since, where = (*other.split(":", 3), "", "", "")[:4]
    return where == place() and pid.isdigit() and started(int(pid)) != since


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        # A worker is a child of ansible-playbook, which lives as long as the play.
        playbook = os.getppid()
        since = started(playbook)  # now: it may be killed while the module runs
        args = {**self._task.args, "holder": holder(playbook), "gone": []}
        result = self._execute_module(MODULE, module_args=args, task_vars=task_vars)
        held = result.get("held_by")
        if result.get("failed") and held and is_gone(str(held)):
            result = self._execute_module(MODULE, module_args={**args, "gone": [held]}, task_vars=task_vars)
        if result.get("acquired"):
            result["ansible_facts"] = {KEEPER: self._keep(playbook, since, args, task_vars)}
        elif args.get("state") in ("ended", "undone", "released") and not result.get("failed"):
            _end(str((task_vars or {}).get("ansible_facts", {}).get(KEEPER, "")))
        return result

    def _keep(self, playbook: int, since: str, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> str:
        """Start the process that renews the Lease; its PID:START."""
        child = os.fork()
        if child:
            return f"{child}:{started(child)}"
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            Display()._final_q = None  # its output is not part of the play
            self._renew(playbook, since, args, task_vars)
        finally:
            os._exit(0)

    def _renew(self, playbook: int, since: str, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> None:
        every = int(args.get("duration") or DEFAULT_DURATION) / PARTS
        due = time.monotonic() + every
        while True:
            time.sleep(LOOK_SECONDS)
            if started(playbook) != since:  # failed, stopped or killed: the others need not wait
                for _try in range(RELEASE_TRIES):  # what is not given back runs out by itself
                    if self._ask({**args, "state": "released"}, task_vars):
                        break
                    time.sleep(LOOK_SECONDS)
                shutil.rmtree(constants.DEFAULT_LOCAL_TMP, ignore_errors=True)
                return
            if time.monotonic() >= due:
                due = time.monotonic() + every
                if self._ask({**args, "state": "renewed"}, task_vars).get("held") is False:
                    return

    def _ask(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """The module's answer; empty if there was none, so that it is asked again."""
        # The folders of the task and of ansible-playbook go when these end.
        self._connection._shell.tmpdir = None
        os.makedirs(constants.DEFAULT_LOCAL_TMP, exist_ok=True)
        try:
            answer: dict[str, t.Any] = self._execute_module(MODULE, module_args=args, task_vars=task_vars)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        except Exception:  # a connection that broke, a full disk: whatever it was, the next try may work
            return {}
        return answer


def _end(keeper: str) -> None:
    pid, _colon, since = keeper.partition(":")
    if pid.isdigit() and since and started(int(pid)) == since:
        os.kill(int(pid), signal.SIGTERM)
