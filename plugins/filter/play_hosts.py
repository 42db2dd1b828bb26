# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: play_hosts
short_description: A group as the hosts of a play, or an error if it has none
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - A play whose hosts match nothing is skipped, and ansible-playbook ends as if all was well. With a misspelt group nothing is done,
    and nothing says so.
positional: groups, limit
options:
  _input:
    description:
      - Name of the group.
    type: str
    required: true
  groups:
    description:
      - The groups of the inventory.
    type: dict
    required: true
  limit:
    description:
      - What C(--limit) says, empty for nothing.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Prepare the nodes
  hosts: "{{ 'colocation_nodes' | openfuyao.colocation.play_hosts(groups, ansible_limit | default('')) }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The name of the group.
  type: str
"""

import difflib
import typing as t

from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

BUILT_IN = ("all", "ungrouped")
ONLY_READ = ("syntax", "listhosts", "listtasks", "listtags")
"""Options with which ansible-playbook runs nothing, and needs no inventory."""


def play_hosts(group: str, groups: t.Mapping[str, t.Sequence[str]], limit: str = "") -> str:
    if any(context.CLIARGS.get(option) for option in ONLY_READ):
        return group
    if not groups.get(group):
        others = sorted(set(groups) - {*BUILT_IN, group})
        near = difflib.get_close_matches(group, others, 1, 0.6)
        hint = f" Did you mean {group} where it says {near[0]}?" if near else ""
        raise AnsibleFilterError(
            f"The inventory has no host in a group {group} (its groups: {', '.join(others) or 'none'}).{hint} Nothing was changed."
        )
    if limit and not _within(group, groups, limit):
        raise AnsibleFilterError(f"--limit {limit} leaves no host of the group {group}. Nothing was changed.")
    return group


def _within(group: str, groups: t.Mapping[str, t.Sequence[str]], limit: str) -> bool:
    """Whether a limit, in all its forms, leaves a host of the group."""
    manager = InventoryManager(DataLoader(), parse=False)
    for name, hosts in groups.items():
        manager.add_group(name)
        for host in hosts:
            manager.add_host(host, group=name)
    manager.subset(limit)
    return bool(manager.get_hosts(group))


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"play_hosts": play_hosts}
