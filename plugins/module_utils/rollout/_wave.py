# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Decisions about a wave of agents, without I/O: which are outdated, and whether the next wave may begin."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster, _state

JSON = t.Dict[str, t.Any]
HASH = "controller-revision-hash"
HOPELESS = (
    *("CrashLoopBackOff", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"),
    *("CreateContainerConfigError", "CreateContainerError"),
)
"""Reasons by which kubelet says that it tried more than once, or that trying is no use."""
RESOURCES = ("cpu", "memory", "io")


def wanted_hash(daemonset: JSON, revisions: t.Iterable[JSON]) -> str | None:
    """The revision that new pods of a DaemonSet get; None while its controller has not seen the newest template."""
    seen = (daemonset.get("status") or {}).get("observedGeneration", 0)
    if seen < daemonset["metadata"].get("generation", 0):
        return None
    uid = daemonset["metadata"]["uid"]
    ours = [r for r in revisions if any(o.get("uid") == uid for o in r["metadata"].get("ownerReferences") or [])]
    newest = max(ours, key=lambda r: int(r.get("revision", 0)), default=None)
    return newest["metadata"]["labels"].get(HASH) if newest else None


def outdated(pod: JSON, wanted: str) -> bool:
    return (pod["metadata"].get("labels") or {}).get(HASH) != wanted


def is_ready(pod: JSON) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return not pod["metadata"].get("deletionTimestamp") and any(
        c.get("type") == "Ready" and c.get("status") == "True" for c in conditions
    )


def hopeless(pod: JSON) -> str | None:
    """Why this pod will not start, in the words of kubelet; None while it may."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in HOPELESS:
            ended = (status.get("lastState") or {}).get("terminated") or {}
            answer = waiting.get("message") or ""
            if ended:
                answer = f"exit code {ended.get('exitCode')} {ended.get('message') or ''}"
            return f"{waiting['reason']} of image {status.get('image', '?')}: {' '.join(answer.split())[:200]}".rstrip(": ")
    return None


def not_made(workload: JSON | None) -> str:
    """Why the API server refuses the pods of this Deployment, in its own words; empty while it does not."""
    for condition in ((workload or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return " ".join(str(condition.get("message") or condition.get("reason") or "").split())[:500]
    return ""


def unready(pod: JSON) -> str:
    """Why a pod is not ready yet, as far as it is known."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"it cannot be scheduled: {condition.get('message', '')}"
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting:
            return f"{waiting.get('reason', 'waiting')} {waiting.get('message', '')}".strip()
    return f"it is {status.get('phase', 'Pending')} and not ready"


def restarts(pod: JSON) -> int:
    return sum(int(s.get("restartCount", 0)) for s in (pod.get("status") or {}).get("containerStatuses") or [])


def started(pod: JSON) -> datetime.datetime | None:
    """When the pod's container began to run, by its node's clock."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        running = (status.get("state") or {}).get("running") or {}
        if running.get("startedAt"):
            return _time(running["startedAt"])
    return None


def reported_since(ncol: JSON | None, since: datetime.datetime | None) -> bool:
    """True once the agent that began then has reported; both times are the node's own."""
    answer = _time(((ncol or {}).get("status") or {}).get("observedAt") or "")
    return answer is not None and since is not None and answer >= since


def _time(stamp: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(stamp.partition(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None


def refused(ncol: JSON | None) -> str | None:
    """What the agent says it cannot do; None if it can all. What its kernel never had (Supported) is no failure."""
    for condition in ((ncol or {}).get("status") or {}).get("conditions") or []:
        if condition.get("status") == "False" and condition.get("type") != "Supported":
            return f"{condition.get('type')} is False: {condition.get('message') or condition.get('reason')}"
    return None


def pressure(ncol: JSON | None) -> dict[str, float]:
    """PSI "some avg10" in percent, as the node's kernel reports it."""
    result = ((ncol or {}).get("status") or {}).get("pressure") or {}
    return {name: float(result[name]) for name in RESOURCES if result.get(name) is not None}


def risen(before: t.Mapping[str, float], lowest: t.Mapping[str, float], allowed: float) -> list[str]:
    """Pressure that rose by more than allowed, and never came back while it was watched."""
    return [
        f"{name} pressure rose from {before.get(name, 0.0):.0f} % to {value:.0f} %"
        for name, value in sorted(lowest.items())
        if value > before.get(name, 0.0) + allowed
    ]


def manager_unready(deployment: JSON | None) -> str | None:
    """Why the manager is not what the release says; None when it is."""
    if deployment is None:
        return "there is no Deployment colocation-manager"
    status, wanted = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return "its controller has not seen the change yet"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted or available < wanted or status.get("replicas", 0) > wanted:
        return f"{updated} of {wanted} are of the new version, {available} are available"
    return None


def counter(metrics: str, name: str) -> float:
    """The sum of a counter's series in Prometheus text."""
    matches = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", metrics, re.MULTILINE)
    return sum(float(value) for value in matches)


def why_not(row: JSON, now: datetime.datetime) -> str | None:
    """What one node of a wave still misses; None when it has passed the health check."""
    pod, ncol, node = row["pod"], row["ncol"], row["node"]
    if pod is None:
        return "there is no agent on it"
    if not is_ready(pod):
        return f"its agent is not ready: {unready(pod)}"
    if not reported_since(ncol, started(pod)):
        return "its agent has not reported since it was replaced"
    if row["published_before"] and not _state.carries(node):
        return _state.why_unpublished(node, ncol, now)
    answer = refused(ncol)
    if answer and not row["refused_before"]:
        return f"its agent cannot do what it should: {answer}"
    return None


def sick_before(row: JSON, wanted: str, now: datetime.datetime) -> str | None:
    """Why a node was sick before its agent was replaced; None for one on which the new agent must be healthy.

    An agent of the wanted version that is not well is what an earlier run of this roll-out did: that counts.
    """
    if not _cluster.ready(row["node"]):
        return f"the node is not ready: {_cluster.why_not_ready(row['node'])}"
    if row["pod"] is not None and not outdated(row["pod"], wanted):
        return None
    return why_not(row, now)
