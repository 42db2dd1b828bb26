#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_config
short_description: NRI and registry mirrors of a node's containerd
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Sets single values of containerd's configuration, of version 2 (containerd 1.x), 3 or 4 (containerd 2.x); all other lines stay as
    they are. Where there is no file, one is made with these values only.
  - What is in force is what C(containerd config dump) says, with every file that the main one imports. A value that an imported file
    overrides is refused, with that file's name, and so is a configuration with which the CRI plugin would not load.
  - Nodes of k3s, rke2 and microk8s, which write this configuration themselves, are named and left as they are.
  - A mirror is a C(hosts.toml), which containerd reads at each pull. It is restarted only if its own configuration had to change,
    and running containers live on.
  - What was there before is kept in the state directory, to the byte. If containerd does not come back, it is put back.
  - The configuration is parsed where ansible runs. The node needs no TOML library.
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
  nri:
    description:
      - Whether NRI is on, by which plugins such as rubik's take part in the life of containers. Needs containerd 1.7. By default it stays
        as it is.
    type: bool
  mirrors:
    description:
      - Registries whose images are to come from elsewhere.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description:
          - Host (and port) as in image names, such as V(docker.io), or V(_default) for all that have no mirror of their own.
        type: str
        required: true
      server:
        description:
          - Where to ask when no mirror has an image. By default the registry itself.
        type: str
      hosts:
        description:
          - The mirrors, tried in this order.
        type: list
        elements: dict
        required: true
        suboptions:
          url:
            description:
              - Its URL.
            type: str
            required: true
          ca:
            description:
              - Path on the node of the certificate authority's certificates.
            type: path
          skip_verify:
            description:
              - Take any certificate.
            type: bool
            default: false
          override_path:
            description:
              - The URL's path is the whole of the API's root, as Harbor's proxy projects need it.
            type: bool
            default: false
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
      - containerd's configuration. By default that of its command line, else C(/etc/containerd/config.toml).
    type: path
  certs_dir:
    description:
      - Where C(hosts.toml) are, if the configuration does not say so.
    type: path
    default: /etc/containerd/certs.d
  restart:
    description:
      - Whether containerd is restarted after a change of its configuration.
    type: bool
    default: true
  settle:
    description:
      - Seconds for which containerd has to be well after the restart.
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
  - module: openfuyao.colocation.node_service
"""

EXAMPLES = r"""
- name: Let NRI plugins in, and take Docker Hub's images from a mirror
  openfuyao.colocation.containerd_config:
    nri: true
    mirrors:
      - registry: docker.io
        server: https://registry-1.docker.io
        hosts:
          - url: https://mirror.example:5000
            ca: /etc/ssl/certs/mirror.pem
"""

RETURN = r"""
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
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _containerd, _layout, _node


def look(module: AnsibleModule) -> dict[str, t.Any]:
    """What there is of containerd, for the action plugin to decide by."""
    given = module.params
    program = _containerd.find(module.run_command, given["config_file"])
    version, dumped, wrong = "", "", ""
    if program.path:
        _rc, out, _err = module.run_command([program.path, "--version"])  # a program that fails says no version
        version = next(iter(re.findall(r"\bv?(\d+\.\d+\.\d+)", out)), "")
        dumped, wrong = _containerd.dump(program, module.run_command)
    section = _node.Before(given["path"]).notes.get("containerd") or {}
    imported = _containerd.imported(program.main, dumped)
    texts = {path: _node.read(path) for path in {program.main, *imported, *section.get("files", {})}}
    set_to = [_containerd.value_of(dumped, ("plugins", cri, "registry", "config_path")) for cri in _containerd.CRI]
    folder = next((path.split(":")[0] for path in set_to if path), given["certs_dir"])
    for mirror in given["mirrors"]:
        path = os.path.join(folder, mirror["registry"], "hosts.toml")
        texts[path] = _node.read(path)
    return {
        "booted": _node.booted(),
        "running": bool(program.argv),
        "layout": _layout.find(),
        "version": version,
        "main": program.main,
        "imported": imported,
        "dump": dumped,
        "dump_error": wrong,
        "certs_dir": folder,
        "texts": texts,
        "section": section,
    }


def main() -> None:
    host = {
        "url": {"type": "str", "required": True},
        "ca": {"type": "path"},
        "skip_verify": {"type": "bool", "default": False},
        "override_path": {"type": "bool", "default": False},
    }
    mirror = {
        "registry": {"type": "str", "required": True},
        "server": {"type": "str"},
        "hosts": {"type": "list", "elements": "dict", "required": True, "options": host},
    }
    module = AnsibleModule(
        argument_spec={
            "nri": {"type": "bool"},
            "mirrors": {"type": "list", "elements": "dict", "default": [], "options": mirror},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config_file": {"type": "path"},
            "certs_dir": {"type": "path", "default": "/etc/containerd/certs.d"},
            "restart": {"type": "bool", "default": True},
            "settle": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 60},
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
        },
        supports_check_mode=True,
    )
    _node.require_root(module)
    try:
        state = look(module)
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The containerd of this node could not be looked at: {e}")
    module.exit_json(changed=False, found=state, asked=module.params)


if __name__ == "__main__":
    main()
