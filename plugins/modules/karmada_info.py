#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: karmada_info
short_description: Say what Karmada would do with best-effort work, and what its members publish
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Reads Clusters and ResourceInterpreterCustomizations from Karmada's own API server, to which the connection options lead.
  - Names what would place best-effort work wrongly, each with its remedy. Resource models that know no C(kubernetes.io/be-cpu),
    a missing accurate estimator, a missing interpreter, a member without colocation.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
  - openfuyao.colocation._attributes.k8s
options:
  estimators:
    description:
      - Names of the Deployments that run beside Karmada's scheduler, as its host cluster has them. Without it estimators are not
        looked at, and a warning says so.
    type: list
    elements: str
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: Look at Karmada
  openfuyao.colocation.karmada_info:
    kubeconfig: /etc/karmada/karmada-apiserver.config
  register: karmada
"""

RETURN = r"""
problems:
  description: Why this cannot be looked at, a sentence each; empty when it can.
  returned: always
  type: list
  elements: str
warnings_found:
  description: What would place best-effort work wrongly, a sentence each, with its remedy.
  returned: always
  type: list
  elements: str
lines:
  description: The RV(members) as text, a line each.
  returned: always
  type: list
  elements: str
members:
  description: The member clusters, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the Cluster.
      type: str
    ready:
      description: Whether Karmada finds it ready.
      type: bool
    published:
      description: What its nodes publish in sum, by resource; empty where there is no colocation.
      type: dict
    allocated:
      description: What of it is allocated.
      type: dict
    closed:
      description: Whether all its nodes are closed to new best-effort pods.
      type: bool
"""

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.neighbours import _karmada


def gather(api: Api, estimators: list[str] | None) -> dict[str, t.Any]:
    problem = _karmada.problem(api.get(_karmada.CLUSTERS) is not None)
    if problem:
        return {"problems": [problem], "warnings_found": [], "members": [], "lines": []}
    clusters = api.list(_karmada.CLUSTERS)
    rows = _karmada.rows(clusters)
    return {
        "problems": [],
        "warnings_found": _karmada.warnings(clusters, api.list(_karmada.INTERPRETERS), estimators),
        "members": rows,
        "lines": _karmada.lines(rows),
    }


def main() -> None:
    module, api = make_module({"estimators": {"type": "list", "elements": "str"}}, supports_check_mode=True)
    try:
        found = gather(api, module.params["estimators"])
    except ApiError as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
