#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_rollback
short_description: Go back to an earlier revision of a helm release
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - C(helm rollback) with the connection options of C(kubernetes.core.helm), which has no module for it.
  - A release that was deployed from that revision last is left alone.
  - With Helm 4, fields that somebody else has changed are written too (C(--force-conflicts)).
extends_documentation_fragment:
  - kubernetes.core.helm_common_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.helm
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
  revision:
    description:
      - The revision to go back to. Helm makes a new revision of it.
    type: int
    required: true
  timeout:
    description:
      - Seconds that helm may wait for one operation of the API server.
    type: int
    default: 300
requirements:
  - helm >= 3.12
  - PyYAML
seealso:
  - plugin: openfuyao.colocation.connection
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Go back to the first revision
  openfuyao.colocation.helm_rollback:
    kubeconfig: /etc/kubernetes/admin.conf
    name: colocation
    namespace: openfuyao-colocation
    revision: 1
"""

RETURN = r"""
revision_before:
  description: The revision that the release had.
  returned: always
  type: int
  sample: 3
"""

import json
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.release._drift import server_side

try:
    from ansible_collections.kubernetes.core.plugins.module_utils.helm import AnsibleHelmModule
    from ansible_collections.kubernetes.core.plugins.module_utils.helm_args_common import (
        HELM_AUTH_ARG_SPEC,
        HELM_AUTH_MUTUALLY_EXCLUSIVE,
    )

    COLLECTION_IMPORT_ERROR = None
except ImportError:
    COLLECTION_IMPORT_ERROR = traceback.format_exc()


def revisions(module: t.Any, helm: list[str]) -> list[dict[str, t.Any]]:
    """What helm knows of the release, oldest first."""
    out = module.run_helm_command([*helm, "history", module.params["name"], "--output", "json", "--max", "256"])[1]
    return sorted(json.loads(out), key=lambda row: row["revision"])


def is_at(known: list[dict[str, t.Any]], revision: int) -> bool:
    """Whether the release runs this revision: itself, or the one that a rollback made of it."""
    last = known[-1]
    if last["status"] != "deployed":
        return False
    return last["revision"] == revision or last.get("description") == f"Rollback to {revision}"


def main() -> None:
    if COLLECTION_IMPORT_ERROR:
        AnsibleModule(argument_spec={}, bypass_checks=True).fail_json(
            msg="The collection kubernetes.core >= 6.6.0 is missing: ansible-galaxy collection install kubernetes.core",
            exception=COLLECTION_IMPORT_ERROR,
        )
    module = AnsibleHelmModule(
        argument_spec={
            **{name: dict(option) for name, option in HELM_AUTH_ARG_SPEC.items()},
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "revision": {"type": "int", "required": True},
            "timeout": {"type": "int", "default": 300},
        },
        mutually_exclusive=HELM_AUTH_MUTUALLY_EXCLUSIVE,
        supports_check_mode=True,
    )
    wanted = module.params
    helm = [module.get_helm_binary(), "--namespace", wanted["namespace"]]
    known = revisions(module, helm)
    changed = not is_at(known, wanted["revision"])
    if changed and not module.check_mode:
        # Whatever was changed by hand since: going back is the way out of a release that cannot go forward.
        forced = ["--server-side=true", "--force-conflicts"] if server_side(module.get_helm_version() or "") else []
        module.run_helm_command(
            [*helm, "rollback", wanted["name"], str(wanted["revision"]), "--timeout", f"{wanted['timeout']}s", *forced]
        )
    module.exit_json(changed=changed, revision_before=known[-1]["revision"])


if __name__ == "__main__":
    main()
