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
  boot_arguments:
    description:
      - Arguments of the kernel from the next boot on, such as C(psi=1). RV(reboot_needed) says whether the running one lacks any.
      - Those that an earlier run set and that are no longer here are taken out.
    type: list
    elements: str
    default: []
  boot_loader:
    description:
      - How arguments get there. V(grub) is a file in C(/etc/default/grub.d) and C(update-grub), V(grubby) the program of that name.
    type: str
    choices:
      - grub
      - grubby
  resctrl:
    description:
      - Mount resctrl, now and at each boot. Refused where the processor or kernel has none.
    type: bool
    default: false
notes:
  - On a machine that is not booted (an image that is being built) only files are written.
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
reboot_needed:
  description: Kernel arguments that are set and that the running kernel was not started with.
  returned: success
  type: list
  elements: str
settings:
  description: The settings as they were asked for, to be noted and made again.
  returned: success
  type: dict
"""

import os
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _boot, _node

# The agent's state names pods and their limits: only root needs to read it.
DIRECTORIES = {"": 0o755, "before": 0o700, "state": 0o700}


class Prepare:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.path: str = module.params["path"]
        self.sysctls = {str(k): str(v) for k, v in module.params["sysctls"].items()}
        self.modules: list[str] = list(dict.fromkeys(module.params["modules"]))
        self.arguments: list[str] = list(dict.fromkeys(module.params["boot_arguments"]))
        self.loader: str | None = module.params["boot_loader"]
        self.booted = _node.booted()
        self.before = _node.Before(self.path)
        self.todo: list[tuple[str, t.Callable[[], None]]] = []
        self.diff_before: dict[str, t.Any] = {}
        self.diff_after: dict[str, t.Any] = {}

    def plan(self) -> None:
        """Everything is looked at, and noted, before anything is changed."""
        for name, mode in DIRECTORIES.items():
            self._directory(os.path.join(self.path, name) if name else self.path, mode)
        for name in self.modules if self.booted else []:
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
        if self.booted and (unknown := _node.unknown_sysctls(self.sysctls, self.modules)):
            answer = ", ".join(unknown)
            self.module.fail_json(msg=f"This kernel has no parameter {answer}. Correct colocation_node_sysctls.")
        for name, value in self.sysctls.items() if self.booted else []:
            have = _node.read(_node.sysctl_path(name))
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
        self._boot()
        self._resctrl()

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

    def _boot(self) -> None:
        bad = _boot.problems(self.arguments)
        if bad:
            self.module.fail_json(msg=f"No kernel argument: {', '.join(bad)}. Correct colocation_node_boot_arguments.")
        noted: dict[str, t.Any] = self.before.section("boot")
        ours: list[str] = noted.get("arguments", [])
        if not self.arguments and not ours and not noted.get("menu_due"):
            del self.before.notes["boot"]
            return
        loader = noted.get("loader") or self.loader
        if loader not in _boot.LOADERS:
            self.module.fail_json(
                msg="It is not known how kernel arguments are set on this distribution. Set them by hand, and leave "
                "colocation_node_boot_arguments empty."
            )
        program = "update-grub" if loader == "grub" else "grubby"
        if not self.module.get_bin_path(program, opt_dirs=["/usr/sbin", "/sbin"]):
            self.module.fail_json(
                msg=f"Kernel arguments are set by {program} here, which is not installed: this node boots otherwise. Set them by "
                "hand, and leave colocation_node_boot_arguments empty."
            )
        if loader == "grub":
            wanted = _boot.grub_text(self.arguments) if self.arguments else None
            if self._file(_boot.GRUB_FILE, wanted):
                noted.update(loader=loader, arguments=self.arguments, menu_due=True)
            if noted.get("menu_due"):  # noted until it is done: the file alone does not show it
                self._do("renewed the boot menu", "", None, None, lambda: self._renew(noted))
            return
        rc, info, err = self.module.run_command(["grubby", "--info=ALL"])
        if rc:
            self.module.fail_json(msg=f"grubby --info=ALL failed: {err.strip() or info.strip()}. No kernel argument was changed.")
        have = _boot.grubby_arguments(info)
        add = [argument for argument in self.arguments if argument not in have]
        drop = [argument for argument in ours if argument not in self.arguments and argument in have]
        for values, how in ((add, "--args"), (drop, "--remove-args")):
            if values:
                answer = " ".join(values)
                self._do(
                    f"{'set' if how == '--args' else 'took out'} the kernel argument(s) {answer}",
                    f"kernel {how}",
                    " ".join(have),
                    answer,
                    lambda h=how, w=answer: self._command(["grubby", "--update-kernel=ALL", f"{h}={w}"]),
                )
        # Those to be taken out are ours until grubby has done it.
        noted.update(loader=loader, arguments=[*(argument for argument in ours if argument in drop or argument in self.arguments), *add])
        if drop:
            kept = [argument for argument in noted["arguments"] if argument not in drop]
            self._do("", "", None, None, lambda: noted.update(arguments=kept))

    def _resctrl(self) -> None:
        on = self.module.params["resctrl"]
        if on and self.booted and not os.path.isdir(_boot.RESCTRL):
            self.module.fail_json(
                msg=f"There is no {_boot.RESCTRL}: this processor or kernel has no resctrl (virtual machines have none). Set "
                "colocation_node_resctrl to false for this host."
            )
        if self._file(_boot.RESCTRL_UNIT, _boot.resctrl_unit() if on else None):
            self.before.note("links", _boot.RESCTRL_LINK, None)
            self._do("" if on else "no longer mounts resctrl", "", None, None, lambda: self._link(on))
        if on and self.booted and not _boot.mounted(_node.read("/proc/mounts") or ""):
            self.before.note("mounts", _boot.RESCTRL, "absent")
            self._do(
                "mounted resctrl",
                f"mount {_boot.RESCTRL}",
                "absent",
                "resctrl",
                lambda: self._command(["mount", "-t", "resctrl", "resctrl", _boot.RESCTRL]),
            )

    @staticmethod
    def _link(on: bool) -> None:
        if os.path.lexists(_boot.RESCTRL_LINK):
            os.unlink(_boot.RESCTRL_LINK)
        if on:
            os.makedirs(os.path.dirname(_boot.RESCTRL_LINK), exist_ok=True)
            os.symlink(_boot.RESCTRL_UNIT, _boot.RESCTRL_LINK)

    def _renew(self, noted: dict[str, t.Any]) -> None:
        self._command(["update-grub"])
        noted.pop("menu_due")

    def _command(self, argv: list[str]) -> None:
        rc, _out, err = self.module.run_command(argv)
        if rc:
            self.module.fail_json(msg=f"{' '.join(argv)} failed: {err.strip()}")

    def reboot_needed(self) -> list[str]:
        return _boot.inactive(_node.read("/proc/cmdline") or "", self.arguments) if self.booted else []

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

    def _file(self, path: str, text: str | None) -> bool:
        have = _node.read(path)
        if have == text:
            return False
        self.before.note("files", path, have)
        if text is None:
            self._do(f"removed {path}", path, have, "absent", lambda: os.unlink(path))
        else:
            self._do(f"wrote {path}", path, have or "absent", text, lambda: _node.write(path, text))
        return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
            "sysctls": {"type": "dict", "default": {}},
            "modules": {"type": "list", "elements": "str", "default": []},
            "boot_arguments": {"type": "list", "elements": "str", "default": []},
            "boot_loader": {"type": "str", "choices": list(_boot.LOADERS)},
            "resctrl": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _node.require_root(module)
    try:
        run = Prepare(module)
        run.plan()
        if not module.check_mode:
            run.apply()
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The node could not be prepared: {e}")
    module.exit_json(
        changed=bool(run.todo),
        done=[what for what, _step in run.todo if what],
        reboot_needed=run.reboot_needed(),
        settings={
            "sysctls": run.sysctls,
            "modules": run.modules,
            "boot_arguments": run.arguments,
            "resctrl": module.params["resctrl"],
        },
        diff={"before": run.diff_before, "after": run.diff_after},
    )


if __name__ == "__main__":
    main()
