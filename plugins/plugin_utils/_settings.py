# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is **PRIVATE** to the collection; it can change at any time.

"""The common half of kubelet_config and containerd_config: ask the node, decide here, change the node only if there is need.

One remote call a node when nothing is to do.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible.plugins.action import ActionBase

JSON = t.Dict[str, t.Any]
COLLECTION = "openfuyao.colocation"


@dataclass
class Plan:
    """What a node's files have to become. ``problems``: why nothing may be done, in words."""

    files: dict[str, str | None] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    restart: bool = True
    forget: bool = False
    in_force: list[JSON] = field(default_factory=list)
    health_url: str = ""
    problems: list[str] = field(default_factory=list)
    told: JSON = field(default_factory=dict)


def as_before(section: JSON, texts: t.Mapping[str, str | None], path: str, undo: t.Callable[[str, str, str], str]) -> str | None:
    """A file without what is ours. ``undo(current, ours, before)`` is asked where others changed the file since."""
    note = (section.get("files") or {}).get(path)
    now = texts.get(path)
    if note is None or now == note["before"]:
        return now
    if now == note["ours"]:
        before: str | None = note["before"]
        return before
    if now is None or note["ours"] is None:
        return now  # somebody removed it, or created it again: theirs
    return undo(now, note["ours"], note["before"] or "")


class SettingsAction(ActionBase):
    """``SERVICE`` and ``plan()`` are the subclass's."""

    SERVICE = ""
    _requires_connection = True

    def plan(self, found: JSON, args: JSON) -> Plan:
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: JSON | None = None) -> JSON:
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        asked = self._unseen(f"{self.SERVICE}_config", args, task_vars)
        if asked.get("failed") or asked.get("unreachable"):
            return asked
        found: JSON = asked["found"]
        plan = self.plan(found, asked["asked"])  # typed, with defaults, as the module had them
        if plan.problems:
            result = "; ".join(plan.problems)
            return {"failed": True, "msg": f"The {self.SERVICE} of this node is left as it is: {result}. Nothing was changed."}
        section = found["section"]
        wanted = {path: text for path, text in plan.files.items() if found["texts"].get(path) != text}
        idle = {"changed": False, "done": [], "files": [], "restarted": False, **plan.told}
        if not wanted and not section.get("pending") and not (plan.forget and section.get("files")):
            # without the texts, which may have passwords
            return {**idle, "found": {name: found[name] for name in found if name not in ("dump", "texts", "states", "section")}}
        service = {
            "service": self.SERVICE,
            "files": plan.files,
            "stale": plan.stale if wanted or section.get("pending") else [],
            "restart": plan.restart and asked["asked"]["restart"],
            "forget": plan.forget,
            "in_force": plan.in_force,
            **({"config_file": found["main"]} if self.SERVICE == "containerd" else {}),
            "health_url": plan.health_url,
            **{name: args[name] for name in ("settle", "timeout", "path") if name in args},
        }
        done = self._unseen("node_service", service, task_vars)
        return {**done, **plan.told, "stale": plan.stale, "health_url": plan.health_url}

    def _unseen(self, module: str, args: JSON, task_vars: JSON | None) -> JSON:
        """Run a module whose arguments and answer, with the passwords in the files, are in no log and not in C(-vvv)."""
        before = self._task.no_log, self._play_context.no_log
        self._task.no_log = self._play_context.no_log = True
        try:
            answer: JSON = self._execute_module(f"{COLLECTION}.{module}", module_args=args, task_vars=task_vars)
        finally:
            self._task.no_log, self._play_context.no_log = before
        answer.pop("invocation", None)
        return answer
