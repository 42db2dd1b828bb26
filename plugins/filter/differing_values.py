# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: differing_values
short_description: Say of which variables two hosts have different values
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - For variables that a play's keywords go by, such as C(serial), which have one value for all hosts of the play.
positional: host, first
options:
  _input:
    description:
      - Name to the value at the one host and that at the other.
    type: dict
    required: true
  host:
    description:
      - Name of the one host.
    type: str
    required: true
  first:
    description:
      - Name of the other.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Stop if two hosts disagree
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems }}"
  vars:
    problems: "{{ {'colocation_waves': [[1, 2], none]} | openfuyao.colocation.differing_values('node-b', 'node-a') }}"
"""

RETURN = r"""
_value:
  description: A sentence for each variable.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils import _values


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"differing_values": _values.differing}
