"""What the installation works on: policies, nodes, best-effort pods that wait. Pure judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from colocation.cli.doctor.finding import SHOWN, Finding, Level, Object, Unread, name_of, some
from colocation.model import names

PENDING_SECONDS: Final = 300.0
"""A best-effort pod that waits longer is worth a line: shorter waits are ordinary scheduling."""
_REMEDY: Final = {
    "Unlabelled": f"kubectl label node NODE {names.NODE_LABEL}=true, if it is to take part",
    "NoPolicy": "create a ColocationPolicy whose nodeSelector matches the node",
    "Disabled": "its policy says `enabled: false`: set it to true, if the node is to take part",
    "NoReport": "look at the agent's pod on that node: kubectl -n {namespace} get pods -o wide",
    "StaleReport": "look at the agent's pod on that node: kubectl -n {namespace} get pods -o wide",
    "InvalidReport": "kubectl -n {namespace} logs deploy/colocation-manager names the field; upgrade that node's agent",
}


def policies(items: Sequence[Object] | Unread) -> Iterator[Finding]:
    """ColocationPolicies and their conditions."""
    if isinstance(items, Unread):
        yield Finding("policies", Level.UNKNOWN, items.why)
        return
    if not items:
        text = "there is no ColocationPolicy: nothing is published on any node"
        yield Finding(
            "policies", Level.ERROR, text, "create one: docs/operations.md, charts/colocation-package/README.md"
        )
        return
    wrong = []
    for item in items:
        conditions = {c["type"]: c for c in item.get("status", {}).get("conditions", ())}
        for kind, bad in (("RolledOut", "Stopped"), ("Understood", "")):
            condition = conditions.get(kind)
            if condition and condition["status"] == "False" and bad in ("", condition["reason"]):
                wrong.append((name_of(item), f"{name_of(item)}: {condition['reason']}: {condition.get('message', '')}"))
    for name, text in wrong:
        yield Finding("policies", Level.WARNING, text, f"kubectl describe cpol {name}; docs/canary.md", [name])
    if not wrong:
        yield Finding("policies", Level.OK, f"{len(items)}: {', '.join(name_of(item) for item in items[:SHOWN])}")


def nodes(items: Sequence[Object] | Unread, rows: Sequence[Object] | Unread, namespace: str) -> Iterator[Finding]:
    """Nodes that take part, by why they publish nothing; ``rows``: of the manager's report."""
    if isinstance(rows, Unread) and isinstance(items, Unread):
        yield Finding("nodes", Level.UNKNOWN, items.why)
        return
    reasons, opened = {}, set()
    if not isinstance(items, Unread):
        labelled = [n for n in items if n["metadata"].get("labels", {}).get(names.NODE_LABEL) == "true"]
        reasons = {name_of(n): n["metadata"].get("annotations", {}).get(names.WITHDRAWN_ANNOTATION) for n in labelled}
        opened = {name_of(n) for n in labelled if names.GATE in n.get("status", {}).get("capacity", {})}
        if not labelled:
            label = f"kubectl label node NODE {names.NODE_LABEL}=true"
            yield Finding("nodes", Level.WARNING, f"none of {len(items)} nodes takes part", label)
            return
    if not isinstance(rows, Unread):  # the manager knows of nodes that have never published, too
        ours = [row for row in rows if row["node"] in reasons or isinstance(items, Unread)]
        reasons |= {row["node"]: row.get("withdrawal") or row["withdrawn"] for row in ours}
        opened |= {row["node"] for row in ours if row["open"]}
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(reasons.items()):
        if reason:
            by_reason.setdefault(reason, []).append(name)
    for reason, which in sorted(by_reason.items()):
        remedy = _REMEDY.get(reason, "colocation explain NODE").format(namespace=namespace)
        level = Level.OK if reason == "Disabled" else Level.WARNING
        yield Finding("nodes", level, f"{len(which)} withdrawn, {reason}{some(which)}", remedy, which)
    closed = len(reasons) - len(opened) - sum(map(len, by_reason.values()))
    text = f"{len(reasons)} take part: {len(opened)} open, {max(0, closed)} closed to new best-effort pods"
    yield Finding("nodes", Level.OK, text)


def pending(pods: Sequence[Object] | Unread, ages: Mapping[str, float]) -> Iterator[Finding]:
    """Best-effort pods that no node takes; ``ages``: seconds since creation, by namespace/name."""
    if isinstance(pods, Unread):
        yield Finding("pending", Level.UNKNOWN, pods.why)
        return
    waiting = {_full(pod): pod for pod in pods if _is_be(pod) and not pod["spec"].get("nodeName")}
    old = sorted(name for name in waiting if ages.get(name, 0) > PENDING_SECONDS)
    if not old:
        yield Finding("pending", Level.OK, f"{len(waiting)} best-effort pods wait, none for longer than 5 min")
        return
    reasons = Counter(_unscheduled(waiting[name]) for name in old)
    why = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    remedy = "colocation report shows which nodes are open and what is left; docs/runbook.md"
    yield Finding(
        "pending",
        Level.WARNING,
        f"{len(old)} best-effort pods wait for longer than 5 min{some(old)}: {why}",
        remedy,
        old,
    )


def _unscheduled(pod: Object) -> str:
    conditions = pod.get("status", {}).get("conditions", ())
    return next((str(c.get("message", "")) for c in conditions if c["type"] == "PodScheduled"), "") or "not yet tried"


def _is_be(pod: Object) -> bool:
    return bool(pod["metadata"].get("annotations", {}).get(names.QOS_ANNOTATION) == "BE")


def _full(pod: Object) -> str:
    return f"{pod['metadata'].get('namespace', 'default')}/{name_of(pod)}"
