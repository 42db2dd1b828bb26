#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: colocation_verify
short_description: Prove that colocation works, by a probe, and clean up
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Checks that every node publishes by a fresh report, then puts small pods on one node, in a namespace of their own, and watches what
    becomes of them. A best-effort pod is admitted as such, scheduled by oversold resources, held to its CPU and to its memory, gives
    way to an online pod, and is evicted above the memory mark.
  - What is measured is measured by the probes themselves, by the kernel's clock of their own CPU time. No word of the agent is taken
    for it.
  - Squeezing and evicting are tried in a sandbox only, a node without other best-effort pods that gets a policy of its own for a
    minute. The policy lets no other best-effort pod in, and its marks are lowered until they are reached, so that no real shortage is
    needed. Where every node runs best-effort pods these checks are skipped and reported as "not tried".
  - Everything that was made is removed at the end, also after a failure, and what an earlier run left over at the beginning. A probe
    ends by itself after ten minutes. What the evicted probe requested is published again after C(growAfterSeconds) only.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.k8s
attributes:
  check_mode:
    support: partial
    details: In check mode only what needs no pod is checked.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  nodes:
    description:
      - Names of the Nodes that have to publish, and of which one is probed.
    type: list
    elements: str
    required: true
  timeout:
    description:
      - Seconds to wait for any one thing.
    type: int
    default: 90
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
seealso:
  - module: openfuyao.colocation.colocation_info
"""

EXAMPLES = r"""
- name: Prove that it works
  openfuyao.colocation.colocation_verify:
    kubeconfig: /etc/kubernetes/admin.conf
    nodes:
      - node-a
"""

RETURN = r"""
claims:
  description: What was claimed, and what was found.
  returned: always
  type: list
  elements: dict
  contains:
    claim:
      description: The claim, in words.
      type: str
    passed:
      description: Whether it holds; V(null) if it was not tried.
      type: bool
    words:
      description: What was found, or why it was not tried.
      type: str
lines:
  description: The same, a line each.
  returned: always
  type: list
  elements: str
node:
  description: The node that was probed.
  returned: when there was one
  type: str
"""

import signal
import time
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, API_VERSION, GATE, NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _manager, _verify
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module

POLL_SECONDS = 1.0
MEASURE_SECONDS = 5.0
PODS = f"/api/v1/namespaces/{_verify.NAMESPACE}/pods"
POLICIES = f"/apis/{API_GROUP}/{API_VERSION}/colocationpolicies"
AGENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/colocation-agent"
PUBLISHES = "every node publishes, by a fresh report"
ADMITTED = "a best-effort pod is admitted as such"
SCHEDULED = "it is scheduled by oversold resources, and runs"
LIMITED = "it is held to its CPU"
BOUNDED = "it is held to its memory"
SQUEEZED = "it gives way to an online pod under load"
EVICTED = "above the memory mark it is evicted, and the online pod stays"
CLEANED = "nothing is left of it"


class Failure(Exception):
    """The claim that is being tried does not hold."""


class NotTried(Exception):
    """The claim cannot be tried here."""


class Verify:
    """One run of the module."""

    def __init__(self, api: Api, params: dict[str, t.Any]) -> None:
        self.api, self.nodes, self.timeout = api, params["nodes"], params["timeout"]
        self.manager = _manager.Reader(api, NAMESPACE)
        self.claims: list[dict[str, t.Any]] = []
        self.row: dict[str, t.Any] = {}
        self.spec: dict[str, t.Any] = {}
        self.hostname = ""
        self.agent: dict[str, t.Any] = {}
        self.before = 0.0
        """Cores that the probe used when nothing was in its way."""

    def run(self, check_mode: bool) -> None:
        if not self.claim(PUBLISHES, self.publishes) or check_mode:
            return
        try:
            self.probe()
        finally:
            self.claim(CLEANED, self.cleaned)

    def probe(self) -> None:
        why = self.choose()
        if not self.row:
            for claim in (ADMITTED, SCHEDULED, LIMITED, BOUNDED, SQUEEZED, EVICTED):
                self.note(claim, None, f"{why[0].upper()}{why[1:]}.")
            return
        why = why or self.fence()
        if not (
            self.claim(ADMITTED, self.admitted)
            and self.claim(SCHEDULED, self.scheduled)
            and self.claim(LIMITED, self.limited)
            and self.claim(BOUNDED, self.bounded)
        ):
            return
        for claim, tried in ((SQUEEZED, self.squeezed), (EVICTED, self.evicted)):
            if why:
                self.note(claim, None, f"{why[0].upper()}{why[1:]}.")
            else:
                self.claim(claim, tried)

    def claim(self, claim: str, tried: t.Callable[[], str]) -> bool:
        try:
            self.note(claim, True, tried())
        except NotTried as e:
            self.note(claim, None, str(e))
        except (Failure, ApiError, _manager.NoAnswer) as e:
            self.note(claim, False, str(e))
        return self.claims[-1]["passed"] is True

    def note(self, claim: str, passed: bool | None, evidence: str) -> None:
        self.claims.append({"claim": claim, "passed": passed, "words": evidence})

    def publishes(self) -> str:
        result = {row["node"]: row for row in self.manager.ask("/v1/report")["nodes"]}
        wrong = [f"{n} takes no part" for n in self.nodes if n not in result]
        rows = [result[n] for n in self.nodes if n in result]
        wrong += [f"{r['node']}: {r['reason']}" for r in rows if r["withdrawn"] or r["cpu"]["published"] is None]
        if wrong:
            raise Failure("; ".join(wrong))
        oldest = max((row["reportAgeSeconds"] or 0 for row in rows), default=0)
        return f"{len(rows)} node(s), the oldest report {oldest:.0f} s old."

    def choose(self) -> str:
        """Find a node and its policy; why there is no sandbox, if there is none."""
        rows = self.manager.ask("/v1/report")["nodes"]
        # What an earlier run left over is no other's pod.
        self.clean()
        row, why = _verify.pick(rows, self.nodes)
        if row is None:
            return why
        self.row = row
        node = self.api.node(row["node"]) or {"metadata": {}}
        self.hostname = (node["metadata"].get("labels") or {}).get("kubernetes.io/hostname", row["node"])
        self.agent = self.api.request("GET", AGENT)
        self.spec = self.api.request("GET", f"{POLICIES}/{row['policy']}").get("spec") or {}
        self.api.request("POST", "/api/v1/namespaces", _namespace())
        self.wait("the namespace has no ServiceAccount", lambda: self.api.get(f"{PODS[:-5]}/serviceaccounts/default"))
        if self.spec.get("engine") == "none":
            return f"policy {row['policy']} says engine none: the agent only measures"
        return why

    def fence(self) -> str:
        """Put the sandbox around the node; why not, if somebody came in before."""
        self.policy()
        name = self.row["node"]
        self.wait(
            f"the policy {_verify.POLICY} did not take effect on {name}",
            lambda: str(((self.api.node(name) or {}).get("status") or {}).get("allocatable", {}).get(GATE)) == str(_verify.PROBES),
        )
        now = self.report()
        if now["bePods"]:
            self.api.request("DELETE", f"{POLICIES}/{_verify.POLICY}")
            return f"best-effort pods came to {name} in the meantime"
        return ""

    def policy(self, **changes: t.Any) -> None:
        body = _verify.sandbox(self.spec, self.hostname, **changes)
        if self.api.get(f"{POLICIES}/{_verify.POLICY}") is None:
            self.api.request("POST", POLICIES, body)
        else:
            self.api.merge(f"{POLICIES}/{_verify.POLICY}", {"spec": body["spec"]})

    def admitted(self) -> str:
        pod = self.make("probe", _verify.SPIN)
        wrong = _verify.admitted(pod)
        if wrong:
            raise Failure(f"{wrong}.")
        return f"Asked for {_verify.CPU}m and {_verify.MEMORY} MiB, got be-cpu and be-memory, priority-be."

    def scheduled(self) -> str:
        self.running("probe")
        return f"On {self.row['node']}, which publishes {self.row['cpu']['published']}m."

    def limited(self) -> str:
        limit = _verify.CPU / 1000
        self.wait(f"it uses more than {limit:.2f} cores", lambda: 0 <= (self.used() or 9) <= limit * 1.1 + 0.01)
        self.before = self.used() or 0.0
        return f"It would take a whole core, may have {limit:.2f}, and used {self.before:.2f} over {MEASURE_SECONDS:.0f} s."

    def bounded(self) -> str:
        self.make("greedy", _verify.TAKE)
        ended = self.wait("it is still running", lambda: _verify.killed(self.api.get(f"{PODS}/greedy") or {}))
        self.api.request("DELETE", f"{PODS}/greedy")
        if ended != "killed":
            raise Failure(f"A pod limited to {_verify.MEMORY} MiB took more: it {ended}.")
        return f"A pod that takes more than its {_verify.MEMORY} MiB was killed by the kernel."

    def squeezed(self) -> str:
        load = _verify.load_of(self.row["cpu"]["capacity"])
        fill = _verify.fill_of(self.row["memory"]) or 0
        self.make("online", _verify.LOAD, str(-(-load // 1000)), str(fill), online=load, mib=fill + _verify.MEMORY)
        try:
            self.running("online")
        except Failure as e:
            self.api.request("DELETE", f"{PODS}/online")
            raise NotTried(f"There is no space for an online pod of {load}m on {self.row['node']}: {e}") from e
        self.policy(**_verify.SQUEEZED)
        most = max(0.25 * self.before, 0.03)
        self.wait(f"it still uses more than {most:.2f} cores", lambda: 0 <= (v if (v := self.used()) is not None else 9) <= most)
        return (
            f"Beside an online pod of {load}m, on a node where {_verify.TARGET} % may be used (sandbox), it went from {self.before:.2f} to "
            f"{self.used():.2f} cores."
        )

    def evicted(self) -> str:
        if _verify.fill_of(self.row["memory"]) is None:
            raise NotTried(f"{self.row['node']} uses less than 2 % of its memory: there is no mark so low.")
        self.policy(**_verify.FULL)
        begun = time.monotonic()
        self.wait("it is still there", lambda: _going(self.api.get(f"{PODS}/probe")))
        seconds = time.monotonic() - begun
        online = self.api.get(f"{PODS}/online")
        if online is not None and (online.get("status") or {}).get("phase") != "Running":
            raise Failure("The online pod did not stay.")
        answer = [e.get("message", "") for e in self.api.list(f"{PODS[:-5]}/events") if e.get("reason") == "Evicted"]
        if not answer:
            raise Failure("It is gone, and the manager did not say that it evicted it.")
        return f"After {seconds:.0f} s, above a mark of 2 % (sandbox): {answer[-1]}."

    def cleaned(self) -> str:
        self.clean()
        result = f"Namespace {_verify.NAMESPACE} and policy {_verify.POLICY} are gone"
        if not self.row:
            return f"{result}."
        name = self.row["node"]
        self.wait(f"{name} is not as it was", lambda: self.report()["policy"] == self.row["policy"] and self.report()["open"])
        return f"{result}, and {name} follows {self.row['policy']} again."

    def clean(self) -> None:
        for path, only in (
            (f"{POLICIES}/{_verify.POLICY}", {}),
            (f"/api/v1/namespaces/{_verify.NAMESPACE}", {"propagationPolicy": "Background"}),
        ):
            try:
                self.api.request("DELETE", path, only)
            except ApiError as e:
                if e.status not in (404, 409):  # gone, or going
                    raise
        self.wait("the namespace does not go", lambda: self.api.get(f"/api/v1/namespaces/{_verify.NAMESPACE}") is None)

    def report(self) -> dict[str, t.Any]:
        rows = self.manager.ask("/v1/report")["nodes"]
        return next((row for row in rows if row["node"] == self.row["node"]), {"policy": None, "open": False, "bePods": 0})

    def make(self, name: str, script: str, *args: str, **more: int) -> dict[str, t.Any]:
        body = _verify.pod(name, self.hostname, self.agent, script, *args, **more)
        return self.api.request("POST", PODS, body)

    def running(self, name: str) -> None:
        def look() -> bool:
            return ((self.api.get(f"{PODS}/{name}") or {}).get("status") or {}).get("phase") == "Running"

        try:
            self.wait("", look)
        except Failure as e:
            raise Failure(f"The pod {name} does not run: {_verify.stuck(self.api.get(f'{PODS}/{name}') or {})}.") from e

    def used(self) -> float | None:
        """Cores that the probe used in the last seconds, by its own clock."""
        return _verify.rate(self.api.text(f"{PODS}/probe/log?tailLines=30"), MEASURE_SECONDS)

    def wait(self, why: str, look: t.Callable[[], t.Any]) -> t.Any:
        deadline = time.monotonic() + self.timeout
        while True:
            result = look()
            if result:
                return result
            if time.monotonic() > deadline:
                raise Failure(f"After {self.timeout} s {why}.")
            time.sleep(POLL_SECONDS)


def _going(pod: dict[str, t.Any] | None) -> bool:
    return pod is None or "deletionTimestamp" in pod["metadata"]


def _namespace() -> dict[str, t.Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/managed-by": "openfuyao.colocation"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _verify.NAMESPACE, "labels": labels}}


def stop(number: int, _frame: t.Any) -> t.NoReturn:
    """Ctrl-C or a lost connection: what was made is removed all the same."""
    raise SystemExit(128 + number)


def main() -> None:
    module, api = make_module(
        {"nodes": {"type": "list", "elements": "str", "required": True}, "timeout": {"type": "int", "default": 90}},
        supports_check_mode=True,
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    verify = Verify(api, module.params)
    try:
        verify.run(module.check_mode)
    except (Failure, ApiError, _manager.NoAnswer) as e:
        module.fail_json(msg=str(e), claims=verify.claims, lines=_verify.lines(verify.claims))
    result = {"claims": verify.claims, "lines": _verify.lines(verify.claims)}
    if verify.row:
        result["node"] = verify.row["node"]
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
