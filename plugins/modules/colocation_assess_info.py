#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colocation_assess_info
short_description: Say what colocation would bring on a cluster, and which policies to use
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Runs the command C(colocation assess), which replays the use of the last days from the cluster's Prometheus. Nothing has to be
    installed in the cluster, and nothing is written to it.
  - The command is installed by C(pip install 'colocation[assess]'), where this module runs. The collection does not bring it.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
options:
  command:
    description:
      - The installed command, by name or path.
    type: path
    default: colocation
  kubeconfig:
    description:
      - Path of a kubeconfig. By default the command's own default is used.
    type: path
  context:
    description:
      - Context of the kubeconfig.
    type: str
  prometheus:
    description:
      - URL of Prometheus, or of what speaks its API. By default it is looked for through the API server.
    type: str
  prometheus_token_file:
    description:
      - File with a bearer token for O(prometheus).
    type: path
  prometheus_ca:
    description:
      - File with certificates to trust for O(prometheus).
    type: path
  trace:
    description:
      - A file that C(colocation assess --record) wrote. No cluster is asked then.
    type: path
  days:
    description:
      - How far to look back.
    type: float
    default: 14
  risk:
    description:
      - Share of node-time in which an hour's peak may exceed the forecast, from V(0.1%) to V(20%).
    type: str
    default: 1%
  pool_label:
    description:
      - Node label that names pools. By default those of the usual providers are tried.
    type: str
  html:
    description:
      - File to write a page with plots to. Its folder must exist.
    type: path
  language:
    description:
      - Language of the page.
    type: str
    choices:
      - en
      - zh
    default: en
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.policy
  - module: openfuyao.colocation.colocation_info
"""

EXAMPLES = r"""
- name: Ask what colocation would bring
  openfuyao.colocation.colocation_assess_info:
    kubeconfig: /etc/kubernetes/admin.conf
    risk: 0.5%
  register: assessed
  delegate_to: localhost

- name: Use the policies that it recommends
  ansible.builtin.set_fact:
    colocation_policies: "{{ assessed.policies }}"
"""

RETURN = r"""
assessment:
  description: What C(colocation assess -o json) prints.
  returned: success
  type: dict
policies:
  description: The recommended policies, one for each node pool, as the variable C(colocation_policies) takes them.
  returned: success
  type: list
  elements: dict
  sample:
    - name: default
      spec:
        oversell:
          cpu: {strategy: predicted, reclaimPercent: 65, violationBudget: 1%}
          memory: {strategy: predicted, reclaimPercent: 80, violationBudget: 0.5%}
"""

import json
import typing as t

from ansible.module_utils.basic import AnsibleModule

SPEC: dict[str, dict[str, t.Any]] = {
    "command": {"type": "path", "default": "colocation"},
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "prometheus": {"type": "str"},
    "prometheus_token_file": {"type": "path", "no_log": False},
    "prometheus_ca": {"type": "path"},
    "trace": {"type": "path"},
    "days": {"type": "float", "default": 14},
    "risk": {"type": "str", "default": "1%"},
    "pool_label": {"type": "str"},
    "html": {"type": "path"},
    "language": {"type": "str", "choices": ["en", "zh"], "default": "en"},
}
FLAGS = {"language": "lang"}


def arguments(params: dict[str, t.Any]) -> list[str]:
    """The command line, without the command."""
    given = {name: params[name] for name in SPEC if name != "command" and params[name] is not None}
    return ["assess", "-o", "json"] + [
        "--%s=%s" % (FLAGS.get(name, name).replace("_", "-"), value) for name, value in given.items()
    ]


def policies(assessment: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """As the collection's variable takes them."""
    return [{"name": pool["policy"]["metadata"]["name"], "spec": pool["policy"]["spec"]} for pool in assessment["pools"]]


def missing(command: str) -> str:
    return (
        f"There is no command {command} here. Install it with: pip install 'colocation[assess]'; or say where it is with "
        "the variable colocation_command."
    )


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    command = module.params["command"]
    path = module.get_bin_path(command) if "/" not in command else command
    if path is None:
        module.fail_json(msg=missing(command))
    try:
        code, out, err = module.run_command([path, *arguments(module.params)], handle_exceptions=False)
    except OSError:
        module.fail_json(msg=missing(command))
    if code != 0:
        module.fail_json(msg=f"colocation assess failed: {err.strip() or out.strip()}")
    try:
        assessment = json.loads(out)
        found = policies(assessment)
    except (ValueError, KeyError, TypeError) as e:
        module.fail_json(msg=f"What {path} printed is no assessment: {e}")
    module.exit_json(changed=False, assessment=assessment, policies=found)


if __name__ == "__main__":
    main()
