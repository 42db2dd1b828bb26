#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_state
short_description: Let nodes take part in the colocation, or let them leave
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Labels Nodes, and waits until the manager has published what they oversell.
  - Lets Nodes leave in the right order. The label goes first, upon which the manager closes the node to new best-effort
    pods, then the best-effort pods are evicted, then the oversold resources are withdrawn.
  - Runs where the API server can be reached, once for all nodes, not on the nodes themselves.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: full
    details: Waits for nothing in check mode.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  nodes:
    description:
      - Names of the Nodes.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) labels the nodes, so that manager and agent take them on.
      - V(absent) removes the label. Refused, with the pods named, while pods on the node require the label by node
        affinity or nodeSelector, since kubelet would fail them at its next restart.
    type: str
    choices:
      - present
      - absent
    default: present
  wait:
    description:
      - With O(state=present), wait until every node has published oversold resources. When O(timeout) is over, the
        error says for each node what is missing.
    type: bool
    default: true
  drain:
    description:
      - With O(state=absent), evict the best-effort pods and wait until the oversold resources are gone from the Node.
      - Uses the Eviction API, so PodDisruptionBudgets hold; what they refuse is tried again until O(timeout). Every pod is tried.
        Nodes whose pods have not left by then get their label back, so that an agent looks after them.
      - A pod that the API server would not let go however long one waits stops the task before anything is changed.
    type: bool
    default: false
  purge:
    description:
      - With O(state=absent), remove oversold resources, the gate and our annotation from the Node directly, where they
        are left over. For clusters whose manager is gone; a running manager does it by itself.
      - With O(drain=true), it is done after the pods have gone, instead of waiting for the manager.
    type: bool
    default: false
  may_be_sick:
    description:
      - With O(state=present), how many of the O(nodes) may have published nothing when O(timeout) is over. They keep the label and
        are named in RV(summary). Those that are not ready are not waited for.
    type: int
    default: 0
  timeout:
    description:
      - Seconds to wait in all.
    type: int
    default: 300
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.node_restore
  - module: openfuyao.colocation.cluster_info
"""

EXAMPLES = r"""
- name: Take two nodes into the colocation, and wait until they publish
  openfuyao.colocation.node_state:
    kubeconfig: /etc/kubernetes/admin.conf
    nodes:
      - node-a
      - node-b

- name: Let a node leave; its best-effort pods are evicted, disruption budgets kept
  openfuyao.colocation.node_state:
    nodes:
      - node-b
    state: absent
    drain: true
    timeout: 900

- name: Remove what an already deleted manager left behind
  openfuyao.colocation.node_state:
    nodes:
      - node-a
    state: absent
    purge: true
"""

RETURN = r"""
nodes:
  description: What was found and done, for each node in the order asked for.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The Node.
      type: str
      sample: node-a
    label_before:
      description: The value of the label before this task; V(null) if there was none.
      type: str
    labelled:
      description: Whether the Node carries the label now.
      type: bool
    published:
      description: Whether oversold resources are in capacity and allocatable.
      type: bool
    be_cpu:
      description: What is published, in millicores.
      type: int
      sample: 1200
    be_memory:
      description: What is published, in bytes.
      type: int
      sample: 1073741824
    why:
      description: Why it has published nothing.
      returned: with O(may_be_sick), where that is so
      type: str
    evicted:
      description: Pods that were evicted, or would be in check mode.
      type: list
      elements: str
    purged:
      description: Keys that were removed directly.
      type: list
      elements: str
summary:
  description: RV(nodes) in words, a sentence for each.
  returned: success
  type: list
  elements: str
  sample:
    - node-a takes part and oversells 1200m of CPU and 1024 MiB of memory.
"""

import datetime
import time
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import (
    API_GROUP,
    API_VERSION,
    BE_CPU,
    BE_MEMORY,
    NODE_LABEL,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster, _state
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module

POLL_SECONDS = 1.0
MOST_POLL_SECONDS = 5.0
TOO_MANY = 429
CONFLICT_TRIES = 20


class Failure(Exception):
    """What the user gets to read."""


class NodeState:
    """One run of the module over all its nodes."""

    def __init__(self, api: Api, params: dict[str, t.Any], check_mode: bool) -> None:
        self.api = api
        self.nodes: list[str] = list(dict.fromkeys(params["nodes"]))
        self.wait = params["wait"] and not check_mode
        self.drain = params["drain"]
        self.purge = params["purge"]
        self.timeout = params["timeout"]
        self.may_be_sick = params["may_be_sick"]
        self.deadline = time.monotonic() + params["timeout"]
        self.check_mode = check_mode
        self.changed = False
        self.rows: dict[str, dict[str, t.Any]] = {}
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}

    def present(self) -> None:
        nodes = self._found()
        for name, node in nodes.items():
            if _state.label_of(node) != "true":
                self._label(name, "true")
        if self.wait:
            self._until_published()
        self._finish()

    def absent(self) -> None:
        nodes = self._found()
        # All refusals before any change, so that a refused run does not remove half of the nodes.
        refusals = [
            given
            for name, node in nodes.items()
            if _state.label_of(node) is not None
            for given in [_state.refusal(node, self.api.pods_on(name), self.drain)]
            if given
        ]
        if refusals:
            raise Failure(" ".join(refusals))
        if self.drain:
            self._ask_in_advance()
        for name, node in nodes.items():
            if _state.label_of(node) is not None:
                self._label(name, None)
        if self.drain and not self.check_mode:
            self._evict_all()
        if self.purge:
            for name in nodes:
                self._purge(name)
        elif self.drain and not self.check_mode:
            self._until_withdrawn()
        self._finish()

    def result(self) -> dict[str, t.Any]:
        rows = [self.rows[name] for name in self.nodes if name in self.rows]
        return {
            "changed": self.changed,
            "nodes": rows,
            "diff": {"before": self.before, "after": self.after},
        }

    def _found(self) -> dict[str, dict[str, t.Any]]:
        every = {node["metadata"]["name"]: node for node in self.api.nodes()}
        missing = [name for name in self.nodes if name not in every]
        if missing:
            raise Failure(
                f"No such Node: {', '.join(missing)}. Known Nodes: {', '.join(sorted(every)) or 'none'}. "
                "Nothing was changed."
            )
        nodes = {name: every[name] for name in self.nodes}
        for name, node in nodes.items():
            label = _state.label_of(node)
            self.rows[name] = {
                "name": name,
                "label_before": label,
                "labelled": label == "true",
                "evicted": [],
                "purged": [],
            }
            self.before[name] = {"label": label, "keys": _state.leftover_keys(node)}
            self.after[name] = dict(self.before[name])
        return nodes

    def _label(self, name: str, value: str | None) -> None:
        self.api.merge(f"/api/v1/nodes/{name}", {"metadata": {"labels": {NODE_LABEL: value}}}, dry_run=self.check_mode)
        self.changed = True
        self.rows[name]["labelled"] = value == "true"
        self.after[name]["label"] = value

    def _until_published(self) -> None:
        while True:
            nodes = {n["metadata"]["name"]: n for n in self.api.nodes()}
            objects = self.api.list(f"/apis/{API_GROUP}/{API_VERSION}/nodecolocations")
            ncols = {o["metadata"]["name"]: o for o in objects}
            waiting = [n for n in self.nodes if n not in nodes or not _state.published(nodes[n], ncols.get(n))]
            if not waiting:
                return
            sick = [n for n in waiting if n in nodes and not _cluster.ready(nodes[n])]
            # A node that is not ready publishes nothing, however long one waits.
            if (waiting == sick and len(sick) <= self.may_be_sick) or not self._sleep():
                break
        now = datetime.datetime.now(datetime.timezone.utc)
        why = {name: self._why_not_published(nodes.get(name), ncols.get(name), now) for name in waiting}
        if len(waiting) <= self.may_be_sick:
            for name, declared in why.items():
                self.rows[name]["why"] = declared
            return
        raise Failure(
            f"{len(waiting)} of {len(self.nodes)} node(s) have published nothing within {self.timeout} s. "
            + "; ".join(f"{name}: {declared}" for name, declared in why.items())
            + "."
        )

    @staticmethod
    def _why_not_published(node: dict[str, t.Any] | None, ncol: dict[str, t.Any] | None, now: datetime.datetime) -> str:
        if node is None:
            return "the Node has gone"
        if not _cluster.ready(node):
            return f"the node is not ready: {_cluster.why_not_ready(node)}"
        return _state.why_unpublished(node, ncol, now)

    def _evict_all(self) -> None:
        """Try every pod, again and again. Those that stay are named, and their nodes stay in the colocation."""
        refused: dict[str, ApiError] = {}
        looked_at, pause = self.nodes, POLL_SECONDS
        while True:
            left = {name: pods for name in looked_at for pods in [self._must_leave(name)] if pods}
            for name, pods in left.items():
                for pod in pods:
                    self._evict(name, pod, refused)
            if not left and looked_at == self.nodes:
                return
            # A node without such pods is looked at once more at the end: one may have been on its way there.
            looked_at = list(left) or self.nodes
            if left and not self._sleep(pause):
                self._stay(left, refused)
            pause = min(2 * pause, MOST_POLL_SECONDS)

    def _must_leave(self, name: str) -> list[dict[str, t.Any]]:
        return [pod for pod in self.api.pods_on(name) if _state.must_leave(pod)]

    def _ask_in_advance(self) -> None:
        """A budget that is used up now (429) may allow it later; whatever else the API server says will not change by waiting."""
        refused: dict[str, ApiError] = {}
        for name in self.nodes:
            for pod in self._must_leave(name):
                self._evict(name, pod, refused, dry_run=True)
        outcome = [f"{pod} ({e.message})" for pod, e in refused.items() if e.status != TOO_MANY]
        if outcome:
            raise Failure(f"{len(outcome)} best-effort pod(s) cannot be evicted: {', '.join(outcome)}. Nothing was changed.")

    def _stay(self, left: dict[str, list[dict[str, t.Any]]], refused: dict[str, ApiError]) -> None:
        """Without the label no agent would look after the pods that are still there, so those nodes get it back."""
        back = [name for name in left if self.before[name]["label"] is not None]
        for name in back:
            self._label(name, self.before[name]["label"])
        names = [_state.pod_name(pod) for pods in left.values() for pod in pods]
        outcome = [f"{pod} ({refused[pod].message})" if pod in refused else f"{pod} (terminating)" for pod in names]
        raise Failure(
            f"{len(names)} best-effort pod(s) have not left within {self.timeout} s: {', '.join(outcome)}. "
            + (f"Node(s) {', '.join(back)} have their label again. " if back else "")
            + "Run this again, or give it a longer timeout."
        )

    def _evict(self, name: str, pod: dict[str, t.Any], refused: dict[str, ApiError], dry_run: bool = False) -> None:
        metadata, known = pod["metadata"], _state.pod_name(pod)
        if metadata.get("deletionTimestamp"):
            refused.pop(known, None)
            return
        try:
            self.api.evict(metadata["namespace"], metadata["name"], metadata["uid"], dry_run=dry_run)
        except ApiError as e:
            if e.status not in (404, 409):  # gone, or another pod of that name by now
                refused[known] = e
            return
        refused.pop(known, None)
        if dry_run and not self.check_mode:
            return
        self.changed = True
        if known not in self.rows[name]["evicted"]:
            self.rows[name]["evicted"].append(known)

    def _purge(self, name: str) -> None:
        for _attempt in range(CONFLICT_TRIES):
            node = self.api.node(name)
            patch = _state.purge_patch(node) if node else None
            if node is None or patch is None:
                return
            try:
                self.api.merge(f"/api/v1/nodes/{name}/status", patch, dry_run=self.check_mode)
            except ApiError as e:
                if e.status != 409:
                    raise
                continue  # kubelet wrote in between: look again
            self.changed = True
            self.rows[name]["purged"] = _state.leftover_keys(node)
            self.after[name]["keys"] = []
            return
        raise Failure(
            f"Node {name} changed at every one of {CONFLICT_TRIES} tries to remove its leftover keys; run this again."
        )

    def _until_withdrawn(self) -> None:
        while True:
            left = {
                n: k
                for n in self.nodes
                for node in [self.api.node(n)]
                if node
                for k in [_state.leftover_keys(node)]
                if k
            }
            if not left:
                return
            if not self._sleep():
                answer = "; ".join(f"{name} still has {', '.join(keys)}" for name, keys in left.items())
                raise Failure(
                    f"The manager has not withdrawn everything within {self.timeout} s: {answer}. If no manager is "
                    "running, purge=true removes these keys directly."
                )

    def _finish(self) -> None:
        """What is there now, for the return value."""
        for name in self.nodes:
            node = self.api.node(name)
            if node is None:
                continue
            capacity = (node.get("status") or {}).get("capacity") or {}
            self.rows[name].update(
                published=_state.carries(node),
                be_cpu=_state.whole(capacity.get(BE_CPU)),
                be_memory=_state.whole(capacity.get(BE_MEMORY)),
            )
            if not self.check_mode:
                self.after[name] = {"label": _state.label_of(node), "keys": _state.leftover_keys(node)}

    def _sleep(self, seconds: float | None = None) -> bool:
        """False once the time is over."""
        seconds = POLL_SECONDS if seconds is None else seconds
        left = self.deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(seconds, left))
        return True


def argument_spec() -> dict[str, t.Any]:
    return {
        "nodes": {"type": "list", "elements": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "wait": {"type": "bool", "default": True},
        "drain": {"type": "bool", "default": False},
        "purge": {"type": "bool", "default": False},
        "timeout": {"type": "int", "default": 300},
        "may_be_sick": {"type": "int", "default": 0},
    }


def main() -> None:
    module, api = make_module(argument_spec(), supports_check_mode=True)
    run = NodeState(api, module.params, module.check_mode)
    try:
        run.present() if module.params["state"] == "present" else run.absent()
    except (Failure, ApiError) as e:
        module.fail_json(msg=str(e), **run.result())
    result = run.result()
    module.exit_json(summary=[_state.sentence(row, module.check_mode) for row in result["nodes"]], **result)


if __name__ == "__main__":
    main()
