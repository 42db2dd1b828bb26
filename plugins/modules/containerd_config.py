#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_config
short_description: NRI and registry mirrors of a node's containerd
version_added: 0.2.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Sets single values of containerd's configuration, of version 2 (containerd 1.x) or 3 (containerd 2.x); all other lines stay as they
    are. Where there is no file, one is made with these values only.
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
          - Host (and port) as it stands in image names, such as V(docker.io), or V(_default) for all that have no mirror of their own.
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
previous:
  description: Path to text of the files before this task, for M(openfuyao.colocation.node_service) to undo it.
  returned: success
  type: dict
found:
  description: What was found on the node.
  returned: when there is nothing to do
  type: dict
"""

import os
import re
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _kubelet, _node, _service

DEFAULT_CONFIG = "/etc/containerd/config.toml"
PLACES = f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin"


def look(module: AnsibleModule) -> dict[str, t.Any]:
    """What there is of containerd, for the action plugin to decide by."""
    given = module.params
    unit = _service.Unit("containerd", module.run_command)
    pid = unit.show("MainPID").get("MainPID", "0") if _node.booted() else "0"
    argv = (_node.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0") if pid != "0" else []
    program = argv[0] if argv and os.path.isabs(argv[0]) else shutil.which("containerd", path=PLACES)
    version = ""
    if program:
        _rc, out, _err = module.run_command([program, "--version"])
        version = next(iter(re.findall(r"\bv?(\d+\.\d+\.\d+)", out)), "")
    section = _node.Before(given["path"]).notes.get("containerd") or {}
    flags = _kubelet.flags(argv)
    main = given["config_file"] or flags.get("config") or flags.get("c") or DEFAULT_CONFIG
    texts = {one: _node.read(one) for one in {main, *section.get("files", {})}}
    folder = _certs_dir(texts[main] or "") or given["certs_dir"]
    for mirror in given["mirrors"]:
        one = os.path.join(folder, mirror["registry"], "hosts.toml")
        texts[one] = _node.read(one)
    return {
        "booted": _node.booted(),
        "running": bool(argv),
        "version": version,
        "main": main,
        "certs_dir": folder,
        "texts": texts,
        "section": section,
    }


def _certs_dir(text: str) -> str:
    """The first directory of config_path, wherever it stands: only to know what else to read."""
    found = re.search(r"^\s*config_path\s*=\s*[\"']([^\"':]+)", text, re.MULTILINE)
    return found.group(1) if found else ""


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
        found = look(module)
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The containerd of this node could not be looked at: {e}")
    module.exit_json(changed=False, found=found, asked=module.params)


if __name__ == "__main__":
    main()
