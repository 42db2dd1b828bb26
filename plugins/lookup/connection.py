# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: connection
short_description: The connection to the cluster, for whatever takes part in a play
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - The connection options of C(kubernetes.core) from the variables C(colocation_kubeconfig), C(colocation_context) and
    C(colocation_api_*) of this host, or else from C(K8S_AUTH_*) of the environment that ansible-playbook runs in.
  - Every task of this collection that speaks to a cluster takes its connection from here, so that none of them reaches another cluster.
    Your own tasks can do the same.
  - Fails where the variables say which cluster is meant and the environment adds something to it, and where helm could not take
    the options.
options:
  _terms:
    description:
      - For what.
      - V(k8s) is for modules in the group C(openfuyao.colocation.k8s), which are C(kubernetes.core)'s too,, and is the default.
      - V(helm) is for modules in the group C(openfuyao.colocation.helm), likewise.
      - V(helm_environment) is the environment of such modules. It holds what these modules have no option for, and it takes effect
        away from all C(HELM_KUBE*) of the operator's shell.
    type: list
    elements: str
    choices: [k8s, helm, helm_environment]
"""

EXAMPLES = r"""
- name: Speak to the cluster that the roles of this collection speak to
  delegate_to: "{{ colocation_control_host }}"
  module_defaults:
    group/openfuyao.colocation.k8s: "{{ lookup('openfuyao.colocation.connection') }}"
    group/openfuyao.colocation.helm: "{{ lookup('openfuyao.colocation.connection', 'helm') }}"
  environment: "{{ lookup('openfuyao.colocation.connection', 'helm_environment') }}"
  block:
    - name: See the release
      kubernetes.core.helm_info:
        name: colocation
        namespace: openfuyao-colocation
"""

RETURN = r"""
_raw:
  description: A dictionary of options, or of environment variables.
  type: list
  elements: dict
"""

import os
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _connection

VIEWS: dict[str, t.Callable[[dict[str, t.Any]], dict[str, t.Any]]] = {
    "k8s": dict,
    "helm": _connection.helm,
    "helm_environment": _connection.helm_environment,
}


class LookupModule(LookupBase):
    def run(
        self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[dict[str, t.Any]]:
        known = variables or {}
        given = {
            option: self._templar.template(known[name])
            for option, name in _connection.VARIABLES.items()
            if name in known
        }
        try:
            options = _connection.resolve(given, os.environ)
            return [VIEWS[term](options) for term in terms or ["k8s"]]
        except _connection.BadConnection as e:
            raise AnsibleError(str(e)) from None
        except KeyError as e:
            raise AnsibleError(f"There is no view {e} of the connection; there are {', '.join(VIEWS)}.") from None
