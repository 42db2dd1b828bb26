#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Keep other rollouts out, and remember in the cluster what can be gone back to
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Takes, renews and gives back the Lease C(kube-system/colocation-rollout), so that two rollouts exclude each other,
    also from different control machines.
  - Notes in the ConfigMap C(openfuyao-colocation/colocation-rollout) what was there before a rollout (revision of the
    Helm release, policies, settings of nodes), so that any control machine can go one step back.
  - A holder is one run of C(ansible-playbook). While it runs, a process beside it renews the Lease, and gives it back when the run
    ends, however that ends.
  - A run that was killed together with that process is found dead at once from where its processes could be seen (the same boot of
    the same machine, the same PID namespace), by its process. From elsewhere it is so when the Lease was not renewed for
    O(duration) seconds.
  - The Lease and the notes are no part of what a play is asked for, so they never count as changed.
  - Has a corresponding action plugin, which says who is running this play.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: full
    details: In check mode the Lease is neither taken nor respected, and nothing is noted.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description:
      - V(taken) takes the Lease, or renews it where this play has it already.
      - V(renewed) renews it if this play has it, and does nothing else.
      - V(begun) takes it too, and notes what is there now as what to go back to. After a rollout that was not finished the
        older note stays.
      - With V(begun), what a killed roll-out left of a Helm operation (C(pending-install), C(pending-upgrade), C(pending-rollback)) is
        taken away, since helm refuses another one while it is there. One that no roll-out has left is not touched, and named.
      - V(ended) makes that note the step back if anything has changed since, and gives the Lease back.
      - V(undone) is for after a step back. It forgets the note, and gives the Lease back.
      - V(released) only gives the Lease back.
    type: str
    choices:
      - taken
      - renewed
      - begun
      - ended
      - undone
      - released
    required: true
  duration:
    description:
      - Seconds for which the Lease holds unless renewed.
    type: int
    default: 120
  settings:
    description:
      - With O(state=ended), Node name to the settings that were made on it.
    type: dict
    default: {}
  image:
    description:
      - With O(state=begun), the checksum of the image archive that was brought to O(nodes); empty where images come from a
        registry. Left out, what was noted before holds.
    type: str
  nodes:
    description:
      - With O(image), the Nodes that have its images now.
    type: list
    elements: str
    default: []
  leaving:
    description:
      - With O(state=begun), Nodes that lose their images after this, so that the manager must not run on them.
    type: list
    elements: str
    default: []
  holder:
    description:
      - Set by the action plugin.
    type: str
  gone:
    description:
      - Set by the action plugin.
    type: list
    elements: str
    default: []
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.rollout_wave
"""

EXAMPLES = r"""
- name: Keep other rollouts out
  openfuyao.colocation.rollout:
    kubeconfig: /etc/kubernetes/admin.conf
    state: taken

- name: Let them in again
  openfuyao.colocation.rollout:
    kubeconfig: /etc/kubernetes/admin.conf
    state: released
"""

RETURN = r"""
acquired:
  description: Whether the Lease was taken, and was not this play's before.
  returned: unless O(state=renewed)
  type: bool
held:
  description: Whether the Lease is this play's.
  returned: with O(state=renewed)
  type: bool
back:
  description: Where a step back leads; V(null) if there is nothing to go back to.
  returned: unless O(state=renewed)
  type: dict
  contains:
    revision:
      description: Revision of the Helm release.
      type: int
    version:
      description: Version of its chart.
      type: str
    policies:
      description: The policies, each with name and spec.
      type: list
      elements: dict
    settings:
      description: Node name to settings.
      type: dict
unfinished:
  description: Whether a rollout before this one was not finished.
  returned: unless O(state=renewed)
  type: bool
release:
  description: The Helm release as it is now, with C(revision), C(status) and C(version); V(null) if there is none.
  returned: unless O(state=renewed)
  type: dict
policies:
  description: The policies that a rollout made, as they are now, each with name and spec.
  returned: unless O(state=renewed)
  type: list
  elements: dict
policies_by_hand:
  description: The policies that no rollout made, in the same form.
  returned: unless O(state=renewed)
  type: list
  elements: dict
affinity:
  description: Affinity for the manager, to the Nodes that its image was brought to; empty where a registry has it.
  returned: unless O(state=renewed)
  type: dict
summary:
  description: Where a step back leads, in words.
  returned: unless O(state=renewed)
  type: str
"""

import datetime
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, API_VERSION, NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import (
    LEASE,
    LEASE_NAMESPACE,
    RELEASE,
    ROLLOUT_CONFIGMAP,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _rollout

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases"
NOTES = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{ROLLOUT_CONFIGMAP}"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
KEY = "steps"
RACES = 5


class Held(Exception):
    """Somebody else is at work."""


def take(api: Api, me: str, gone: list[str], duration: int) -> bool:
    """Have the Lease afterwards, or raise Held. True if it was not ours before."""
    for _race in range(RACES):
        now = datetime.datetime.now(datetime.timezone.utc)
        lease = api.get(f"{LEASES}/{LEASE}")
        holder = _rollout.held_by(lease, me, gone, now)
        if lease and holder:
            raise Held(_rollout.refusal(lease, holder, now))
        stamp = _rollout.stamp(now)
        spec = {"holderIdentity": me, "leaseDurationSeconds": duration, "renewTime": stamp}
        new = (lease or {}).get("spec", {}).get("holderIdentity") != me
        try:
            if lease is None:
                body = {"metadata": {"name": LEASE}, "spec": {**spec, "acquireTime": stamp}}
                api.request("POST", LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **body})
            else:
                if new:
                    spec["acquireTime"] = stamp
                decided_on = {"resourceVersion": lease["metadata"]["resourceVersion"]}
                api.merge(f"{LEASES}/{LEASE}", {"metadata": decided_on, "spec": spec})
            return new
        except ApiError as e:
            if e.status != 409:
                raise
    raise Held("Another rollout began at the same moment. Nothing was changed; run this again.")


def renew(api: Api, me: str) -> bool:
    """Whether the Lease is mine, which it is for another while then."""
    lease = api.get(f"{LEASES}/{LEASE}")
    if lease is None or (lease.get("spec") or {}).get("holderIdentity") != me:
        return False
    stamp = _rollout.stamp(datetime.datetime.now(datetime.timezone.utc))
    decided_on = {"resourceVersion": lease["metadata"]["resourceVersion"]}
    try:
        api.merge(f"{LEASES}/{LEASE}", {"metadata": decided_on, "spec": {"renewTime": stamp}})
    except ApiError as e:
        if e.status == 404:
            return False
        if e.status != 409:  # another task of this play renewed it at the same moment, or it is asked again soon
            raise
    return True


def release(api: Api, me: str) -> None:
    """No Lease of mine afterwards; somebody else's stays."""
    lease = api.get(f"{LEASES}/{LEASE}")
    if lease and (lease.get("spec") or {}).get("holderIdentity") == me:
        only = {"preconditions": {"resourceVersion": lease["metadata"]["resourceVersion"]}}
        try:
            api.request("DELETE", f"{LEASES}/{LEASE}", only)
        except ApiError as e:
            if e.status not in (404, 409):
                raise


class Rollout:
    """One run of the module."""

    def __init__(self, api: Api, params: dict[str, t.Any], check_mode: bool) -> None:
        self.api, self.params, self.check_mode = api, params, check_mode
        self.kept = api.get(NOTES)
        self.notes = _rollout.read(((self.kept or {}).get("data") or {}).get(KEY))
        selector = f"owner=helm,name={RELEASE}"
        self.secrets = api.list(SECRETS, label_selector=selector)
        policies = api.list(f"/apis/{API_GROUP}/{API_VERSION}/colocationpolicies")
        self.policies, self.by_hand = _rollout.policies_of(policies), _rollout.policies_of(policies, by_hand=True)

    def run(self) -> dict[str, t.Any]:
        state, notes = self.params["state"], self.notes
        unfinished = bool(notes.get("pending"))
        cut = _rollout.interrupted(self.secrets)
        good = _rollout.good_revision(self.secrets)
        there = _rollout.snapshot(good, self.policies, notes.get("settings") or {})
        if state == "begun":
            # A roll-out notes what was there before it begins; before the first one there is no revision that Helm finished.
            if cut and not unfinished and good is not None:
                raise ValueError(_rollout.not_ours(cut[-1]))
            full = _rollout.too_big(self.kept, notes, {*self.params["nodes"], *(notes.get("settings") or {})})
            if full:
                raise ValueError(full)
            notes = _rollout.begun(notes, there)
            if self.params["image"] is not None:
                known = {n["metadata"]["name"] for n in self.api.nodes()} if self.params["image"] else set()
                nodes = _rollout.carriers(notes, self.params["image"], self.params["nodes"], known)
                notes = {**notes, "image": {"sha256": self.params["image"], "nodes": nodes}}
            notes = _rollout.without(notes, self.params["leaving"])
        elif state == "ended":
            notes = _rollout.ended(notes, there, self.params["settings"])
        elif state == "undone":
            notes = _rollout.undone(notes)
        acquired = False
        if not self.check_mode:
            if state in ("taken", "begun"):
                acquired = take(self.api, self.params["holder"], self.params["gone"], self.params["duration"])
            if state == "begun" and cut:
                self._forget(cut)
            if notes != self.notes and self.kept:
                self.api.merge(NOTES, {"data": {KEY: _rollout.written(notes)}})
            if state in ("ended", "undone", "released"):
                release(self.api, self.params["holder"])
        back = _rollout.target(notes)
        return {
            "acquired": acquired,
            "back": back,
            "unfinished": unfinished,
            "release": _rollout.release_of(self.secrets),
            "policies": self.policies,
            "policies_by_hand": self.by_hand,
            "affinity": _rollout.affinity((notes.get("image") or {}).get("nodes") or []),
            "summary": f"rollback goes back to chart {back['version']} (revision {back['revision']})."
            if back
            else "There is nothing to go back to.",
        }

    def _forget(self, cut: list[dict[str, t.Any]]) -> None:
        """Take away Helm's notes of what a killed roll-out had begun: the next upgrade starts from the last revision that was finished."""
        for secret in cut:
            try:
                self.api.request("DELETE", f"{SECRETS}/{secret['metadata']['name']}", {"preconditions": {"uid": secret["metadata"]["uid"]}})
            except ApiError as e:
                if e.status not in (404, 409):
                    raise
        self.secrets = [s for s in self.secrets if s not in cut]


def main() -> None:
    module, api = make_module(
        {
            "state": {
                "type": "str",
                "choices": ["taken", "renewed", "begun", "ended", "undone", "released"],
                "required": True,
            },
            "duration": {"type": "int", "default": 120},
            "settings": {"type": "dict", "default": {}},
            "image": {"type": "str"},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "leaving": {"type": "list", "elements": "str", "default": []},
            "holder": {"type": "str"},
            "gone": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        if module.params["state"] == "renewed":
            module.exit_json(changed=False, held=module.check_mode or renew(api, module.params["holder"]))
        result = Rollout(api, module.params, module.check_mode).run()
    except Held as e:
        held = api.get(f"{LEASES}/{LEASE}") or {}
        module.fail_json(msg=str(e), held_by=(held.get("spec") or {}).get("holderIdentity"))
    except (ApiError, ValueError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
