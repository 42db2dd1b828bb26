#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_drift
short_description: Put back what was changed by hand in the objects of a Helm release
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Compares each object of the release's manifest with the one in the cluster, and writes the fields that differ (by
    server-side apply as Helm's field manager, forced). Objects that are gone are made again.
  - Fields that the manifest does not name are not looked at. Neither are those of others, namely certificates of
    webhooks, and the number of replicas where a HorizontalPodAutoscaler sets it.
  - Selectors of webhooks are never written here, because some clusters keep changing them. They are in RV(enforced).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the release.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the release.
    type: str
    required: true
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
  - PyYAML
seealso:
  - module: openfuyao.colocation.helm_rollback
"""

EXAMPLES = r"""
- name: Put back what was changed by hand
  openfuyao.colocation.helm_drift:
    kubeconfig: /etc/kubernetes/admin.conf
    name: colocation
    namespace: openfuyao-colocation
"""

RETURN = r"""
differences:
  description: What was not as the release says and was written, a sentence each.
  returned: always
  type: list
  elements: str
  sample:
    - "Deployment colocation-manager: spec.replicas is 0 and the release says 1, written by kubectl"
enforced:
  description: What is not as the release says and was left alone, with the way out, a sentence each.
  returned: always
  type: list
  elements: str
"""

import traceback
import typing as t
from urllib.parse import quote

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _drift
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _rollout

try:
    import yaml

    YAML_IMPORT_ERROR = None
except ImportError:
    YAML_IMPORT_ERROR = traceback.format_exc()

MANAGER = "helm"
JSON = t.Dict[str, t.Any]


class Drift:
    """One comparison of a release with the cluster."""

    def __init__(self, api: Api, name: str, namespace: str, check_mode: bool) -> None:
        self.api, self.name, self.namespace, self.check_mode = api, name, namespace, check_mode
        self.kinds: dict[str, dict[str, JSON]] = {}
        self.differences: list[str] = []
        self.enforced: list[str] = []

    def run(self) -> None:
        scaled = _drift.autoscaled(
            self.api.list(f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers")
        )
        for body in self._manifest():
            self._one(body, scaled)

    def _manifest(self) -> list[JSON]:
        """The objects of the newest revision that Helm says is deployed."""
        secrets = self.api.list(
            f"/api/v1/namespaces/{self.namespace}/secrets",
            label_selector=f"owner=helm,name={self.name},status=deployed",
        )
        newest = max(secrets, key=lambda s: int(s["metadata"]["labels"]["version"]), default=None)
        if newest is None:
            return []
        differences = [body for body in yaml.safe_load_all(_rollout.unpacked(newest)["manifest"]) if body]
        return [_drift.adopted(body, self.name, self.namespace) for body in differences]

    def _one(self, body: JSON, scaled: set[tuple[str, str]]) -> None:
        path = self._path(body)
        kind, name = body["kind"], body["metadata"]["name"]
        live = self.api.get(path)
        if live is None:
            self.differences.append(f"{kind} {name} is not there")
            if not self.check_mode:
                self._apply(path, body, dry_run=False)
            return
        body = _drift.wanted_of(body, live, scaled)
        differences = _drift.differences(live, self._apply(path, body, dry_run=True))
        for difference in differences:
            answer = _drift.sentence(kind, name, difference)
            if difference.enforced:
                self.enforced.append(f"{answer}. {_drift.way_out(kind, name)}")
            else:
                self.differences.append(answer)
        # An object with a field that is not ours to write is left alone as a whole: apply has no way to write a part.
        ours = differences and not any(difference.enforced for difference in differences)
        if ours and not self.check_mode:
            self._apply(path, body, dry_run=False)

    def _apply(self, path: str, body: JSON, dry_run: bool) -> JSON:
        return self.api.apply(path, body, MANAGER, dry_run)

    def _path(self, body: JSON) -> str:
        version, kind = body["apiVersion"], body["kind"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self.kinds:
            served = self.api.request("GET", base).get("resources") or []
            self.kinds[version] = {row["kind"]: row for row in served if "/" not in row["name"]}
        row = self.kinds[version].get(kind)
        if row is None:
            raise ApiError(404, f"the cluster does not serve {kind} of {version}, which the release has", f"GET {base}")
        inside = f"/namespaces/{body['metadata'].get('namespace', self.namespace)}" if row["namespaced"] else ""
        return f"{base}{inside}/{row['name']}/{quote(body['metadata']['name'])}"


def main() -> None:
    module, api = make_module(
        {"name": {"type": "str", "required": True}, "namespace": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    if YAML_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR)
    drift = Drift(api, module.params["name"], module.params["namespace"], module.check_mode)
    try:
        drift.run()
    except ApiError as e:
        module.fail_json(msg=f"The release {drift.name} could not be compared with the cluster: {e}")
    module.exit_json(changed=bool(drift.differences), differences=drift.differences, enforced=drift.enforced)


if __name__ == "__main__":
    main()
