"""What the manager knows: nodes with their pods, reports and windows, and the policies. Owned by the loop's thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from colocation.budget import (
    Candidate,
    Hearing,
    ReportView,
    Selection,
    Staged,
    Suspicion,
    Windows,
    Workloads,
    select_policy,
    suspicions,
    unknown_pods,
)
from colocation.kube.cache import Bad, Delete, Event, Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.manager.node import ColocationFacts, NodeState, PolicyFacts, awaited
from colocation.model.facts import Evicted, NodeFacts, PodFacts, Qos
from colocation.model.report import MAX_PODS, PodUsage, Scores

log = logging.getLogger(__name__)
WATCHED = (NODES, PODS, POLICIES, NODE_COLOCATIONS)
DOUBT_SECONDS: Final = 600.0
"""Seconds between two log lines about one suspect node, so that an agent with wrong reports cannot fill the log."""
GONE_MOST: Final = 2 * MAX_PODS
"""Best-effort pods of a node that are remembered after their end, until a report no longer shows them."""
_INTEGERS: Final = tuple(range(16_384))


class State:
    """Applies events; says which nodes are dirty by them."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """``wall``: Unix time, which a report's own clock is compared with."""
        self._wall = wall
        self.nodes: dict[str, NodeState] = {}
        self.policies: dict[str, PolicyFacts] = {}
        self.staged: dict[str, Staged] = {}
        """Policies of which a change holds on some nodes only (`colocation.manager.policies` says so)."""
        self.edited: set[str] = set()
        """Policies that were created, deleted or changed; the consumer empties the set."""
        self.restated: set[str] = set()
        """Policies of which only the status changed."""
        self.dirty: set[str] = set()
        self.bad: dict[tuple[str, str], str] = {}
        """Objects that cannot be read: (resource, key) -> why."""
        self.seen: dict[str, str] = {}
        """The newest resourceVersion taken in, by resource (plural)."""
        self.workloads = Workloads()
        """What the pods of each workload need, from all reports that are not suspect."""
        self.hearing = Hearing()
        """When reports could come in, as of the last look."""
        self.joined_at = float("-inf")
        """When a node's first report came."""
        self._pod_node: dict[str, str] = {}
        self._synced: set[str] = set()

    @property
    def synced(self) -> bool:
        """Everything that exists has been seen once: before, nothing may be decided."""
        return len(self._synced) == len(WATCHED)

    def apply(self, event: Event[Any], now: float) -> None:
        """Take one event from a reflector."""
        if isinstance(event, Synced):
            self._synced.add(event.resource.plural)
            return
        place = (event.resource.plural, event.key)
        if isinstance(event, Bad):
            self.bad[place] = event.reason
        else:
            if self.bad:
                self.bad.pop(place, None)
            if event.version:
                self.seen[event.resource.plural] = event.version
        match event.resource.plural:
            case NODES.plural:
                self._node(event)
            case PODS.plural:
                self._pod(event)
            case POLICIES.plural:
                self._policy(event)
            case _:
                self._colocation(event, now)

    def select(self, node: NodeState) -> Selection:
        """Which policy is this node's."""
        if node.selection is None or not node.selected:
            node.selection = select_policy(self.candidates(node.name), node.facts.labels if node.facts else {})
            node.selected = True
        return node.selection

    def candidates(self, node: str) -> list[Candidate]:
        """The policies that compete for a node, each in the version that holds there."""
        staged = self.staged
        versions = (staged[n].at(node) if n in staged else p.candidate for n, p in self.policies.items())
        return [version for version in versions if version is not None]

    def stage(self, name: str, staged: Staged | None) -> None:
        """Two versions of a policy hold from now on; None: one again."""
        before = self.staged.pop(name, None)
        if staged is not None:
            self.staged[name] = staged
        if before != staged:
            self._reselect()

    def _reselect(self) -> None:
        for node in self.nodes.values():
            node.selected = False
        self.dirty.update(self.nodes)

    def wrote_node(self, name: str, facts: NodeFacts, now: float) -> None:
        """The answer to our own patch: it arrives before the watch's event."""
        node = self.nodes.get(name)
        if node is not None and node.facts is not None and node.facts.uid == facts.uid:
            node.selected = node.selected and node.facts.labels == facts.labels
            node.facts, node.written_at = facts, now
            self.dirty.add(name)

    def wrote_colocation(self, name: str, facts: ColocationFacts | None) -> None:
        """The answer to a creation, patch or deletion (None) of ours. Its status is the watch's to tell."""
        self._at(name).colocation = facts
        self.dirty.add(name)

    def _at(self, name: str) -> NodeState:
        node = self.nodes.get(name)
        if node is None:
            node = self.nodes[name] = NodeState(name)
        return node

    def _node(self, event: Upsert[NodeFacts] | Delete | Bad) -> None:
        node = self._at(event.key)
        known = node.facts
        match event:
            case Upsert():
                if known is not None and known.uid == event.object.uid:
                    # Our own patch's answer may be ahead of the watch; a list is always believed (etcd restored).
                    if not event.listed and _older(event.object.resource_version, known.resource_version):
                        return
                    if msgspec.structs.replace(known, resource_version=event.object.resource_version) == event.object:
                        # A heartbeat: nothing that we read has changed, and one copy of the labels is enough.
                        msgspec.structs.force_setattr(event.object, "labels", known.labels)
                        node.facts = event.object
                        return
                if node.uid not in ("", event.object.uid):
                    # Another machine of that name: neither the windows nor the report are its own.
                    node.windows = Windows()
                    node.report = msgspec.structs.replace(node.report, arrived=None)
                    node.sums = None
                node.facts, node.uid = event.object, event.object.uid
                _disown(node)
            case Bad():
                node.facts = None  # no capacity yet: it will have one, or nothing to publish
            case Delete():
                node.facts, node.windows = None, Windows()
        same = known is not None and node.facts is not None and known.labels == node.facts.labels
        node.selected = node.selected and same
        self._changed(node)

    def _pod(self, event: Upsert[PodFacts | Evicted] | Delete | Bad) -> None:
        if isinstance(event, Bad):
            return  # what we knew of it stands; the reflector has logged it
        home = self._pod_node.get(event.key)
        if isinstance(event, Upsert):
            if isinstance(event.object, Evicted):
                if home is not None:
                    self.nodes[home].evictions += 1
                    self._forget(event.key, home)
                return
            pod = event.object
            known = self.nodes[home].pods.get(event.key) if home is not None else None
            if known == pod:
                return
            if known is not None and home is not None and (known.node != pod.node or known.uid != pod.uid):
                self._forget(event.key, home)
            msgspec.structs.force_setattr(pod, "name", event.key)  # the same words: one copy is enough
            node = self._at(pod.node)
            node.evictions += pod.evicted and known is not None and not known.evicted
            node.pods[event.key] = pod
            self._pod_node[event.key] = pod.node
            self._pods_changed(node)
        elif home is not None:
            self._forget(event.key, home)

    def _forget(self, key: str, home: str) -> None:
        del self._pod_node[key]
        node = self.nodes[home]
        pod = node.pods.pop(key)
        if pod.qos is Qos.BE:
            node.gone_be.add(pod.cgroup_uid)
            if len(node.gone_be) > GONE_MOST:
                # No report comes: pods that are not in the last one count as online, should another one show them.
                rows = node.report.status.pods if node.report.status is not None else ()
                node.gone_be.intersection_update([pod.cgroup_uid, *(row.uid for row in rows)])
        self._pods_changed(node)

    def _policy(self, event: Upsert[PolicyFacts] | Delete | Bad) -> None:
        known = self.policies.get(event.key)
        match event:
            case Upsert():
                self.policies[event.key] = event.object
                if known is not None and known.candidate == event.object.candidate and known.uid == event.object.uid:
                    self.restated.add(event.key)
                    return
            case Delete():
                self.policies.pop(event.key, None)
            case Bad():
                return  # the API server's schema keeps such ones out; what we knew stands, the log says so
        self.edited.add(event.key)
        self._reselect()

    def _colocation(self, event: Upsert[ColocationFacts] | Delete | Bad, now: float) -> None:
        node = self._at(event.key)
        match event:
            case Upsert():
                node.awaited = awaited(node.awaited, event.object, now)
                self._reported(node, event.object, now, first=event.listed and node.colocation is None)
                known = node.colocation
                stale = (
                    known is not None
                    and not event.listed
                    and known.uid == event.object.uid
                    and _older(event.object.resource_version, known.resource_version)
                )
                if not stale:
                    # Kept without the status, which `report` holds: one copy is enough.
                    kept = msgspec.structs.replace(event.object, status=None)
                    if known is None or kept.spec != known.spec or kept.uid != known.uid:
                        self.dirty.add(node.name)
                    else:
                        msgspec.structs.force_setattr(kept, "spec", known.spec)  # one copy, which may still be `agreed`
                    node.colocation = kept
                    _disown(node)
            case Bad():
                node.colocation = ColocationFacts("", "", "", None)
                node.report = ReportView(
                    problem=event.reason, arrived=now, since_start=True, missed=self.hearing.missed
                )
                self._report_changed(node)
            case Delete():
                node.colocation, node.report, node.awaited = None, ReportView(), None
                self._report_changed(node)

    def _reported(self, node: NodeState, facts: ColocationFacts, now: float, *, first: bool) -> None:
        """Take the status, if it is another one: a change of the spec is no report."""
        if first and facts.spec is not None:
            # Every pod listed in the spec was best-effort, even if it ended while no manager was running.
            node.gone_be.update(pod.uid for pod in facts.spec.pods)
            node.sums = None
        before = node.report
        if facts.status == before.status and facts.problem == before.problem:
            return
        if before.arrived is None:
            self.joined_at = now
        node.report = ReportView(facts.status, facts.problem, now, since_start=not first, missed=self.hearing.missed)
        if facts.status is not None:
            pods = {pod.cgroup_uid: pod for pod in node.pods.values()}
            if node.facts is not None and not first:
                known = pods.keys() | node.gone_be if node.gone_be else pods.keys()
                behind = None if node.awaited is None else (node.awaited.generation, now - node.awaited.since)
                unknown = unknown_pods(facts.status, before.status, known)
                current = suspicions(node.facts, facts.status, unknown, self._wall(), behind)
                if current:
                    self._suspected(node, current, now)
            if node.gone_be and not first:
                # Only a pod that this report still shows can turn into somebody's use.
                node.gone_be.intersection_update([row.uid for row in facts.status.pods])
            _share_scores(facts.status.scores)
            for row in facts.status.pods:
                pod = pods.get(row.uid)
                _share(row, pod)
                if pod is not None and not node.report.suspicions:
                    self.workloads.saw(pod.workload, row, now)
        self._report_changed(node)

    def _suspected(self, node: NodeState, current: Mapping[Suspicion, str], now: float) -> None:
        node.report = msgspec.structs.replace(node.report, suspicions=current)
        if node.suspected_at is None or now - node.suspected_at >= DOUBT_SECONDS:
            node.suspected_at = now
            log.warning("report is suspect", extra={"node": node.name, "suspicions": list(current.values())})

    def _pods_changed(self, node: NodeState) -> None:
        node.be_rows = node.online_rows = None
        self._report_changed(node)

    def _report_changed(self, node: NodeState) -> None:
        node.sums = None
        self._changed(node)

    def _changed(self, node: NodeState) -> None:
        self.dirty.add(node.name)


def _disown(node: NodeState) -> None:
    """A report that was there before us is not counted if it is of a Node that has had this name before."""
    known, facts = node.colocation, node.facts
    if known is None or facts is None or node.report.since_start or node.report.arrived is None:
        return
    if known.owner_uid not in ("", facts.uid):
        node.report = msgspec.structs.replace(node.report, arrived=None)


def _share(row: PodUsage, pod: PodFacts | None) -> None:
    """The words of the pod's uid, and one object for equal millicores: 120 bytes less, for each of 300,000 pods."""
    put = msgspec.structs.force_setattr
    if pod is not None:
        put(row, "uid", pod.cgroup_uid)
    if row.cpu is not None and row.cpu < len(_INTEGERS):
        put(row, "cpu", _INTEGERS[row.cpu])
    if row.cpu_peak is not None and row.cpu_peak < len(_INTEGERS):
        put(row, "cpu_peak", _INTEGERS[row.cpu_peak])


def _share_scores(scores: Scores | None) -> None:
    """One object for equal counts: of ten thousand nodes."""
    if scores is not None:
        for name, counts in (("cpu", scores.cpu), ("memory", scores.memory)):
            shared = tuple(_INTEGERS[count] if count < len(_INTEGERS) else count for count in counts)
            msgspec.structs.force_setattr(scores, name, shared)


def _older(version: str, than: str) -> bool:
    return version.isdigit() and than.isdigit() and int(version) < int(than)
