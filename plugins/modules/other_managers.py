#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: other_managers
short_description: Stop other managers that oversell, so that this one can take over, or start them again
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Knows Koordinator (C(koord-manager), C(koordlet)), Volcano's agent (C(volcano-agent)) and openFuyao's own manager and agents by
    their names, in any namespace. Others are named in O(workloads).
  - A Deployment is scaled to no replicas, with the number of before noted on it; a DaemonSet gets a node selector that no Node
    fulfils. Nothing is deleted. What they wrote on the Nodes stands.
  - Something that applies their manifests again (a GitOps tool, an operator) starts them again; stop it there.
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
options:
  state:
    description:
      - V(stopped) waits until none of their pods is left.
      - V(started) starts those that this module stopped, and no other.
    type: str
    choices:
      - stopped
      - started
    default: stopped
  workloads:
    description:
      - Further ones, each as C(KIND/NAMESPACE/NAME), where the kind is C(Deployment) or C(DaemonSet).
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds to wait in all.
    type: int
    default: 120
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: Stop other managers that oversell here
  openfuyao.colocation.other_managers:
    kubeconfig: /etc/kubernetes/admin.conf
    workloads:
      - Deployment/batch/our-own-overseller
"""

RETURN = r"""
workloads:
  description: Those that were stopped or started, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample:
    - Deployment/koordinator-system/koord-manager
"""

import time
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _takeover


class Failure(Exception):
    """Its message is shown to the user unchanged."""


def workloads(api: Api) -> list[dict[str, t.Any]]:
    """All Deployments and DaemonSets; a list leaves their kind out."""
    return [
        {**item, "kind": kind} for kind, plural in _takeover.PATHS.items() for item in api.list(f"/apis/apps/v1/{plural}")
    ]


def run(api: Api, params: dict[str, t.Any], check_mode: bool) -> list[dict[str, t.Any]]:
    """The workloads that were changed."""
    everything = workloads(api)
    missing = set(params["workloads"]) - {_takeover.title(w) for w in everything}
    if missing and params["state"] == "stopped":
        raise Failure(f"There is no {', '.join(sorted(missing))}. Nothing was changed.")
    stop = params["state"] == "stopped"
    running = _takeover.others(everything, params["workloads"]) if stop else [w for w in everything if _takeover.by_us(w)]
    changed = []
    for workload in running:
        patch = _takeover.stop_patch(workload) if stop else _takeover.start_patch(workload)
        if patch:
            api.merge(_takeover.path_of(workload), patch, dry_run=check_mode)
            changed.append(workload)
    if stop and not check_mode:
        wait(api, running, params["timeout"])
    return changed


def wait(api: Api, workloads: list[dict[str, t.Any]], seconds: int) -> None:
    """Until none of their pods is left."""
    deadline = time.monotonic() + seconds
    left = workloads
    while left:
        now = [(w, api.get(_takeover.path_of(w))) for w in left]
        left = [w for w, at in now if at and _takeover.running({**at, "kind": w["kind"]})]
        if left and time.monotonic() > deadline:
            raise Failure(f"{', '.join(map(_takeover.title, left))} still has pods after {seconds} s; run this again.")
        if left:
            time.sleep(0.5)


def main() -> None:
    module, api = make_module(
        {
            "state": {"type": "str", "choices": ["stopped", "started"], "default": "stopped"},
            "workloads": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    try:
        changed = [_takeover.title(w) for w in run(api, module.params, module.check_mode)]
    except (Failure, ApiError) as e:
        module.fail_json(msg=str(e))
    states = ("running", "stopped") if module.params["state"] == "stopped" else ("stopped", "running")
    diff = {part: dict.fromkeys(changed, state) for part, state in zip(("before", "after"), states)}
    module.exit_json(changed=bool(changed), workloads=changed, diff=diff)


if __name__ == "__main__":
    main()
