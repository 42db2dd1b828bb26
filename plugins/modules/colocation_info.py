#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colocation_info
short_description: Say what every node oversells, and why a node has the number it has
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Asks the colocation manager through the API server's service proxy, as the command C(colocation) does.
  - You need C(get) on C(services/proxy) of the manager, and C(create) on C(serviceaccounts/token) of the ServiceAccount
    C(colocation-reader), whose short-lived token proves to the manager that you may read. The chart's Role
    C(colocation-explain) gives both.
  - Sums are in whole millicores and bytes.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
  - openfuyao.colocation._attributes.k8s
options:
  nodes:
    description:
      - Names of Nodes to explain.
      - Without any only RV(report) is returned.
    type: list
    elements: str
    default: []
  history:
    description:
      - Also return what the manager's Events say of the past of these O(nodes), or of all nodes if there are none.
      - The cluster keeps Events for an hour, unless it was set up otherwise.
      - Needs C(list) on C(events) in the namespace C(default).
    type: bool
    default: false
  namespace:
    description:
      - Namespace of the manager.
    type: str
    default: openfuyao-colocation
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: Ask what the cluster oversells
  openfuyao.colocation.colocation_info:
    kubeconfig: /etc/kubernetes/admin.conf
  register: colocation

- name: Stop if a node that takes part publishes nothing
  ansible.builtin.assert:
    that: colocation.report | rejectattr('withdrawn', 'none') | length == 0
    fail_msg: "{{ colocation.report | rejectattr('withdrawn', 'none') | map(attribute='reason') | join('; ') }}"

- name: Ask why a node has the number it has, and what happened to it within the last hour
  openfuyao.colocation.colocation_info:
    kubeconfig: /etc/kubernetes/admin.conf
    nodes:
      - worker-1
    history: true
  register: why
"""

RETURN = r"""
report:
  description: All nodes that take part or carry oversold resources, by name.
  returned: always
  type: list
  elements: dict
  sample:
    - node: worker-1
      policy: default
      open: true
      withdrawn: null
      cpu:
        capacity: 8000
        published: 3200
explanations:
  description:
    - Node name to the whole sum behind its number, as C(colocation explain -o json) prints it; described by
      C(docs/explain.schema.json).
  returned: always
  type: dict
leader:
  description: Whether the manager that answered is the one that publishes.
  returned: always
  type: bool
history:
  description: What the manager's Events say, oldest first.
  returned: when O(history=true)
  type: list
  elements: dict
  contains:
    node:
      description: Name of the Node.
      type: str
    time:
      description: When it was (RFC 3339).
      type: str
    reason:
      description: V(PublishedDecreased), V(PublishedIncreased), V(Published) or V(Withdrawn).
      type: str
    note:
      description: Both sums with every term, the policy, the age of the report, and the pods that took most.
      type: str
"""

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _manager
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import ApiError, make_module


def gather(api: t.Any, namespace: str, nodes: list[str], history: bool) -> dict[str, t.Any]:
    manager = _manager.Reader(api, namespace)
    result = manager.ask("/v1/report")
    answer: dict[str, t.Any] = {
        "report": result["nodes"],
        "leader": bool(result.get("leader")),
        "explanations": {node: manager.ask(_manager.explain_path(node)) for node in nodes},
    }
    if history:
        answer["history"] = _manager.history(api.list(_manager.EVENTS, "involvedObject.kind=Node"), nodes)
    return answer


def main() -> None:
    module, api = make_module(
        {
            "nodes": {"type": "list", "elements": "str", "default": []},
            "history": {"type": "bool", "default": False},
            "namespace": {"type": "str", "default": NAMESPACE},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        result = gather(api, given["namespace"], given["nodes"], given["history"])
    except (ApiError, _manager.NoAnswer) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
