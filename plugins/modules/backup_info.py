#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Say what a cluster's colocation was made from, as one document
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Policies, chart values, and which nodes take part with which settings. All of it is in the cluster, so any control
    machine can make a backup.
  - The same colocation gives the same bytes.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
  - openfuyao.colocation._attributes.k8s
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.colocation_info
"""

EXAMPLES = r"""
- name: Read what there is
  openfuyao.colocation.backup_info:
    kubeconfig: /etc/kubernetes/admin.conf
  register: now

- name: Keep it
  ansible.builtin.copy:
    content: "{{ now.text }}"
    dest: /srv/backup/colocation.json
    mode: "0600"
"""

RETURN = r"""
text:
  description: The backup as it is to be kept, JSON.
  returned: always
  type: str
backup:
  description: The same, to look at.
  returned: always
  type: dict
  contains:
    schema:
      description: What kind of document it is.
      type: str
    chart:
      description: Version of the chart.
      type: str
    chart_values:
      description: The operator's chart values.
      type: dict
    policies:
      description: All policies, each with C(name), C(spec), and C(by_hand) for those that no play made.
      type: list
      elements: dict
    nodes:
      description: Name of each Node that takes part to its settings.
      type: dict
    sha256:
      description: Checksum of all the rest.
      type: str
"""

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, API_VERSION, NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import RELEASE, ROLLOUT_CONFIGMAP
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _backup, _rollout


def gather(api: Api) -> dict[str, t.Any]:
    secrets = api.list(f"/api/v1/namespaces/{NAMESPACE}/secrets", label_selector=f"owner=helm,name={RELEASE}")
    release = _rollout.good_revision(secrets)
    if release is None:
        raise ValueError(f"There is nothing to back up: namespace {NAMESPACE} has no Helm release {RELEASE}.")
    kept = api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{ROLLOUT_CONFIGMAP}") or {}
    policies = api.list(f"/apis/{API_GROUP}/{API_VERSION}/colocationpolicies")
    notes = _rollout.read((kept.get("data") or {}).get("steps"))
    values = _rollout.values_of(secrets, release["revision"])
    return _backup.document(release, values, notes, policies, api.nodes())


def main() -> None:
    module, api = make_module({}, supports_check_mode=True)
    try:
        result = gather(api)
    except (ApiError, ValueError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=False, backup=result, text=_backup.text(result))


if __name__ == "__main__":
    main()
