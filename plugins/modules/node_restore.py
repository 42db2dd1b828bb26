#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_restore
short_description: Put back everything that colocation changed on a node
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Puts back each cgroup value that the node agent noted in its journal, then the kernel parameters, modules and files
    that M(openfuyao.colocation.node_prepare) changed, and removes the state directory.
  - The agent must not be running any more, or it would change the values again.
  - If a value cannot be put back, the state directory is kept, so that the next run tries again.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  path:
    description:
      - The state directory.
    type: path
    default: /var/lib/openfuyao-colocation
  cgroup_root:
    description:
      - Where the cgroup hierarchy is mounted.
    type: path
    default: /sys/fs/cgroup
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.node_prepare
  - module: openfuyao.colocation.node_state
"""

EXAMPLES = r"""
- name: Put the node back as it was
  openfuyao.colocation.node_restore:
"""

RETURN = r"""
restored:
  description: Cgroup files that got their old value back, or would in check mode.
  returned: always
  type: list
  elements: str
gone:
  description: Cgroup files whose group does not exist any more.
  returned: always
  type: list
  elements: str
done:
  description: Everything else that was put back or removed, a clause each.
  returned: always
  type: list
  elements: str
"""

import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _boot, _journal, _node, _service


def would_restore(journal: str, cgroup_root: str) -> dict[str, list[str]]:
    """What restore() would do, without doing it."""
    entries = _journal.Journal(journal, cgroup_root).entries
    return {"restored": [e.path for e in reversed(entries)], "gone": [], "failed": []}


def settings_back(module: AnsibleModule, before: _node.Before) -> tuple[list[str], list[str]]:
    """Undo node_prepare, the last thing first; what was put back, and what could not be, with the reason.

    A step that failed is tried again by the next run: the note stays, and what is already as it was before is no step.
    """

    def run(*argv: str) -> str:
        rc, out, err = module.run_command(list(argv))
        return f"{' '.join(argv)} failed: {err.strip() or out.strip() or f'exit code {rc}'}" if rc else ""

    steps: list[tuple[str, t.Callable[[], str | None]]] = []
    for where in before.notes.get("mounts") or {}:
        if _boot.mounted(_node.read("/proc/mounts") or "", where):
            steps.append((f"unmounted {where}", lambda p=where: run("umount", p)))
    for path in before.notes.get("links") or {}:
        if os.path.lexists(path):
            steps.append((f"removed {path}", lambda p=path: os.unlink(p)))
    for path, text in (before.notes.get("files") or {}).items():
        if _node.read(path) == text:
            continue
        if text is None:
            steps.append((f"removed {path}", lambda p=path: os.unlink(p)))
        else:
            steps.append((f"put back {path}", lambda p=path, x=text: _node.write(p, x)))
    for name, value in (before.notes.get("sysctls") or {}).items():
        have = _node.read(_node.sysctl_path(name))
        if have is not None and not _node.same_value(have, value):
            steps.append((f"set {name} back to {value}", lambda n=name, v=value: _set(n, v)))
    for name in before.notes.get("modules") or {}:
        if _node.loaded(name):
            # -r would take others along; one in use stays loaded until the next boot, and that is reported
            steps.append((f"unloaded the kernel module {name}", lambda n=name: run("rmmod", n)))
    boot = before.notes.get("boot") or {}
    if boot.get("loader") == "grub":
        # Also where the file is gone by now: an earlier run may have failed after that.
        steps.append(("renewed the boot menu", lambda: run("update-grub")))
    if boot.get("loader") == "grubby" and boot.get("arguments"):
        arguments = " ".join(boot["arguments"])
        steps.append(
            (f"took out the kernel argument(s) {arguments}", lambda: run("grubby", "--update-kernel=ALL", f"--remove-args={arguments}"))
        )
    done, failed = [], []
    for what, step in steps:
        try:
            wrong = "" if module.check_mode else step()
        except OSError as e:
            wrong = f"not {what}: {e}"
        if wrong:
            failed.append(wrong)
        else:
            done.append(what)
    return done, failed


def still_ours(notes: dict[str, t.Any]) -> list[str]:
    """Services with a file that is as we wrote it: those are put back by restarting them, under watch."""
    return [
        name
        for name in _service.noted(notes)
        if any(n["ours"] != n["before"] and _node.read(p) == n["ours"] for p, n in (notes[name].get("files") or {}).items())
    ]


def _set(name: str, value: str) -> None:
    with open(_node.sysctl_path(name), "w", encoding="ascii") as file:
        file.write(value)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
            "cgroup_root": {"type": "path", "default": "/sys/fs/cgroup"},
        },
        supports_check_mode=True,
    )
    _node.require_root(module)
    path, root = module.params["path"], module.params["cgroup_root"]
    if os.path.normpath(path).count("/") < 2:
        module.fail_json(msg=f"{path} is no state directory: it would be removed with all that is in it.")
    if not os.path.isdir(path):
        module.exit_json(changed=False, restored=[], gone=[], done=[])
    journal = os.path.join(path, "journal")
    try:
        left = still_ours(_node.Before(path).notes)
        if left:
            module.fail_json(
                msg=f"{', '.join(left)} still run with configuration of this collection; nothing was changed. Put it back first, one node "
                "at a time: the roles colocation_kubelet and colocation_containerd with tasks_from remove, or the playbook uninstall.",
                restored=[],
                gone=[],
                done=[],
            )
        back = would_restore(journal, root) if module.check_mode else _journal.restore(journal, root)
        done, failed = settings_back(module, _node.Before(path))
        failed = [*back["failed"], *failed]
        if failed:
            module.fail_json(
                msg=f"This node is not yet restored: {'; '.join(failed)}. The previous values are still in {path}: fix this (a "
                "kernel module in use goes with the next boot), and run this again; it does only what is left.",
                changed=bool(back["restored"] or done),
                restored=back["restored"],
                gone=back["gone"],
                done=done,
            )
        if not module.check_mode:
            shutil.rmtree(path)
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The node could not be put back as it was: {e}")
    module.exit_json(changed=True, restored=back["restored"], gone=back["gone"], done=[*done, f"removed {path}"])


if __name__ == "__main__":
    main()
