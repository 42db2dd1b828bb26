#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_capabilities_info
short_description: Say what a node's kernel and cgroups can do for colocation
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Tries on the node itself, in a control group of its own that is removed again, which of the knobs work that keep
    best-effort work out of the way of online work. The kernel's version is not asked; vendor kernels differ.
  - In check mode no group is made and nothing is written; a knob whose file is there then counts as one that works.
  - Also returns the few facts that a rollout needs of a node, so that no fact gathering is needed.
  - Needs nothing on the node but Python's standard library; needs root.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
options:
  memory_needed:
    description:
      - Bytes of memory below which RV(problems) says so.
    type: int
    default: 0
  disk_needed:
    description:
      - Free bytes below which RV(problems) says so.
    type: int
    default: 0
  sysctls:
    description:
      - Names of kernel parameters that are going to be set; RV(problems) says which of them this kernel does not have.
      - A node that is not booted, such as an image that is built, is not asked.
    type: list
    elements: str
    default: []
  modules:
    description:
      - Kernel modules that are going to be loaded. While one of them is not, no parameter is called unknown, since the
        module may bring it.
    type: list
    elements: str
    default: []
  path:
    description:
      - Where free disk space is measured.
    type: path
    default: /var/lib/openfuyao-colocation
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: What can these nodes do?
  openfuyao.colocation.node_capabilities_info:
  register: node

- name: Show the features that are missing
  ansible.builtin.debug:
    msg: "{{ node.features | dict2items | rejectattr('value.available') | map(attribute='key') }}"
"""

RETURN = r"""
kernel:
  description: The kernel's release.
  returned: always
  type: str
  sample: 6.1.0-37-amd64
arch:
  description: The machine's architecture as the kernel calls it.
  returned: always
  type: str
  sample: x86_64
cgroup_version:
  description: V(1), V(2), or V(0) where there are no cgroups.
  returned: always
  type: int
cgroup_driver:
  description: Kubelet's cgroup driver, V(cgroupfs) or V(systemd); empty where there is no kubelet tree yet.
  returned: always
  type: str
pods:
  description: Number of pods' control groups in kubelet's tree.
  returned: always
  type: int
pods_with_containers:
  description:
    - How many of RV(pods) hold a container. None of several means that kubelet and the container runtime use different
      cgroup drivers, and RV(problems) says so.
  returned: always
  type: int
controllers:
  description: The cgroup controllers that are there.
  returned: always
  type: list
  elements: str
features:
  description: Name of a feature to whether it works, and what was seen.
  returned: always
  type: dict
  sample:
    cpu.idle:
      available: true
      reason: cpu.idle written and read back
services_of_ours:
  description: Services whose configuration this collection has changed, V(containerd) and V(kubelet).
  returned: always
  type: list
  elements: str
problems:
  description: Why the node cannot take part, a clause each; empty when it can.
  returned: always
  type: list
  elements: str
system:
  description: The operating system's name as the kernel says it.
  returned: always
  type: str
  sample: Linux
os:
  description: C(id), C(version) and C(name) of the distribution.
  returned: always
  type: dict
hostname:
  description: The node's own name for itself.
  returned: always
  type: str
machine_id:
  description: The machine's C(/etc/machine-id), which its kubelet reports too; empty where there is none.
  returned: always
  type: str
boot_id:
  description: The kernel's id of this boot, which kubelet reports too.
  returned: always
  type: str
addresses:
  description: IP addresses of the node, without loopback and link-local ones.
  returned: always
  type: list
  elements: str
memory_bytes:
  description: Memory of the node.
  returned: always
  type: int
disk_free_bytes:
  description: Free space at O(path).
  returned: always
  type: int
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node, _probe, _service


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "memory_needed": {"type": "int", "default": 0},
            "disk_needed": {"type": "int", "default": 0},
            "sysctls": {"type": "list", "elements": "str", "default": []},
            "modules": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
        },
        supports_check_mode=True,
    )
    result = _probe.probe(try_writes=not module.check_mode)
    names = os.uname()
    result.update(
        system=names.sysname,
        hostname=names.nodename,
        machine_id=_node.machine_id(),
        boot_id=(_node.read("/proc/sys/kernel/random/boot_id") or "").strip(),
        os=_node.os_release(_node.read("/etc/os-release")),
        addresses=_node.local_ipv4(_node.read("/proc/net/fib_trie"))
        + _node.local_ipv6(_node.read("/proc/net/if_inet6")),
        memory_bytes=_node.meminfo(_node.read("/proc/meminfo")).get("MemTotal", 0),
        disk_free_bytes=_node.free_bytes(module.params["path"]),
    )
    if os.geteuid() == 0:
        given = module.params
        result["problems"] = _node.capability_problems(result, given["memory_needed"], given["disk_needed"])
    else:
        result["problems"] = [_node.NEEDS_ROOT]
    if _node.booted():
        unknown = _node.unknown_sysctls(module.params["sysctls"], module.params["modules"])
        result["problems"] += [f"its kernel has no parameter {name}: correct colocation_node_sysctls" for name in unknown]
    try:
        result["services_of_ours"] = _service.noted(_node.Before(module.params["path"]).notes)
    except (OSError, ValueError) as e:
        result["services_of_ours"] = []
        result["problems"].append(f"what was there before cannot be read: {e}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
