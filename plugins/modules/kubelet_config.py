#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_config
short_description: Settings of a node's kubelet, merged into what it has, and taken out again
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Where kubelet was started with C(--config-dir) the settings are a drop-in file there. Elsewhere they are merged into the file
    of C(--config); lines that say something else stay as they are, comments included.
  - What was there before is kept in the state directory. O(state=absent) restores it, byte for byte unless something else changed the
    file since, else setting by setting.
  - Kubelet is restarted, and has to be well for O(settle) seconds. If it is not, the configuration of before is put back.
  - A checkpoint of the CPU or memory manager that would keep kubelet from starting with the new policy is removed while it is stopped.
  - Where kubeadm wrote the file, the settings are a patch of kubeadm too, in C(/etc/kubernetes/patches); give that directory to
    C(kubeadm upgrade node --patches), which rewrites the file.
  - Nodes of k3s, rke2 and microk8s are named and left as they are.
  - What a command line flag says otherwise is refused, since flags win over files.
  - The configuration is parsed where ansible runs. The node needs no PyYAML.
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
  config:
    description:
      - Fields of C(KubeletConfiguration), such as C(systemReserved). Maps are merged, anything else is replaced, and V(null) takes a
        field out, except in a drop-in, which cannot.
      - Fields that an earlier run set and that are not here any more are as before that run.
    type: dict
    default: {}
  state:
    description:
      - V(absent) takes out everything that this module did.
    type: str
    choices:
      - present
      - absent
    default: present
  config_file:
    description:
      - The file of C(--config). Needed only where no kubelet runs, such as in an image that is being built.
    type: path
  restart:
    description:
      - Whether kubelet is restarted after a change.
    type: bool
    default: true
  settle:
    description:
      - Seconds for which kubelet has to be well after the restart.
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
  - module: openfuyao.colocation.node_wait
  - module: openfuyao.colocation.node_service
"""

EXAMPLES = r"""
- name: Exclusive cores for HLS pods
  openfuyao.colocation.kubelet_config:
    config:
      cpuManagerPolicy: static
      reservedSystemCPUs: 0-1

- name: As it was
  openfuyao.colocation.kubelet_config:
    state: absent
"""

RETURN = r"""
method:
  description: V(drop-in) or V(merge), by what this kubelet can do.
  returned: success
  type: str
kubeadm_patches:
  description:
    - The directory to be given to C(kubeadm upgrade node --patches), which otherwise writes kubelet's configuration without these settings.
      Empty where kubeadm does not write it.
  returned: success
  type: str
done:
  description: What was changed, or would be in check mode, a clause each.
  returned: success
  type: list
  elements: str
files:
  description: The files that were changed, or would be in check mode. M(openfuyao.colocation.node_service) with C(undo=true) puts them back.
  returned: success
  type: list
  elements: str
found:
  description: What was found on the node, without the texts of its files.
  returned: when there is nothing to do
  type: dict
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _kubelet, _layout, _node, _service


def look(path: str, config_file: str | None, unit: _service.Unit, proc: str = "/proc") -> dict[str, t.Any]:
    """What there is of a kubelet, for the action plugin to decide by."""
    argv: list[str] = []
    pid = unit.show("MainPID").get("MainPID", "0") if _node.booted() else "0"
    if pid != "0":
        argv = (_node.read(f"{proc}/{pid}/cmdline") or "").rstrip("\0").split("\0")
    section = _node.Before(path).notes.get("kubelet") or {}
    flags = _kubelet.flags(argv)
    main = config_file or flags.get("config") or section.get("main") or _kubelet.DEFAULT_CONFIG
    folder = _kubelet.uses_drop_in(flags)
    root = flags.get("root-dir", _kubelet.DEFAULT_ROOT)
    drop_ins = sorted(n for n in os.listdir(folder) if n.endswith(".conf")) if os.path.isdir(folder) else []
    layout = _layout.find()
    patches = [_kubelet.KUBEADM_PATCH] if layout == _layout.KUBEADM else []
    paths = {main, *patches, *section.get("files", {}), *(os.path.join(folder, name) for name in drop_ins)}
    return {
        "booted": _node.booted(),
        "running": bool(argv),
        "layout": layout,
        "flags": flags,
        "main": main,
        "drop_in_folder": folder,
        "drop_ins": drop_ins,
        "root": root,
        "texts": {file: _node.read(file) for file in sorted(paths)},
        "states": {name: _node.read(os.path.join(root, name)) for name in _kubelet.STATES},
        "section": section,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "config": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config_file": {"type": "path"},
            "restart": {"type": "bool", "default": True},
            "settle": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 60},
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
        },
        supports_check_mode=True,
    )
    _node.require_root(module)
    try:
        unit = _service.Unit("kubelet", module.run_command)
        state = look(module.params["path"], module.params["config_file"], unit)
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The kubelet of this node could not be looked at: {e}")
    module.exit_json(changed=False, found=state, asked=module.params)


if __name__ == "__main__":
    main()
