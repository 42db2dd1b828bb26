# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup
short_description: Read a backup, and check that it is whole
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Fails, in a sentence, for what is no backup, is damaged, or was made by a later collection.
options:
  _input:
    description:
      - The text of the file that M(openfuyao.colocation.backup_info) made.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say which policies a backup has
  ansible.builtin.debug:
    msg: "{{ (lookup('ansible.builtin.file', 'colocation-latest.json') | openfuyao.colocation.backup).policies }}"
"""

RETURN = r"""
_value:
  description: The backup.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _backup


def backup(text: str) -> dict[str, t.Any]:
    try:
        return _backup.opened(text)
    except _backup.Unusable as e:
        raise AnsibleFilterError(str(e)) from e


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"backup": backup}
