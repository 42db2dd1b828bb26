#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_wait
short_description: Wait until nodes are ready, or have published what they oversell
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Changes nothing. When O(timeout) is over, the error says for each Node what is missing.
  - A Node stays C(Ready) for 40 seconds after its kubelet has died. So that a restart can be watched, RV(heartbeats) of before
    it are given as O(after), and only a Ready that kubelet has reported since then counts.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
  - openfuyao.colocation._attributes.k8s
options:
  nodes:
    description:
      - Names of the Nodes.
    type: list
    elements: str
    required: true
  condition:
    description:
      - V(ready) - kubelet says so, since O(after).
      - V(published) - oversold resources are in capacity and allocatable.
    type: str
    choices:
      - ready
      - published
    default: published
  after:
    description:
      - With O(condition=ready), Node name to the heartbeat of before, as RV(heartbeats) of an earlier call.
    type: dict
    default: {}
  boots:
    description:
      - With O(condition=ready), Node name to the boot id that its kubelet has to report. After a reboot this proves that the
        Node's conditions are of the new boot.
    type: dict
    default: {}
  steady:
    description:
      - Seconds for which it has to stay so, such as after a restart of the container runtime, which kubelet notices within ten.
    type: int
    default: 0
  timeout:
    description:
      - Seconds to wait in all; with V(0) it is looked at once.
    type: int
    default: 300
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.node_state
"""

EXAMPLES = r"""
- name: Wait until each node of the pool has published
  openfuyao.colocation.node_wait:
    kubeconfig: /etc/kubernetes/admin.conf
    nodes:
      - worker-1
      - worker-2
    timeout: 120

- name: Ask for the heartbeat of before
  openfuyao.colocation.node_wait:
    nodes:
      - worker-1
    condition: ready
  register: before

- name: Restart kubelet
  ansible.builtin.systemd_service:
    name: kubelet
    state: restarted
  delegate_to: worker-1

- name: Watch it until the node is ready again
  openfuyao.colocation.node_wait:
    nodes:
      - worker-1
    condition: ready
    after: "{{ before.heartbeats }}"
"""

RETURN = r"""
heartbeats:
  description: Node name to when its kubelet last reported its condition.
  returned: always
  type: dict
  sample:
    worker-1: "2026-11-21T10:00:00Z"
waited:
  description: For how many seconds was waited.
  returned: success
  type: float
"""

import datetime
import time
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, API_VERSION
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster, _identity, _state
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import ApiError, make_module

POLL_SECONDS = 1.0
NODE_COLOCATIONS = f"/apis/{API_GROUP}/{API_VERSION}/nodecolocations"
JSON = t.Dict[str, t.Any]


def missing(
    condition: str,
    names: list[str],
    nodes: dict[str, JSON],
    ncols: dict[str, JSON],
    after: dict[str, str],
    boots: dict[str, str],
) -> dict[str, str]:
    """Node to what it still lacks; empty when the wait is over."""
    result = {}
    for name in names:
        node = nodes.get(name)
        if node is None:
            result[name] = "there is no such Node"
        elif condition == "published":
            if not _state.published(node, ncols.get(name)):
                result[name] = "has published nothing"
        elif name in after and _cluster.heartbeat(node) == after[name]:
            result[name] = f"kubelet has not reported since {after[name]}"
        elif name in boots and not _identity.reports_boot(node, boots[name]):
            result[name] = "kubelet has not reported since the reboot"
        elif not _cluster.ready(node):
            result[name] = f"is not ready ({_cluster.why_not_ready(node)})"
    return result


def main() -> None:
    module, api = make_module(
        {
            "nodes": {"type": "list", "elements": "str", "required": True},
            "condition": {"type": "str", "choices": ["ready", "published"], "default": "published"},
            "after": {"type": "dict", "default": {}},
            "boots": {"type": "dict", "default": {}},
            "steady": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    given = module.params
    names, condition = given["nodes"], given["condition"]
    started = since = time.monotonic()
    nodes: dict[str, JSON] = {}
    result: dict[str, str] = {}
    while True:
        try:
            nodes = {n["metadata"]["name"]: n for n in api.nodes()} if len(names) > 5 else _some(api, names)
            objects = api.list(NODE_COLOCATIONS) if condition == "published" else []
            by_name = {n["metadata"]["name"]: n for n in objects}
            result = missing(condition, names, nodes, by_name, given["after"], given["boots"])
        except ApiError as e:
            if e.status in (401, 403):
                module.fail_json(msg=f"Not allowed to read Nodes: {e}")
            result = {name: str(e) for name in names}  # an API server that is away for a moment is waited for too
        waited = time.monotonic() - started
        if result:
            since = time.monotonic()
        if (not result and time.monotonic() - since >= given["steady"]) or waited + POLL_SECONDS > given["timeout"]:
            break
        time.sleep(POLL_SECONDS)
    beats = {name: _cluster.heartbeat(node) for name, node in nodes.items() if name in names}
    if result:
        if condition == "published":
            result = {name: _why(api, name, nodes.get(name), what) for name, what in result.items()}
        module.fail_json(
            msg=f"{len(result)} of {len(names)} node(s) are not {condition} after {given['timeout']} s. "
            + "; ".join(f"{name}: {what}" for name, what in sorted(result.items()))
            + ".",
            heartbeats=beats,
        )
    module.exit_json(changed=False, heartbeats=beats, waited=round(waited, 1))


def _some(api: t.Any, names: list[str]) -> dict[str, JSON]:
    nodes = {name: api.node(name) for name in names}
    return {name: node for name, node in nodes.items() if node is not None}


def _why(api: t.Any, name: str, node: JSON | None, what: str) -> str:
    """What the manager and the agent say of a Node that has published nothing."""
    if node is None:
        return what
    try:
        ncol = api.get(f"{NODE_COLOCATIONS}/{name}")
    except ApiError:
        return what
    return _state.why_unpublished(node, ncol, datetime.datetime.now(datetime.timezone.utc))


if __name__ == "__main__":
    main()
