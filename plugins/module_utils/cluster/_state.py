# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Decisions about one node, without I/O: published or not and why, who must go, who would break."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils import _quantity
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import (
    BE_CPU,
    MIRROR_ANNOTATION,
    NODE_LABEL,
    QOS_ANNOTATION,
    WITHDRAWN_ANNOTATION,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import KEYS

JSON = t.Dict[str, t.Any]
FINISHED = ("Succeeded", "Failed")


def label_of(node: JSON) -> str | None:
    return (node["metadata"].get("labels") or {}).get(NODE_LABEL)


def leftover_keys(node: JSON) -> list[str]:
    """Our keys in the Node's status, wherever they are."""
    status = node.get("status") or {}
    there = {*(status.get("capacity") or {}), *(status.get("allocatable") or {})}
    return [key for key in KEYS if key in there]


def withdrawn_note(node: JSON) -> str | None:
    return (node["metadata"].get("annotations") or {}).get(WITHDRAWN_ANNOTATION)


def carries(node: JSON) -> bool:
    status = node.get("status") or {}
    return all(BE_CPU in (status.get(part) or {}) for part in ("capacity", "allocatable"))


def published(node: JSON, ncol: JSON | None) -> bool:
    """True if what the node publishes rests on a report of our agent: it may be another manager's number until then."""
    return carries(node) and bool(((ncol or {}).get("status") or {}).get("observedAt"))


def purge_patch(node: JSON) -> JSON | None:
    """A merge patch of nodes/status that takes away all that is ours; None when nothing is left.

    Capacity and allocatable together: a key gone from capacity alone stays in allocatable forever.
    """
    keys, note = leftover_keys(node), withdrawn_note(node)
    if not keys and note is None:
        return None
    patch: JSON = {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}}
    if note is not None:
        patch["metadata"]["annotations"] = {WITHDRAWN_ANNOTATION: None}
    if keys:
        gone = dict.fromkeys(keys)
        patch["status"] = {"capacity": gone, "allocatable": gone}
    return patch


def why_unpublished(node: JSON, ncol: JSON | None, now: datetime.datetime) -> str:
    """What this node still misses, in one clause that says where to look."""
    if ncol is None:
        return "the manager has made no NodeColocation for it (is the Deployment colocation-manager running?)"
    status = ncol.get("status") or {}
    spec = ncol.get("spec") or {}
    note = withdrawn_note(node)
    observed = status.get("observedAt")
    if not observed:
        return "its agent has not reported yet (is the DaemonSet's pod on this node running?)"
    age = age_seconds(observed, now)
    interval = int((spec.get("report") or {}).get("intervalSeconds") or 60)
    if age is not None and age > 3 * interval:
        return f"its agent's last report is {age} s old (one is due every {interval} s)"
    if not spec.get("policy"):
        return "no ColocationPolicy selects it"
    if spec.get("enabled") is False:
        return f"its policy {spec['policy'].get('name', '')} is disabled"
    if note:
        return f"the manager withdrew it: {note}"
    return "it reports, and the manager has not published it yet"


def age_seconds(stamp: str, now: datetime.datetime) -> int | None:
    """Seconds since an RFC 3339 time; None for what is no such time. Python 3.9 reads neither Z nor nanoseconds."""
    text = stamp.replace("Z", "+00:00")
    head, dot, tail = text.partition(".")
    if dot:
        text = head + tail.lstrip("0123456789")
    try:
        then = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=datetime.timezone.utc)
    return max(0, int((now - then).total_seconds()))


def sentence(row: JSON, check_mode: bool = False) -> str:
    """One node's part, for the summary of a play."""
    name = row["name"]
    does = "would take" if check_mode else "takes"
    if row.get("purged"):
        return f"{name} {does} no part any more; removed {', '.join(row['purged'])}."
    if not row.get("labelled"):
        left = f"; {len(row['evicted'])} best-effort pod(s) evicted" if row.get("evicted") else ""
        return f"{name} {does} no part{left}."
    if row.get("published"):
        return f"{name} {does} part and oversells {amount(row)}."
    if check_mode:
        return f"{name} {does} part."
    return f"{name} takes part and has published nothing yet{': ' + row['why'] if row.get('why') else ''}."


def amount(row: JSON) -> str:
    """What a node publishes, in words."""
    return f"{row.get('be_cpu') or 0}m of CPU and {(row.get('be_memory') or 0) >> 20} MiB of memory"


def whole(quantity: str | None) -> int | None:
    """A whole quantity as a number: the API server writes 1000 back as "1k"."""
    return None if quantity is None else _quantity.parse(quantity)


def pod_name(pod: JSON) -> str:
    return f"{pod['metadata'].get('namespace', 'default')}/{pod['metadata']['name']}"


def finished(pod: JSON) -> bool:
    return (pod.get("status") or {}).get("phase") in FINISHED


def asks_for_ours(pod: JSON) -> bool:
    """True if the scheduler counts one of our keys for this pod."""
    spec = pod.get("spec") or {}
    containers = (spec.get("containers") or []) + (spec.get("initContainers") or [])
    return any(
        key in ((c.get("resources") or {}).get(part) or {})
        for c in containers
        for part in ("requests", "limits")
        for key in KEYS
    )


def must_leave(pod: JSON) -> bool:
    """True for a pod that has to be gone before the node's keys can be.

    A mirror pod cannot be evicted, and a DaemonSet's pod would come back at once: those go only if they hold our keys.
    """
    if finished(pod) or _mirror(pod):
        return False
    if asks_for_ours(pod):
        return True
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(QOS_ANNOTATION) == "BE" and not _daemon(pod)


def needs_label(pod: JSON, node: JSON) -> bool:
    """True if this pod may be here only because of our label: kubelet would fail it at its next restart.

    A DaemonSet's pod is not counted: its controller takes it away as soon as the label is gone.
    """
    if finished(pod) or _daemon(pod) or _mirror(pod):
        return False
    before = node["metadata"].get("labels") or {}
    after = {key: value for key, value in before.items() if key != NODE_LABEL}
    name = node["metadata"]["name"]
    return _fits(pod, before, name) and not _fits(pod, after, name)


def refusal(node: JSON, pods: t.Iterable[JSON], drain: bool) -> str | None:
    """Why the label must stay for now, with the pods named; None when it may go."""
    bound = sorted(pod_name(p) for p in pods if needs_label(p, node) and not (drain and must_leave(p)))
    if not bound:
        return None
    return (
        f"Node {node['metadata']['name']} keeps its label {NODE_LABEL}: {len(bound)} pod(s) require it by node "
        f"affinity or nodeSelector and would fail at kubelet's next restart: {', '.join(bound)}. "
        "Move or delete them first."
    )


def _daemon(pod: JSON) -> bool:
    return any(o.get("kind") == "DaemonSet" for o in pod["metadata"].get("ownerReferences") or [])


def _mirror(pod: JSON) -> bool:
    return MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})


def _fits(pod: JSON, labels: t.Mapping[str, str], node: str) -> bool:
    """As the scheduler and kubelet see it: nodeSelector and required node affinity."""
    spec = pod.get("spec") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(term, labels, node) for term in required.get("nodeSelectorTerms") or [])


def _term(term: JSON, labels: t.Mapping[str, str], node: str) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False  # an empty term matches nothing
    return all(_expression(e, labels) for e in expressions) and all(
        _expression(f, {"metadata.name": node}) for f in fields
    )


def _expression(expression: JSON, labels: t.Mapping[str, str]) -> bool:
    key, operator, values = expression.get("key", ""), expression.get("operator"), expression.get("values") or []
    value = labels.get(key)
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value is None or value not in values
    if operator in ("Gt", "Lt") and value is not None and len(values) == 1:
        try:
            have, want = int(value), int(values[0])
        except ValueError:
            return False
        return have > want if operator == "Gt" else have < want
    return False
