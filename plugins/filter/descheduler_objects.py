# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: descheduler_objects
short_description: Render the objects that run a descheduler which leaves best-effort pods to their own profiles
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - What the role C(colocation_descheduler) applies. Nothing is read from a cluster.
options:
  _input:
    description:
      - The role's variables without their common beginning, such as C(kind), C(image), C(profiles) and C(strategies).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the policy
  ansible.builtin.debug:
    msg: "{{ {'kind': 'CronJob', 'schedule': '*/5 * * * *', 'image': 'r.example/d:0.36', 'namespace': 'kube-system',
      'profiles': ['tidy']} | openfuyao.colocation.descheduler_objects }}"
"""

RETURN = r"""
_value:
  description:
    - C(problems), a sentence for each value that cannot be. C(warnings), one for each way in which the policy would harm best-effort
      pods. C(objects), the manifests, empty if there are problems.
  type: dict
"""

import json
import typing as t

import yaml

from ansible_collections.openfuyao.colocation.plugins.module_utils.descheduler import _objects
from ansible_collections.openfuyao.colocation.plugins.module_utils.neighbours import _descheduler


def descheduler_objects(asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    plain = json.loads(json.dumps(asked, default=str))  # PyYAML writes no types of Ansible's
    wrong = _objects.problems(plain)
    objects = [] if wrong else _objects.objects(plain, yaml.safe_dump)
    policies = [one for one in objects if one["kind"] == "ConfigMap"]
    return {"problems": wrong, "warnings": _descheduler.warnings(policies, yaml.safe_load), "objects": objects}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"descheduler_objects": descheduler_objects}
