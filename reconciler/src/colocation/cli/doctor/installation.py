"""The installation's own parts: API server, CRDs, the caller's rights, manager, agents, admission. Pure judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from colocation.cli.doctor.finding import Finding, Level, Object, Unread, name_of, some, version_of
from colocation.model import names

OLDEST_KUBERNETES: Final = (1, 30)
LEASE_SECONDS: Final = 15.0
"""Without a renewal for this long no replica leads: the manager's `leaseDurationSeconds`."""


def kubernetes(version: Object) -> Iterator[Finding]:
    """The API server's version (GET /version)."""
    digits = [part.rstrip("+") for part in (str(version.get("major", "")), str(version.get("minor", "")))]
    found = tuple(int(part) for part in digits if part.isdigit())
    oldest = ".".join(map(str, OLDEST_KUBERNETES))
    text = version.get("gitVersion", "unknown")
    if len(found) == 2 and found < OLDEST_KUBERNETES:
        yield Finding("kubernetes", Level.ERROR, f"Kubernetes {text} is older than {oldest}", "upgrade the cluster")
    else:
        yield Finding("kubernetes", Level.OK, f"Kubernetes {text}")


def crds(served: Object | Unread | None) -> Iterator[Finding]:
    """Whether both kinds are served: the discovery document of our API group, None if it is not there."""
    if isinstance(served, Unread):
        yield Finding("crds", Level.UNKNOWN, served.why)
        return
    found = {item["name"] for item in (served or {}).get("resources", ())}
    if missing := sorted({"colocationpolicies", "nodecolocations"} - found):
        text = f"not served: {', '.join(f'{name}.{names.API_GROUP}/{names.API_VERSION}' for name in missing)}"
        yield Finding("crds", Level.ERROR, text, "install the chart with crds.install=true, or run playbooks/site.yml")
    else:
        yield Finding("crds", Level.OK, f"ColocationPolicy and NodeColocation are served ({names.API_VERSION})")


def rights(allowed: Mapping[str, bool], namespace: str) -> Iterator[Finding]:
    """What the caller may do, by a line for people."""
    missing = [right for right, yes in allowed.items() if not yes]
    if not missing:
        yield Finding("rights", Level.OK, "you may read all that is looked at, and ask the manager")
        return
    remedy = f"to be bound to you: ClusterRole colocation-view, Role colocation-explain in {namespace}, and the rest"
    yield Finding("rights", Level.WARNING, f"you may not: {'; '.join(missing)}", remedy, missing)


def manager(
    deployment: Object | Unread | None,
    pods: Sequence[Object] | Unread,
    lease_age: float | Unread | None,
    here: str,
    namespace: str,
) -> Iterator[Finding]:
    """Deployment, pods and Lease of the manager; ``lease_age``: seconds since its renewal, None without one."""
    if isinstance(deployment, Unread):
        yield Finding("manager", Level.UNKNOWN, deployment.why)
        return
    if deployment is None:
        text = f"no Deployment colocation-manager in namespace {namespace}"
        yield Finding(
            "manager", Level.ERROR, text, "install it (playbooks/site.yml, or the chart), or give --namespace"
        )
        return
    wanted = deployment["spec"].get("replicas", 1)
    ready = deployment.get("status", {}).get("readyReplicas", 0)
    version = version_of(deployment)
    if wanted == 0:
        scale = f"kubectl -n {namespace} scale deploy/colocation-manager --replicas=1"
        yield Finding("manager", Level.ERROR, "scaled to 0 replicas: no new amounts are published", scale)
    elif ready < wanted:
        level = Level.WARNING if ready else Level.ERROR
        text = f"{ready} of {wanted} replicas are ready{_because(pods)}"
        yield Finding("manager", level, text, f"kubectl -n {namespace} describe pods -l {_selector('manager')}")
    else:
        yield Finding("manager", Level.OK, f"{ready} of {wanted} replicas are ready, version {version}")
    yield from _leader(lease_age, ready, namespace)
    if _minor(version) != _minor(here):
        text = f"this command line is {here}, the manager {version}"
        yield Finding("versions", Level.WARNING, text, "install the command line of the manager's release")


def _leader(lease_age: float | Unread | None, ready: int, namespace: str) -> Iterator[Finding]:
    if isinstance(lease_age, Unread):
        yield Finding("leader", Level.UNKNOWN, lease_age.why)
    elif ready and (lease_age is None or lease_age > LEASE_SECONDS):
        since = "no manager holds" if lease_age is None else f"no manager has renewed for {lease_age:.0f} s"
        remedy = f"kubectl -n {namespace} logs deploy/colocation-manager; docs/runbook.md, The Lease is held"
        yield Finding("leader", Level.ERROR, f"{since} the Lease colocation-manager: no replica publishes", remedy)
    elif ready:
        yield Finding("leader", Level.OK, "one replica leads")


def agents(
    daemon_set: Object | Unread | None, pods: Sequence[Object] | Unread, version: str, namespace: str
) -> Iterator[Finding]:
    """DaemonSet and pods of the agent; ``version``: of the manager, empty if not known."""
    if isinstance(daemon_set, Unread):
        yield Finding("agents", Level.UNKNOWN, daemon_set.why)
        return
    if daemon_set is None:
        text = f"no DaemonSet colocation-agent in namespace {namespace}"
        yield Finding("agents", Level.ERROR, text, "install it (playbooks/site.yml, or the chart)")
        return
    status = daemon_set.get("status", {})
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    describe = f"kubectl -n {namespace} describe pods -l {_selector('agent')}"
    if ready < wanted:
        waiting = [] if isinstance(pods, Unread) else sorted(_node(pod) for pod in pods if not _is_ready(pod))
        level = Level.WARNING if ready else Level.ERROR
        text = f"{ready} of {wanted} agents are ready{_because(pods)}{some(waiting)}"
        yield Finding("agents", level, text, describe, waiting)
    elif wanted:
        yield Finding("agents", Level.OK, f"{ready} of {wanted} agents are ready, version {version_of(daemon_set)}")
    else:
        text = f"no agent is wanted: no node has the label {names.NODE_LABEL}=true, or no agent tolerates its taints"
        yield Finding("agents", Level.WARNING, text, f"kubectl label node NODE {names.NODE_LABEL}=true")
    if version and not isinstance(pods, Unread):
        yield from _skew(pods, version)


def _skew(pods: Sequence[Object], version: str) -> Iterator[Finding]:
    """Agents may be of the manager's minor version or of the one before."""
    ours = _minor(version)
    apart = [pod for pod in pods if (theirs := _minor(version_of(pod))) and ours and not _together(ours, theirs)]
    if apart:
        seen = ", ".join(sorted({version_of(pod) for pod in apart}))
        on = sorted(_node(pod) for pod in apart)
        text = f"{len(apart)} agents have version {seen}, the manager {version}{some(on)}"
        yield Finding("versions", Level.ERROR, text, "upgrade one minor version at a time (docs/versions.md)", on)


def _together(manager_minor: tuple[int, int], agent: tuple[int, int]) -> bool:
    return agent[0] == manager_minor[0] and agent[1] in (manager_minor[1], manager_minor[1] - 1)


def admission(
    policies: Sequence[Object] | Unread | None,
    bindings: Sequence[Object] | Unread | None,
    webhook: Object | Unread | None,
) -> Iterator[Finding]:
    """Whether best-effort pods are changed at all: by our policies with their bindings, or by the webhook."""
    install = "install the chart again: it chooses policies or the webhook by the cluster's version"
    ours = (
        []
        if policies is None or isinstance(policies, Unread)
        else [p for p in policies if name_of(p) == "colocation-pods"]
    )
    if ours:
        bound = [] if bindings is None or isinstance(bindings, Unread) else [name_of(b) for b in bindings]
        if isinstance(bindings, Unread):
            yield Finding("admission", Level.UNKNOWN, bindings.why)
        elif "colocation-pods" not in bound:
            text = "MutatingAdmissionPolicy colocation-pods has no binding: best-effort pods are not changed"
            yield Finding("admission", Level.ERROR, text, install)
        else:
            yield Finding("admission", Level.OK, "by the API server's own policies")
    elif isinstance(webhook, Unread):
        yield Finding("admission", Level.UNKNOWN, webhook.why)
    elif webhook is None:
        text = "neither MutatingAdmissionPolicy nor webhook colocation-pods: pods with our annotation are not changed"
        yield Finding("admission", Level.ERROR, text, install)
    elif not all(hook["clientConfig"].get("caBundle") for hook in webhook.get("webhooks", ())):
        text = "the webhook's caBundle is empty: the API server cannot call it"
        remedy = "the manager fills it in when it starts: is it ready? docs/admission.md"
        yield Finding("admission", Level.ERROR, text, remedy)
    else:
        yield Finding("admission", Level.OK, "by the manager's webhook")


def asked(rows: Sequence[Object] | Unread) -> Iterator[Finding]:
    """Whether the manager answers questions."""
    if isinstance(rows, Unread):
        yield Finding(
            "answers", Level.WARNING, f"the manager does not answer: {rows.why}", "see manager and rights above"
        )
    else:
        yield Finding("answers", Level.OK, "the manager answers report and explain")


def _minor(version: str) -> tuple[int, int] | None:
    """X and Y of X.Y.Z."""
    parts = version.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else None


def _is_ready(pod: Object) -> bool:
    """Whether a pod's condition Ready is true."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


def _state(pod: Object) -> str:
    """Why a pod is not ready, in the word that kubectl shows."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses", ()):
        for state in (container.get("state", {}).get("waiting"), container.get("state", {}).get("terminated")):
            if state:
                return str(state.get("reason", "Waiting"))
    if not pod["spec"].get("nodeName"):
        return "Unschedulable"
    phase = str(status.get("phase", "Pending"))
    return "NotReady" if phase == "Running" else phase


def _because(pods: Sequence[Object] | Unread) -> str:
    if isinstance(pods, Unread):
        return ""
    states = Counter(_state(pod) for pod in pods if not _is_ready(pod))
    return f" ({', '.join(f'{count} {state}' for state, count in states.most_common())})" if states else ""


def _node(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or name_of(pod))


def _selector(component: str) -> str:
    return f"app.kubernetes.io/component={component}"
