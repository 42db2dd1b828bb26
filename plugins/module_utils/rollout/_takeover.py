# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Other managers that oversell: which workloads they are, and how to stop and start them again. Without I/O."""

from __future__ import annotations

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import RELEASE

JSON = t.Dict[str, t.Any]
KNOWN = {
    ("Deployment", "koord-manager"): "Koordinator",
    ("DaemonSet", "koordlet"): "Koordinator",
    ("DaemonSet", "volcano-agent"): "Volcano's agent",
    ("Deployment", "colocation-manager"): "openFuyao's own manager",
    ("DaemonSet", "colocation-agent"): "openFuyao's own manager",
    ("DaemonSet", "colocation-overquota-agent"): "openFuyao's own manager",
}
BEFORE = "colocation.openfuyao.com/replicas-before"
"""On a Deployment that was stopped: how many replicas it had."""
STOPPED = "colocation.openfuyao.com/stopped"
"""In the node selector of a DaemonSet that was stopped: no Node has this label."""
PATHS = {"Deployment": "deployments", "DaemonSet": "daemonsets"}


def path_of(workload: JSON) -> str:
    metadata = workload["metadata"]
    return f"/apis/apps/v1/namespaces/{metadata['namespace']}/{PATHS[workload['kind']]}/{metadata['name']}"


def title(workload: JSON) -> str:
    metadata = workload["metadata"]
    return f"{workload['kind']}/{metadata['namespace']}/{metadata['name']}"


def ours(workload: JSON) -> bool:
    """True for what the rollout's own Helm release made."""
    notes = workload["metadata"].get("annotations") or {}
    return (
        notes.get("meta.helm.sh/release-name") == RELEASE and notes.get("meta.helm.sh/release-namespace") == NAMESPACE
    )


def others(workloads: t.Iterable[JSON], named: t.Collection[str] = ()) -> list[JSON]:
    """The workloads of other managers: the known ones, and those that the operator names as KIND/NAMESPACE/NAME."""
    return [
        w
        for w in workloads
        if not ours(w) and ((w["kind"], w["metadata"]["name"]) in KNOWN or title(w) in named)
    ]


def who(workload: JSON) -> str:
    return KNOWN.get((workload["kind"], workload["metadata"]["name"]), "another manager")


def stopped(workload: JSON) -> bool:
    spec = workload["spec"]
    if workload["kind"] == "Deployment":
        return spec.get("replicas", 1) == 0
    return STOPPED in (spec["template"]["spec"].get("nodeSelector") or {})


def by_us(workload: JSON) -> bool:
    """True if it was us who stopped it, so that we may start it again."""
    if workload["kind"] == "Deployment":
        return BEFORE in (workload["metadata"].get("annotations") or {})
    return stopped(workload)


def in_the_way(workload: JSON) -> bool:
    """True if Helm could not install ours beside it: the same name in our namespace."""
    metadata = workload["metadata"]
    return metadata["namespace"] == NAMESPACE and metadata["name"] in ("colocation-manager", "colocation-agent")


def stop_patch(workload: JSON) -> JSON | None:
    """A merge patch after which none of its pods runs; None if none does."""
    if stopped(workload):
        return None
    if workload["kind"] == "Deployment":
        before = str(workload["spec"].get("replicas", 1))
        return {"metadata": {"annotations": {BEFORE: before}}, "spec": {"replicas": 0}}
    return {"spec": {"template": {"spec": {"nodeSelector": {STOPPED: "true"}}}}}


def start_patch(workload: JSON) -> JSON | None:
    """The way back; None for what was not stopped by us."""
    if not by_us(workload):
        return None
    if workload["kind"] == "Deployment":
        before = workload["metadata"]["annotations"][BEFORE]
        patch: JSON = {"metadata": {"annotations": {BEFORE: None}}}
        if workload["spec"].get("replicas", 1) == 0:  # else somebody else has started it
            patch["spec"] = {"replicas": int(before)}
        return patch
    return {"spec": {"template": {"spec": {"nodeSelector": {STOPPED: None}}}}}


def running(workload: JSON) -> int:
    """How many of its pods there are still, as its controller counts them."""
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return 1  # not looked at yet
    return int(status.get("replicas" if workload["kind"] == "Deployment" else "currentNumberScheduled") or 0)


def problems(managers: t.Iterable[JSON], migrate: bool) -> list[str]:
    """Why a rollout cannot continue next to these."""
    result = []
    for w in managers:
        if in_the_way(w):
            result.append(
                f"{title(w)} ({who(w)}) has the name of one of ours. Uninstall it with the Helm release that made it: the numbers on "
                "the Nodes stay while no manager writes them, and ours continue from there."
            )
        elif not migrate and not stopped(w):
            result.append(
                f"{title(w)} ({who(w)}) oversells on this cluster, and two would publish the same capacity twice. site -e colocation_migrate=true stops it and "
                "continues from its numbers; or switch it off first."
            )
    return result
