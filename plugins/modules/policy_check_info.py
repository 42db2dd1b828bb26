#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_check_info
short_description: Say whether a cluster would take ColocationPolicies, before their kind is there
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Has the API server judge policies by schema and rules of a chart that may not be installed yet. It is a dry run, nothing
    is kept.
  - Every reason against a policy is a sentence in RV(problems) that names policy and field.
  - Needs C(create) on C(customresourcedefinitions), as installing the chart does.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
  - openfuyao.colocation._attributes.k8s
options:
  crd:
    description:
      - The chart's CustomResourceDefinition of ColocationPolicy.
    type: dict
    required: true
  policies:
    description:
      - The policies, as in the variable C(colocation_policies).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the ColocationPolicy.
        type: str
        required: true
      spec:
        description:
          - Its spec.
        type: dict
        default: {}
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: Would the cluster take this policy?
  openfuyao.colocation.policy_check_info:
    kubeconfig: /etc/kubernetes/admin.conf
    crd: "{{ lookup('ansible.builtin.file', 'colocationpolicies.yaml') | from_yaml }}"
    policies:
      - name: batch
        spec:
          oversell:
            cpu:
              reclaimPercent: 140
  register: check

- name: Say what speaks against it
  ansible.builtin.debug:
    var: check.problems
"""

RETURN = r"""
problems:
  description: What speaks against the policies, a sentence each; empty if nothing does.
  returned: always
  type: list
  elements: str
  sample:
    - "Policy batch: spec.oversell.cpu.reclaimPercent: Invalid value: 140: should be less than or equal to 100"
"""

import json
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.policy import _trial

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def problems(api: Api, crd: dict[str, t.Any], policies: list[dict[str, t.Any]]) -> list[str]:
    answer = _trial.named(policies)
    schema = _trial.schema_of(crd)
    for policy in policies:
        spec = policy["spec"]
        # The server would drop these without a word.
        clauses = _trial.unknown(schema, spec) or refused(api, _trial.trial(crd, spec))
        answer += [f"Policy {policy['name']}: {clause}" for clause in clauses]
    return answer


def refused(api: Api, crd: dict[str, t.Any]) -> list[str]:
    try:
        api.request("POST", PATH, crd, dry_run="All")
    except ApiError as e:
        if e.status != 422:
            raise
        try:
            status = json.loads(getattr(e.__cause__, "body", None) or "{}")
        except ValueError:
            status = {}
        return _trial.refusals(status, e.message)
    return []


def main() -> None:
    policy = {"name": {"type": "str", "required": True}, "spec": {"type": "dict", "default": {}}}
    module, api = make_module(
        {
            "crd": {"type": "dict", "required": True},
            "policies": {"type": "list", "elements": "dict", "options": policy, "required": True},
        },
        supports_check_mode=True,
    )
    try:
        result = problems(api, module.params["crd"], module.params["policies"])
    except (ApiError, ValueError) as e:
        module.fail_json(msg=f"The policies could not be judged: {e}")
    module.exit_json(changed=False, problems=result)


if __name__ == "__main__":
    main()
