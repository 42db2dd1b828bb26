# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: value_problems
short_description: Say which variables of the roles have values that cannot be
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Ranges, and values that contradict each other, of which argument specs say nothing. Wrong types are left to those.
options:
  _input:
    description:
      - Name to value. Names that are not the roles' are ignored.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Stop at a value that cannot be
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems }}"
  vars:
    problems: "{{ {'colocation_health_pressure_rise': 300} | openfuyao.colocation.value_problems }}"
"""

RETURN = r"""
_value:
  description: A sentence for each value that cannot be.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils import _values


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"value_problems": _values.problems}
