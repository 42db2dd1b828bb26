#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy
short_description: Make, change or remove a ColocationPolicy
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - A task says the whole policy. What it leaves out has its default, also where the cluster has something else.
  - What contradicts itself is refused by the API server, in check mode too, and nothing is changed.
  - The playbooks of this collection make the policies in C(colocation_policies), and remove those of theirs that are not in it.
    Policies of this module carry no mark of theirs, and are left alone.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._policy
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the ColocationPolicy.
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a policy. Nodes of a policy that goes follow the next one that selects them, or leave.
    type: str
    choices:
      - present
      - absent
    default: present
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.colocation_info
"""

EXAMPLES = r"""
- name: Publish more of the batch pool's nodes, in steps
  openfuyao.colocation.policy:
    kubeconfig: /etc/kubernetes/admin.conf
    name: batch
    priority: 10
    node_selector:
      match_labels:
        pool: batch
    oversell:
      cpu:
        reclaim_percent: 75
    rollout:
      percent: 10

- name: Remove it
  openfuyao.colocation.policy:
    kubeconfig: /etc/kubernetes/admin.conf
    name: batch
    state: absent
"""

RETURN = r"""
policy:
  description: The policy as it is now, or would be; its fields as the options of this module.
  returned: when O(state=present)
  type: dict
  sample:
    enabled: true
    priority: 10
changes:
  description: What was changed, or would be in check mode, a clause each.
  returned: success
  type: list
  elements: str
  sample:
    - "oversell.cpu.reclaimPercent: 60 -> 75"
"""

import typing as t
from urllib.parse import quote

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, API_VERSION
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.policy import _policy
from ansible_collections.openfuyao.colocation.plugins.module_utils.policy._fields import FIELDS

POLICIES = f"/apis/{API_GROUP}/{API_VERSION}/colocationpolicies"


def present(api: t.Any, name: str, spec: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    path = f"{POLICIES}/{quote(name, safe='')}"
    have = api.get(path)
    wanted = {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "ColocationPolicy",
        # the version that was looked at: somebody else's change in between is a conflict, not lost
        "metadata": {**have["metadata"], "managedFields": None} if have else {"name": name},
        "spec": spec,
    }
    method, where = ("PUT", path) if have else ("POST", POLICIES)
    # What the server makes of it, with defaults and rules that only it knows: compared with what is there.
    tried = api.request(method, where, wanted, dry_run="All")["spec"]
    before = have["spec"] if have else {}
    answer = _policy.changes(before, tried)
    if (answer or not have) and not check_mode:
        tried = api.request(method, where, wanted)["spec"]
    return {
        "changed": bool(answer) or not have,
        "changes": answer if have else [f"made {name}"],
        "policy": _policy.from_api(tried),
        "diff": {"before": before, "after": tried},
    }


def absent(api: t.Any, name: str, check_mode: bool) -> dict[str, t.Any]:
    path = f"{POLICIES}/{quote(name, safe='')}"
    have = api.get(path)
    if have and not check_mode:
        api.request("DELETE", path)
    return {
        "changed": bool(have),
        "changes": [f"removed {name}"] if have else [],
        "diff": {"before": have["spec"] if have else {}, "after": {}},
    }


def remedy(error: ApiError, name: str) -> str:
    if error.status == 404:
        return "This cluster knows no ColocationPolicy: the chart is not installed. The playbook site does that."
    if error.status in (400, 422):
        return f"ColocationPolicy {name} is refused: {error.message}. Nothing was changed; correct the field that is named."
    if error.status == 409:
        return f"ColocationPolicy {name} was changed by somebody else in this very moment. Nothing was changed; run this again."
    if error.status == 403:
        return f"Not allowed to change ColocationPolicy {name}: {error.message}"
    return str(error)


def main() -> None:
    module, api = make_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **FIELDS,
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    try:
        if module.params["state"] == "present":
            result = present(api, name, _policy.to_api(module.params), module.check_mode)
        else:
            result = absent(api, name, module.check_mode)
    except ApiError as e:
        module.fail_json(msg=remedy(e, name))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
