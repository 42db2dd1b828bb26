# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Decisions about a cluster, without I/O: is it new enough, and can its nodes take part."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import BE_CPU, BE_MEMORY, GATE, NAMESPACE, NODE_LABEL
from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import MADE_ANNOTATION, RELEASE
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _state
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _versions

MINIMUM = _versions.KUBERNETES[0]
COUNTED = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
BOUNDS = ("min", "max", "maxLimitRequestRatio")
"""What a LimitRange compares a pod with: what is compared has to be there."""
PRIORITY = "priority-be"
PRIORITIES = (PRIORITY, "priority-ls", "priority-hls")
FOREIGN = {"kubernetes.io/batch-cpu": "Koordinator or Volcano's agent"}
"""Keys that others oversell by."""
GAINS = {
    "cpu.quota": "best-effort pods are capped, which nothing else does",
    "cpu.idle": "best-effort work yields the processor at once, at no cost",
    "cpu.burst": "online pods may use what they saved before they are throttled",
    "memory.limit": "a best-effort pod cannot take more memory than its limit",
    "memory.low": "the memory of online pods is reclaimed last",
    "io.throttle": "the disk use of best-effort pods can be capped",
    "io.weight": "online pods go first at the disk",
    "psi.cgroup": "evictions go by the pressure that online pods really feel",
    "psi.proc": "pressure of the node is seen, also by an upgrade's health check",
    "resctrl": "cache can be kept for online pods",
    "resctrl.bandwidth": "memory bandwidth can be kept for online pods",
}
JSON = t.Dict[str, t.Any]


def parse_version(version: JSON) -> tuple[int, int]:
    """Major and minor of a /version answer; vendors write "30+" or "30-eks"."""
    match = re.match(r"v?(\d+)\.(\d+)", str(version.get("gitVersion", "")))
    if match:
        return int(match.group(1)), int(match.group(2))
    major, minor = (re.match(r"\d+", str(version.get(k, ""))) for k in ("major", "minor"))
    return (int(major.group()), int(minor.group())) if major and minor else (0, 0)


def version_problems(version: JSON) -> list[str]:
    """Why this cluster cannot be rolled out to; empty when it can."""
    match, given = parse_version(version), version.get("gitVersion") or "unknown"
    if match < MINIMUM:
        return [
            f"The cluster is Kubernetes {given}; colocation needs {MINIMUM[0]}.{MINIMUM[1]} or newer. "
            "Upgrade the cluster first."
        ]
    return []


def ready_condition(node: JSON) -> JSON:
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == "Ready"), {})


def ready(node: JSON) -> bool:
    return ready_condition(node).get("status") == "True"


def why_not_ready(node: JSON) -> str:
    condition = ready_condition(node)
    return condition.get("message") or condition.get("reason") or "kubelet has not reported yet"


def not_ready(nodes: t.Iterable[JSON], names: t.Collection[str]) -> list[str]:
    """A sentence for each of these Nodes that is not ready."""
    return [
        f"Node {n['metadata']['name']} is not ready: {why_not_ready(n)}."
        for n in nodes
        if n["metadata"]["name"] in names and not ready(n)
    ]


def heartbeat(node: JSON) -> str:
    """When kubelet last reported its condition (RFC 3339); the node controller does not change this."""
    return ready_condition(node).get("lastHeartbeatTime") or ""


def reached(hosts: dict[str, JSON]) -> tuple[dict[str, JSON], dict[str, str]]:
    """The hosts that answered, and why each other did not: no connection, or one without what modules need there.

    A module that fails before it begins (no Python, a password for sudo, a folder without exec) answers nothing either.
    """
    answered = {host: given for host, given in hosts.items() if not given.get("unreachable") and not given.get("failed")}
    silent = {}
    for host in sorted(set(hosts) - set(answered)):
        answers = [str(hosts[host].get("msg") or "no answer"), str(hosts[host].get("module_stderr") or "").partition("\n")[0]]
        declared = " ".join(" ".join(answers).split()).replace("Task failed: ", "", 1).rstrip(".")
        what = "cannot be reached" if hosts[host].get("unreachable") else "runs no module"
        silent[host] = f"Inventory host {host} {what}: {declared}."
    return answered, silent


def node_problems(hosts: dict[str, JSON]) -> list[str]:
    """What the nodes reported about themselves."""
    return [
        f"Inventory host {host} cannot take part: {'; '.join(given['problems'])}."
        for host, given in sorted(hosts.items())
        if given.get("problems")
    ]


def node_row(node: JSON) -> JSON:
    """What the plays need of a Node."""
    status, metadata = node.get("status") or {}, node["metadata"]
    return {
        "name": metadata["name"],
        "ready": ready(node),
        "internal_ips": [
            a["address"] for a in (node.get("status") or {}).get("addresses") or [] if a.get("type") == "InternalIP"
        ],
        "kubelet": (status.get("nodeInfo") or {}).get("kubeletVersion", ""),
        "label": (metadata.get("labels") or {}).get(NODE_LABEL),
    }


def takes_part(node: JSON) -> bool:
    """True if anything on this Node is ours."""
    return _state.label_of(node) is not None or _state.purge_patch(node) is not None


def namespace_is_ours(namespace: JSON | None) -> bool:
    """True if there is none yet, or the rollout made it: the mark is set in the same request that makes it."""
    return namespace is None or MADE_ANNOTATION in (namespace["metadata"].get("annotations") or {})


def rollout_record(known: JSON | None, namespace_made: bool, labels: dict[str, str | None]) -> JSON:
    """What was there before us: the record kept so far, completed by nodes that it does not know.

    What is recorded once is never overwritten: by the second run everything that is there may be ours.
    """
    record = dict(known or {})
    record.setdefault("namespaceMade", namespace_made)
    record["labelsBefore"] = {**labels, **(record.get("labelsBefore") or {})}
    return record


def quota_warnings(quotas: t.Iterable[JSON]) -> list[str]:
    """Namespaces that refuse best-effort pods: these ask for be-cpu and be-memory, and a quota wants what it counts."""
    result = []
    for quota in quotas:
        spec, metadata = quota.get("spec") or {}, quota["metadata"]
        counted = sorted(set(spec.get("hard") or {}) & COUNTED)
        which = counted and best_effort_pods_under(spec)
        if which:
            result.append(
                f"Namespace {metadata['namespace']}: ResourceQuota {metadata['name']} counts {', '.join(counted)}, so every "
                f"{which} is refused there. Delete it and create it again with the scope NotBestEffort (scopes cannot be changed), and "
                f"limit the number of best-effort pods by requests.{GATE} in a quota of its own."
            )
    return result


def best_effort_pods_under(spec: JSON) -> str:
    """Which best-effort pods a quota of this spec counts; empty for none."""
    rows = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or []]
    rows += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    which = "best-effort pod"
    for row in rows:
        scope, operator, values = row.get("scopeName"), row.get("operator"), row.get("values") or []
        if scope == "NotBestEffort":
            return ""
        if scope == "PriorityClass":
            if operator == "DoesNotExist" or (
                operator in ("In", "NotIn") and (PRIORITY in values) != (operator == "In")
            ):
                return ""
        elif scope == "Terminating":
            which += " with activeDeadlineSeconds"
        elif scope == "NotTerminating":
            which += " without activeDeadlineSeconds"
    return which


def limit_warnings(ranges: t.Iterable[JSON]) -> list[str]:
    """Namespaces whose LimitRange wants something to be there that a best-effort pod has not."""
    result = []
    for match in ranges:
        metadata = match["metadata"]
        for limit in (match.get("spec") or {}).get("limits") or []:
            if limit.get("type") not in ("Container", "Pod"):
                continue
            fields = [f"{bound} {key}" for bound in BOUNDS for key in limit.get(bound) or {} if not has(limit, bound, key)]
            if fields:
                result.append(
                    f"Namespace {metadata['namespace']}: LimitRange {metadata['name']} has {', '.join(fields)} for each "
                    f"{limit['type'].lower()}, so every best-effort pod is refused there: it has none of that to compare. Run "
                    "best-effort pods in another namespace, or keep only default and defaultRequest in the LimitRange."
                )
    return result


def has(limit: JSON, bound: str, key: str) -> bool:
    """A best-effort pod has what this bound of a LimitRange is compared with."""
    if key in (BE_CPU, BE_MEMORY, GATE):
        return True
    if key in ("cpu", "memory") or limit["type"] == "Pod":
        return False
    # The API server makes a default of the max of a container, and a default request of its min.
    return bound != "maxLimitRequestRatio" or key in {**(limit.get("default") or {}), **(limit.get("max") or {})}


def priority_problems(classes: t.Iterable[JSON]) -> list[str]:
    """PriorityClasses of the chart's names that are not the release's; helm would stop at the first of them."""
    result = []
    for match in classes:
        metadata = match["metadata"]
        notes = metadata.get("annotations") or {}
        ours = (notes.get("meta.helm.sh/release-name"), notes.get("meta.helm.sh/release-namespace")) == (
            RELEASE,
            NAMESPACE,
        )
        if metadata["name"] in PRIORITIES and not ours:
            result.append(
                f"PriorityClass {metadata['name']} is there and does not belong to the release {RELEASE} in namespace {NAMESPACE}, which "
                f"has one of that name. If nothing else needs it: kubectl delete priorityclass {metadata['name']}. Pods that carry it "
                "keep the number that they were created with."
            )
    return result


def global_default(classes: t.Iterable[JSON]) -> str:
    """The PriorityClass that pods get which name none; of several the one with the lowest value, as the API server chooses."""
    match = [c for c in classes if c.get("globalDefault")]
    return (
        str(min(match, key=lambda c: (c.get("value", 0), c["metadata"]["name"]))["metadata"]["name"]) if match else ""
    )


def known_default(policy: JSON | None, manager: JSON | None) -> str | None:
    """What the installed admission, by policy or by the manager's webhook, takes for the default; None without either."""
    for variable in ((policy or {}).get("spec") or {}).get("variables") or []:
        match = re.fullmatch(r".* in \['', '(.*)'\]", str(variable.get("expression")))
        if variable.get("name") == "namesNoPriority" and match:
            return match.group(1)
    pod = (((manager or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
    arguments = [argument for container in pod.get("containers") or [] for argument in container.get("args") or []]
    if not any(argument.startswith("--webhook=") for argument in arguments):
        return None
    key = "--default-priority-class="
    return next((argument[len(key) :] for argument in arguments if argument.startswith(key)), "")


def default_warnings(default: str, known: str | None) -> list[str]:
    """C(known): the class that the installed release takes for the default, None where none is installed."""
    if known is None or default in ("", known, PRIORITY):
        return []
    return [
        f"PriorityClass {default} has globalDefault, and admission was installed for {known or 'a cluster without such a class'}: "
        "every best-effort pod that names no PriorityClass is refused. The playbook site sets the class in the release."
    ]


def other_managers(nodes: t.Iterable[JSON], ours: bool) -> list[str]:
    """Oversold resources of others; ``ours``: a rollout of this collection is noted in the cluster."""
    match: dict[str, list[str]] = {}
    writers: dict[str, set[str]] = {}
    for node in nodes:
        status = node.get("status") or {}
        keys = {*(status.get("capacity") or {}), *(status.get("allocatable") or {})}
        for key, who in (
            *FOREIGN.items(),
            *(() if ours else ((BE_CPU, "another colocation manager, openFuyao's most likely"),)),
        ):
            if key in keys:
                match.setdefault(who, []).append(node["metadata"]["name"])
                writers.setdefault(who, set()).update(field_managers(node, key))
    return [
        f"Nodes {', '.join(sorted(names)[:5])}{' and more' if len(names) > 5 else ''} have oversold resources of {who}"
        f"{' (written by ' + ', '.join(sorted(writers[who])) + ')' if writers[who] else ''}; what both publish is counted twice. "
        "site -e colocation_migrate=true takes over."
        for who, names in sorted(match.items())
    ]


def field_managers(node: JSON, key: str) -> set[str]:
    """Who wrote this resource of the Node, as the API server has noted it."""
    return {
        str(entry.get("manager"))
        for entry in node["metadata"].get("managedFields") or []
        for part in ("f:capacity", "f:allocatable")
        if f"f:{key}" in (((entry.get("fieldsV1") or {}).get("f:status") or {}).get(part) or {})
    }


def gains(features: t.Mapping[str, JSON]) -> list[str]:
    """What each feature that does not work would bring, and why it does not."""
    return [
        f"{name} is missing ({row.get('reason') or 'not tried'}): with it {GAINS[name]}."
        for name, row in sorted(features.items())
        if name in GAINS and not row.get("available")
    ]
