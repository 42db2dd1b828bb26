#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_prepare
short_description: Prepare a node for colocation, remembering what was there before
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Makes the directory in which the node agent keeps its state, and in which this collection remembers what was there
    before. Sets kernel parameters and loads kernel modules where asked to, for now and for the next boot.
  - What was there before is written down before anything is changed. M(openfuyao.colocation.node_restore) puts it back.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description:
      - The state directory.
    type: path
    default: /var/lib/openfuyao-colocation
  sysctls:
    description:
      - Kernel parameters to set. Those that were set by an earlier run and are no longer here get their old value back.
    type: dict
    default: {}
  modules:
    description:
      - Kernel modules to load.
    type: list
    elements: str
    default: []
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.node_restore
"""

EXAMPLES = r"""
- name: Prepare the node
  openfuyao.colocation.node_prepare:

- name: Prepare the node, and keep more of the page cache for online work
  openfuyao.colocation.node_prepare:
    sysctls:
      vm.swappiness: 1
"""

RETURN = r"""
done:
  description: What was changed, or would be in check mode, a clause each.
  returned: always
  type: list
  elements: str
  sample:
    - made /var/lib/openfuyao-colocation
settings:
  description: The settings as they were asked for, to be noted and made again.
  returned: success
  type: dict
"""

import os
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils import _node

# The agent's state names pods and their limits: nobody but root needs to read it.
DIRECTORIES = {"": 0o755, "before": 0o700, "state": 0o700}


class Prepare:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.path: str = module.params["path"]
        self.sysctls = {str(k): str(v) for k, v in module.params["sysctls"].items()}
        self.modules: list[str] = list(dict.fromkeys(module.params["modules"]))
        self.before = _node.Before(self.path)
        self.todo: list[tuple[str, t.Callable[[], None]]] = []
        self.diff_before: dict[str, t.Any] = {}
        self.diff_after: dict[str, t.Any] = {}

    def plan(self) -> None:
        """Everything is looked at, and noted, before anything is changed."""
        for name, mode in DIRECTORIES.items():
            self._directory(os.path.join(self.path, name) if name else self.path, mode)
        for name in self.modules:
            if not _node.loaded(name):
                self.before.note("modules", name, "absent")
                self._do(
                    f"loaded the kernel module {name}",
                    f"module {name}",
                    "absent",
                    "loaded",
                    lambda n=name: self._modprobe(n),
                )
        noted = self.before.section("sysctls")
        for name, value in self.sysctls.items():
            have = _node.read(_node.sysctl_path(name))
            if have is None and not any(m for m in self.modules if not _node.loaded(m)):
                self.module.fail_json(msg=f"This kernel has no parameter {name}. Correct colocation_node_sysctls.")
            if not _node.same_value(have, value):
                if have is not None:
                    self.before.note("sysctls", name, " ".join(have.split()))
                self._sysctl(name, have, value)
        for name in [n for n in noted if n not in self.sysctls]:
            have = _node.read(_node.sysctl_path(name))
            if have is not None and not _node.same_value(have, noted[name]):
                self._sysctl(name, have, noted[name])
            self._do(f"no longer sets {name}", "", None, None, lambda n=name: noted.pop(n))
        self._file(_node.SYSCTL_FILE, _node.sysctl_text(self.sysctls) if self.sysctls else None)
        self._file(_node.MODULES_FILE, _node.modules_text(self.modules) if self.modules else None)

    def apply(self) -> None:
        directories = [d for d in self.todo if d[0].startswith(("made ", "mode "))]
        rest = [d for d in self.todo if d not in directories]
        for _what, step in directories:
            step()
        if rest:
            self.before.save()
        for _what, step in rest:
            step()
        if rest:
            self.before.save()

    def _do(self, what: str, name: str, before: t.Any, after: t.Any, step: t.Callable[[], t.Any]) -> None:
        self.todo.append((what, step))
        if name:
            self.diff_before[name], self.diff_after[name] = before, after

    def _directory(self, path: str, mode: int) -> None:
        try:
            have = os.stat(path)
        except FileNotFoundError:
            self._do(f"made {path}", path, "absent", oct(mode), lambda: self._mkdir(path, mode))
            return
        if not stat.S_ISDIR(have.st_mode):
            self.module.fail_json(msg=f"{path} is there and is no directory. Move it away.")
        if stat.S_IMODE(have.st_mode) != mode:
            self._do(f"mode of {path}", path, oct(stat.S_IMODE(have.st_mode)), oct(mode), lambda: os.chmod(path, mode))

    @staticmethod
    def _mkdir(path: str, mode: int) -> None:
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)  # whatever the umask was

    def _sysctl(self, name: str, have: str | None, value: str) -> None:
        def step() -> None:
            try:
                with open(_node.sysctl_path(name), "w", encoding="ascii") as file:
                    file.write(value)
            except OSError as e:
                self.module.fail_json(msg=f"The kernel does not take {value} for {name}: {e.strerror}.")

        self._do(f"set {name} to {value}", name, have.strip() if have else None, value, step)

    def _modprobe(self, name: str) -> None:
        rc, _out, err = self.module.run_command(["modprobe", "--", name])
        if rc:
            self.module.fail_json(msg=f"The kernel module {name} could not be loaded: {err.strip()}")

    def _file(self, path: str, text: str | None) -> None:
        have = _node.read(path)
        if have == text:
            return
        self.before.note("files", path, have)
        if text is None:
            self._do(f"removed {path}", path, have, "absent", lambda: os.unlink(path))
        else:
            self._do(f"wrote {path}", path, have or "absent", text, lambda: _node.write(path, text))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
            "sysctls": {"type": "dict", "default": {}},
            "modules": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        run = Prepare(module)
        run.plan()
        if not module.check_mode:
            run.apply()
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The node could not be prepared: {e}")
    module.exit_json(
        changed=bool(run.todo),
        done=[what for what, _step in run.todo],
        settings={"sysctls": run.sysctls, "modules": run.modules},
        diff={"before": run.diff_before, "after": run.diff_after},
    )


if __name__ == "__main__":
    main()
