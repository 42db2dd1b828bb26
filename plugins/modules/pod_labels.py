#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_labels
short_description: Label pods with their class that are older than the label
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Admission gives each new pod that names a class a label with it (C(openfuyao.com/qos-level)), by which anything that selects pods
    can select best-effort pods or leave them out. Pods that were created before get it here, from their annotation.
  - A label that is there is never changed. Pods and namespaces that opted out, mirror pods, pods of DaemonSets and those of the
    C(system-*) priority classes are left alone, as by admission.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: Label the pods that are older than the label
  openfuyao.colocation.pod_labels:
    kubeconfig: /etc/kubernetes/admin.conf
"""

RETURN = r"""
pods:
  description: How many pods were labelled, or would be in check mode, by class.
  returned: always
  type: dict
  sample:
    BE: 12
    LS: 3
"""

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import QOS_ANNOTATION, QOS_LABEL
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _pods
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module


def run(api: Api, check_mode: bool) -> dict[str, str]:
    """Namespace and name of each pod that was labelled, and its class."""
    out = api.list("/api/v1/namespaces", label_selector=f"{_pods.MUTATE_LABEL}=false")
    left_alone = {namespace["metadata"]["name"] for namespace in out}
    changed = {}
    for pod in api.list("/api/v1/pods", label_selector=f"!{QOS_LABEL}"):
        qos = _pods.missing_label(pod, left_alone)
        if qos and _label(api, pod["metadata"], qos, check_mode):
            changed[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] = qos
    return changed


def _label(api: Api, metadata: dict[str, t.Any], qos: str, check_mode: bool) -> bool:
    """False if the pod ended meanwhile. The uid keeps the label from a pod of the same name that came after it."""
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    try:
        api.merge(path, {"metadata": {"uid": metadata["uid"], "labels": {QOS_LABEL: qos}}}, dry_run=check_mode)
    except ApiError as error:
        if error.status in (404, 409):
            return False
        raise
    return True


def main() -> None:
    module, api = make_module({}, supports_check_mode=True)
    try:
        changed = run(api, module.check_mode)
    except ApiError as e:
        module.fail_json(msg=str(e))
    counted = {qos: list(changed.values()).count(qos) for qos in _pods.CLASSES if qos in changed.values()}
    diff = {"before": {}, "after": {pod: f"{QOS_ANNOTATION}: {qos}" for pod, qos in sorted(changed.items())}}
    module.exit_json(changed=bool(changed), pods=counted, diff=diff)


if __name__ == "__main__":
    main()
