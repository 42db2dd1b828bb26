#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_wave
short_description: Replace the agents of some nodes by those of the Helm release, and judge whether to continue
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - The roles install the agents with C(updateStrategy) V(OnDelete), so an agent changes only when its pod is deleted. This
    module deletes those of O(nodes) that are of another revision than the DaemonSet, and waits.
  - Succeeds when manager and nodes are well afterwards, and stay so for O(soak) seconds. The manager is of the new version
    and available, and fails on no node that it did not fail on before. On each node the new agent is ready, has reported,
    refuses nothing that it did not refuse before, what was published before is published, and pressure (PSI) has not risen.
  - Fails as soon as a pod says that trying again is no use, else after O(timeout), with what is missing node by node.
  - Nodes that take no part, and nodes whose agent is of the right revision, are left alone.
  - Runs where the API server can be reached, once for all nodes of a wave.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: full
    details: Says which agents are outdated, and waits for nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  nodes:
    description:
      - Names of the Nodes. With none, only the manager is waited for and judged.
    type: list
    elements: str
    default: []
  at_once:
    description:
      - How many agents may be away at the same moment; V(0) for all of O(nodes).
    type: int
    default: 0
  soak:
    description:
      - Seconds for which everything has to stay well.
    type: int
    default: 0
  pressure_rise:
    description:
      - By how many points the PSI C(some avg10) of cpu, memory or io may be higher in every report of the soak than it was
        before. Not looked at without O(soak).
    type: int
    default: 30
  may_be_sick:
    description:
      - How many of the O(nodes) that were sick before may be left as they are. One that is not ready keeps its agent. One whose older
        agent was not well gets the new one, which need not be well.
      - A node that was well before, or whose agent is of the new version already, is judged in any case.
    type: int
    default: 0
  timeout:
    description:
      - Seconds to wait in all, the soak not counted.
    type: int
    default: 300
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.rollout
  - module: openfuyao.colocation.node_state
"""

EXAMPLES = r"""
- name: Replace the agents of two nodes, and watch them for half a minute
  openfuyao.colocation.rollout_wave:
    kubeconfig: /etc/kubernetes/admin.conf
    nodes:
      - node-a
      - node-b
    soak: 30
"""

RETURN = r"""
replaced:
  description: Nodes whose agent was replaced, or would be in check mode.
  returned: always
  type: list
  elements: str
left:
  description: Nodes that were sick before, and why each is left for a later run.
  returned: always
  type: dict
problems:
  description: Why the health check failed, a sentence each.
  returned: always
  type: list
  elements: str
versions:
  description: Node name to the version that its agent reported last.
  returned: always
  type: dict
  sample:
    node-a: 0.2.0
"""

import datetime
import time
import typing as t
from urllib.parse import quote

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, API_VERSION, NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster, _state
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _wave

POLL_SECONDS = 1.0
REFUSED_SECONDS = 10.0
"""How long the API server may refuse pods: a new ResourceQuota refuses until its controller has counted."""
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
METRICS = f"/api/v1/namespaces/{NAMESPACE}/services/http:colocation-manager:8080/proxy/metrics"
FAILURES = "colocation_evaluation_failures_total"
COMPONENT = "app.kubernetes.io/name=colocation,app.kubernetes.io/component"


class Unhealthy(Exception):
    """The health check failed."""


class Wave:
    """One run of the module over its nodes."""

    def __init__(self, api: Api, params: dict[str, t.Any], check_mode: bool) -> None:
        self.api, self.check_mode = api, check_mode
        self.params = params
        self.deadline = time.monotonic() + params["timeout"]
        self.replaced: list[str] = []
        self.problems: list[str] = []
        self.left: dict[str, str] = {}
        self.rows: dict[str, dict[str, t.Any]] = {}
        self.versions: dict[str, str] = {}
        self.failures = 0.0

    def run(self) -> None:
        if not self.check_mode:
            self._manager()
        self.failures = self._counted()
        self._look(before=True)
        if self.rows:
            self._replace()
        if self.params["soak"] and not self.check_mode and (self.replaced or not self.params["nodes"]):
            self._soak()

    def result(self) -> dict[str, t.Any]:
        hashes = {name: "outdated" for name in self.replaced}
        return {
            "changed": bool(self.replaced),
            "replaced": self.replaced,
            "left": self.left,
            "problems": self.problems,
            "versions": self.versions,
            "diff": {"before": hashes, "after": dict.fromkeys(hashes, "replaced")},
        }

    def _manager(self) -> None:
        """Wait until the manager is of the release's version; its caches are warm when it is available."""
        refused_since: float | None = None
        while True:
            deployment = self.api.get(f"{APPS}/deployments/colocation-manager")
            why = _wave.manager_unready(deployment)
            if why is None:
                return
            refused = _wave.not_made(deployment)
            refused_since = (refused_since or time.monotonic()) if refused else None
            if refused_since is not None and time.monotonic() - refused_since >= REFUSED_SECONDS:
                self._close([f"the pods of the manager cannot be created: {refused}"])
            pods = [p for p in self._pods("manager") if not p["metadata"].get("deletionTimestamp")]
            for pod in pods:
                given = _wave.hopeless(pod)
                if given:
                    self._close([f"the manager does not start: {given}"])
            if not self._sleep():
                outcome = [_wave.unready(p) for p in pods if not _wave.is_ready(p)]
                self._close([f"the manager is not ready within {self.params['timeout']} s: {'; '.join([why, *outcome])}"])

    def _replace(self) -> None:
        wanted = self._wanted()
        self.left = {n: why for n, row in self.rows.items() for why in [_wave.sick_before(row, wanted, self._now())] if why}
        if len(self.left) > self.params["may_be_sick"]:
            sick = [f"{name}: {why}" for name, why in self.left.items()]
            self._close([f"{len(sick)} node(s) were sick before, and {self.params['may_be_sick']} may be", *sick])
        untouched = [n for n in self.left if not _cluster.ready(self.rows[n]["node"])]
        todo = [
            n
            for n, row in self.rows.items()
            if row["pod"] is not None and n not in untouched and _wave.outdated(row["pod"], wanted)
        ]
        if self.check_mode:
            self.replaced = todo
            return
        # The health check covers all nodes of the wave, so that a rollout that was cut short is judged by the run that finishes it.
        away = [n for n in self.rows if n not in todo and n not in self.left] if self.params["soak"] else []
        most = self.params["at_once"] or len(self.rows)
        while True:
            while todo and len(away) < most:
                name = todo.pop(0)
                self._delete(self.rows[name]["pod"])
                self.replaced.append(name)
                if name not in self.left:
                    away.append(name)
            why = {n: w for n in away for w in [self._why_not(n, wanted)] if w}
            away = list(why)
            if not away and not todo:
                return
            if not self._sleep():
                late = f"within {self.params['timeout']} s"
                self._close([f"{name} is not well {late}: {reason}" for name, reason in why.items()])
            self._look()

    def _why_not(self, name: str, wanted: str) -> str | None:
        pod = self.rows[name]["pod"]
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return self._not_made()
        if _wave.outdated(pod, wanted):
            return "its agent is of another revision"
        given = _wave.hopeless(pod)
        if given:
            self._close([f"{name}: its new agent does not start: {given}"])
        return _wave.why_not(self.rows[name], self._now())

    def _not_made(self) -> str:
        """A DaemonSet has no condition for pods that the API server refuses: only its Events say so."""
        which = "involvedObject.kind=DaemonSet,involvedObject.name=colocation-agent,reason=FailedCreate"
        events = self.api.list(f"/api/v1/namespaces/{NAMESPACE}/events", field_selector=which)
        newest = max(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), default=None)
        return "its new agent has not been made" + (f": {newest.get('message', '')}"[:500] if newest else "")

    def _soak(self) -> None:
        """Watch: everything has to stay as it is."""
        wanted = self._wanted() if self.rows else ""
        judged = [name for name in self.replaced if name not in self.left]
        begun = {name: _wave.restarts(self.rows[name]["pod"]) for name in judged}
        lowest: dict[str, dict[str, float]] = {}
        end = time.monotonic() + self.params["soak"]
        while time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            self._look()
            problems = [f"{n} did not stay well: {w}" for n in judged for w in [self._why_not(n, wanted)] if w]
            for name in judged if not problems else []:
                if _wave.restarts(self.rows[name]["pod"]) > begun[name]:
                    problems.append(f"{name}: its new agent restarted")
                seen = _wave.pressure(self.rows[name]["ncol"])
                known = lowest.setdefault(name, seen)
                lowest[name] = {key: min(value, known.get(key, value)) for key, value in seen.items()}
            why = _wave.manager_unready(self.api.get(f"{APPS}/deployments/colocation-manager"))
            if why:
                problems.append(f"the manager did not stay well: {why}")
            if problems:
                self._close(problems)
        outcome = [
            f"{name}: {given}"
            for name, seen in lowest.items()
            for given in _wave.risen(self.rows[name]["pressure_before"], seen, self.params["pressure_rise"])
        ]
        more = self._counted() - self.failures
        if more > 0:
            outcome.append(f"the manager could not evaluate nodes {more:.0f} time(s) since the wave began")
        if outcome:
            self._close(outcome)

    def _look(self, before: bool = False) -> None:
        """Nodes, agents and reports, read again."""
        if not self.params["nodes"]:
            return
        nodes = {n["metadata"]["name"]: n for n in self.api.nodes()}
        pods = {
            p["spec"].get("nodeName"): p
            # The pod that stays comes last, so that it is the one that counts.
            for p in sorted(self._pods("agent"), key=lambda p: "deletionTimestamp" not in p["metadata"])
        }
        ncols = {o["metadata"]["name"]: o for o in self.api.list(f"/apis/{API_GROUP}/{API_VERSION}/nodecolocations")}
        if before:
            missing = [name for name in self.params["nodes"] if name not in nodes]
            if missing:
                raise Unhealthy(f"No such Node: {', '.join(missing)}. Nothing was changed.")
            self.rows = {
                name: {
                    "published_before": _state.carries(nodes[name]),
                    "refused_before": _wave.refused(ncols.get(name)),
                    "pressure_before": _wave.pressure(ncols.get(name)),
                }
                for name in dict.fromkeys(self.params["nodes"])
                if _state.label_of(nodes[name]) == "true"
            }
        for name, row in self.rows.items():
            row.update(node=nodes.get(name, {"metadata": {}}), pod=pods.get(name), ncol=ncols.get(name))
            self.versions[name] = ((row["ncol"] or {}).get("status") or {}).get("agentVersion", "")

    def _wanted(self) -> str:
        while True:
            daemonset = self.api.get(f"{APPS}/daemonsets/colocation-agent")
            if daemonset is None:
                raise Unhealthy("There is no DaemonSet colocation-agent; site installs it. Nothing was changed.")
            wanted = _wave.wanted_hash(daemonset, self.api.list(f"{APPS}/controllerrevisions"))
            if wanted:
                return wanted
            if not self._sleep():
                self._close(["the DaemonSet's controller has not seen the change; is kube-controller-manager running?"])

    def _pods(self, component: str) -> list[dict[str, t.Any]]:
        return self.api.list(PODS, label_selector=f"{COMPONENT}={component}")

    def _delete(self, pod: dict[str, t.Any]) -> None:
        only = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            self.api.request("DELETE", f"{PODS}/{quote(pod['metadata']['name'])}", only)
        except ApiError as e:
            if e.status not in (404, 409):  # gone, or another by now: looked at again
                raise

    def _counted(self) -> float:
        """Nodes that the manager could not evaluate since it began; 0 where it does not answer."""
        try:
            return _wave.counter(self.api.text(METRICS), FAILURES)
        except ApiError:
            return 0.0

    def _close(self, problems: list[str]) -> t.NoReturn:
        self.problems = problems
        raise Unhealthy("The health check failed: " + "; ".join(problems) + ".")

    @staticmethod
    def _now() -> datetime.datetime:
        return datetime.datetime.now(datetime.timezone.utc)

    def _sleep(self) -> bool:
        """False once the time is over."""
        if time.monotonic() + POLL_SECONDS > self.deadline:
            return False
        time.sleep(POLL_SECONDS)
        return True


def main() -> None:
    module, api = make_module(
        {
            "nodes": {"type": "list", "elements": "str", "default": []},
            "at_once": {"type": "int", "default": 0},
            "soak": {"type": "int", "default": 0},
            "pressure_rise": {"type": "int", "default": 30},
            "timeout": {"type": "int", "default": 300},
            "may_be_sick": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    wave = Wave(api, module.params, module.check_mode)
    try:
        wave.run()
    except (Unhealthy, ApiError) as e:
        module.fail_json(msg=str(e), **wave.result())
    module.exit_json(**wave.result())


if __name__ == "__main__":
    main()
