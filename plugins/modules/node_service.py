#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_service
short_description: Change files of kubelet or containerd, restart it, and put them back if it does not come back
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - What was there before is written down in the state directory before anything is changed, to the byte.
  - After the restart the service is watched. If it does not come back, the files are put back, it is restarted with them, and the
    task fails with the end of its log.
  - Passwords in the files (registries, HTTP headers) are masked in everything that is returned, logged or shown as a difference.
  - A change that was cut off in the middle (power, ssh) is noted as pending; the next run restarts and watches again.
  - This is what M(openfuyao.colocation.kubelet_config) and M(openfuyao.colocation.containerd_config) change a node by.
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
  service:
    description:
      - The service.
    type: str
    choices:
      - containerd
      - kubelet
    required: true
  files:
    description:
      - Path to the whole text that it is to have; V(null) removes the file. Mode and owner of a file that is there are kept.
    type: dict
    default: {}
  config_file:
    description:
      - The main file of containerd. By default that of its command line.
    type: path
  stale:
    description:
      - Files to remove while the service is stopped, such as a checkpoint of another policy.
    type: list
    elements: path
    default: []
  restart:
    description:
      - Whether the files mean anything to the service before it is restarted. Never done on a machine that is not booted.
    type: bool
    default: true
  in_force:
    description:
      - Values that have to be in what C(containerd config dump) says after the change, each with its O(in_force[].path). If one is not,
        or containerd cannot read the files, or they keep its CRI plugin from loading, the files are put back and nothing is restarted.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - The names of the tables, and that of the value.
        type: list
        elements: str
        required: true
      value:
        description:
          - The value as it is written there, without quotes.
        type: str
        required: true
  undo:
    description:
      - Put the files back that the last task with this service changed, instead of O(files).
    type: bool
    default: false
  forget:
    description:
      - What is written is no longer ours, even where it is not what was there before us, since others changed it too.
    type: bool
    default: false
  health_url:
    description:
      - Where the service says how it is. Without one only its process is watched, and containerd's plugins.
    type: str
    default: ""
  settle:
    description:
      - Seconds for which the same process has to be well.
    type: int
    default: 5
  timeout:
    description:
      - Seconds until it has to be.
    type: int
    default: 60
  path:
    description:
      - The state directory.
    type: path
    default: /var/lib/openfuyao-colocation
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.node_restore
"""

EXAMPLES = r"""
- name: Put a kubelet's configuration back by hand
  openfuyao.colocation.node_service:
    service: kubelet
    undo: true
"""

RETURN = r"""
done:
  description: What was changed, or would be in check mode, a clause each.
  returned: always
  type: list
  elements: str
files:
  description: The files that were changed, or would be in check mode. O(undo=true) puts them back.
  returned: always
  type: list
  elements: str
restarted:
  description: Whether the service was restarted.
  returned: always
  type: bool
put_back:
  description: Whether the files of before were put back, since the service did not come back with the new ones.
  returned: always
  type: bool
"""

import copy
import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _containerd, _node, _secrets, _service


class NodeService:
    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.given = module, module.params
        self.name: str = self.given["service"]
        self.before = _node.Before(self.given["path"])
        self.section = self.before.section(self.name)
        self.wanted: _service.Texts = self.section.get("last") or {} if self.given["undo"] else self.given["files"]
        self.now: _service.Texts = {path: _node.read(path) for path in self.wanted}
        # The texts as a whole are in no log of this node; of what is returned only the passwords are taken out.
        module.no_log_values = {secret for text in [*self.wanted.values(), *self.now.values()] for secret in _secrets.secrets(text)}
        self.changed = [path for path, text in self.wanted.items() if self.now[path] != text]
        self.unproved = _service.put_back(self.section)
        self.stale = [path for path in self.given["stale"] if os.path.exists(path)]
        self.restart = self.given["restart"] and _node.booted() and bool(self.changed or self.unproved or self.stale)
        ask = self._plugins if self.name == "containerd" else None
        self.unit = _service.Unit(self.name, self._run, self.given["health_url"], ask)
        self.result: dict[str, t.Any] = {
            "changed": bool(self.changed or self.unproved or self.stale),
            "done": self._told(),
            "files": self.changed,
            "restarted": False,
            "put_back": False,
            "diff": [
                {"before_header": p, "after_header": p, "before": self.now[p] or "", "after": self.wanted[p] or ""}
                for p in self.changed
            ],
        }

    def apply(self) -> None:
        if not self.result["changed"] and not (self.given["forget"] and self.section.get("files")):
            return
        noted = copy.deepcopy(self.section)
        _service.begin(self.section, {path: self.now[path] for path in self.changed})
        self.before.save()
        wrong = self._write(self.wanted)
        if wrong:
            _service.write_all(self.section, {path: self.now[path] for path in self.changed})
            self.before.notes[self.name] = noted
            self.before.save()
            self.result.update(changed=False, done=[], files=[], diff=[])
            self.module.fail_json(
                msg=f"{self.name} was not restarted with the new configuration: {wrong}. The files were put back; correct what was asked "
                "for, or the file that says otherwise, and run this again.",
                **self.result,
            )
        wrong = self._start(self.given["stale"])
        if wrong:
            self._put_back(wrong)
        _service.proved(self.section, {path: _node.read(path) for path in self._ours()}, self.given["forget"])
        if not any(self.section.get(secret) for secret in ("files", "made", "last")):
            self.before.notes.pop(self.name)
        self.before.save()

    def _ours(self) -> t.Iterable[str]:
        return {*self.section.get("files", {}), *self.wanted}

    def _write(self, texts: _service.Texts) -> str:
        """Write; why a restart with these files would not do what it is for, or nothing."""
        try:
            _service.write_all(self.section, texts)
        except OSError:
            # Nothing was restarted yet: with the files as they were, all is as it was.
            _service.write_all(self.section, {path: self.now[path] for path in self.changed})
            raise
        self.before.save()
        if not self.restart or self.name != "containerd":
            return ""
        program = _containerd.find(self._run, self.given["config_file"])
        if not program.path:
            return ""
        return _containerd.foreseen(*_containerd.dump(program, self._run), self.given["in_force"])

    def _start(self, stale: list[str]) -> str:
        """Restart, where that is asked for; what is wrong then, or nothing."""
        if not self.restart:
            return ""
        self.result["restarted"] = True
        there = [path for path in stale if os.path.exists(path)]
        return self.unit.start_anew(there) or self.unit.watch(self.given["settle"], self.given["timeout"])

    def _put_back(self, wrong: str) -> None:
        declared = self.unit.last_words()
        _service.write_all(self.section, _service.put_back(self.section))
        again = self._start(self.given["stale"])
        self.result.update(put_back=True, changed=True)
        if not again:
            _service.proved(self.section, {path: _node.read(path) for path in self._ours()})
        self.before.save()
        end = (
            f"It does not start with the old configuration either: {again}. Read `journalctl -u {self.name}` on this node, fix it, "
            "and run this again; what was there before is kept in " + self.before.path
            if again
            else "It runs with that. Correct what was asked for, and run this again"
        )
        self.module.fail_json(
            msg=f"{self.name} did not come back with the new configuration within {self.given['timeout']} s: {wrong}. Its log says: "
            f"{declared or 'nothing'}. The configuration of before was put back. {end}.",
            **self.result,
        )

    def _told(self) -> list[str]:
        answer = [f"{'removed' if self.wanted[p] is None else 'wrote'} {p}" for p in self.changed]
        answer += [f"removed {path}, which {self.name} creates again" for path in self.stale]
        return answer + ([f"restarted {self.name}"] if self.restart else [])

    def _plugins(self) -> str:
        ctr = shutil.which("ctr", path=f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin")
        if not ctr:
            return ""  # some packages leave it out: then its process has to do
        _rc, out, _err = self._run([ctr, "plugins", "ls"])
        return _service.plugin_errors(out)

    def _run(self, argv: list[str]) -> tuple[int, str, str]:
        rc, out, err = self.module.run_command(argv)
        return rc, out, err


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "choices": list(_service.SERVICES), "required": True},
            "files": {"type": "dict", "default": {}, "no_log": True},
            "config_file": {"type": "path"},
            "in_force": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "list", "elements": "str", "required": True},
                    "value": {"type": "str", "required": True},
                },
            },
            "undo": {"type": "bool", "default": False},
            "stale": {"type": "list", "elements": "path", "default": []},
            "restart": {"type": "bool", "default": True},
            "forget": {"type": "bool", "default": False},
            "health_url": {"type": "str", "default": ""},
            "settle": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 60},
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
        },
        supports_check_mode=True,
    )
    _node.require_root(module)
    try:
        run = NodeService(module)
        if not module.check_mode:
            run.apply()
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The files of {module.params['service']} could not be changed: {e}. Run this again when that is fixed.")
    module.exit_json(**run.result)


if __name__ == "__main__":
    main()
