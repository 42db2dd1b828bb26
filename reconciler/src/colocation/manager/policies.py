"""Policies as a whole: rolls changes out in steps, and keeps each policy's status true. Looks every few seconds.

The version that last held on all nodes is in the policy's own status: a manager that starts in the middle continues,
and what was stopped stays stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from colocation import lenient
from colocation.budget import (
    Candidate,
    Comparison,
    Health,
    RolloutCheck,
    Staged,
    Verdict,
    Withdrawal,
    canary_nodes,
    is_staged,
    same_effect,
)
from colocation.budget.select import matches
from colocation.kube.resources import POLICIES
from colocation.manager.events import About, Events
from colocation.manager.node import NodeState, PolicyFacts
from colocation.manager.patches import POLICY, Job, Urgency
from colocation.manager.state import State
from colocation.model.fit import fit
from colocation.model.policy import PolicySpec
from colocation.model.report import Condition
from colocation.model.status import ADMITTED, READY, ROLLED_OUT, STOPPED, UNDERSTOOD, PolicyStatus, StableVersion

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 10.0
SOON_SECONDS: Final = 1.0
"""Seconds between an edit and the update of the status: by then most nodes have been decided."""
_UNHEARD: Final = (Withdrawal.STALE_REPORT, Withdrawal.NO_REPORT, Withdrawal.INVALID_REPORT)
_NAMED: Final = 5
"""Nodes named in a message."""


class _PolicyProgress(Struct):
    """One policy."""

    stable: Candidate | None = None
    """What holds, or held last, on all nodes."""
    stored: StableVersion | None = None
    """The same as it was found in the status: with the fields of a newer version, for that version to find again."""
    stopped: str = ""
    """Why the change was stopped; empty: it was not."""
    check: RolloutCheck | None = None
    began: float = 0.0
    evictions: dict[str, int] = {}
    """By node, when the change began."""


class _Count(Struct):
    matched_nodes: int = 0
    nodes: int = 0
    reporting_nodes: int = 0
    updated_nodes: int = 0
    unheard: list[str] = []


class Policies:
    """Owned by the loop's thread, like the state it looks at."""

    def __init__(self, state: State, events: Events) -> None:
        self._state, self._events = state, events
        self._rows: dict[str, _PolicyProgress] = {}
        self.due = float("inf")
        """When to `look`."""
        self._refused = ""
        """Why admission refuses best-effort pods; empty: nothing is known that says so."""
        self._led = False
        self._failed: set[str] = set()
        """Policies whose edit could not be taken in, to be tried again."""

    def refuses(self, why: str, now: float) -> None:
        """Admission refuses best-effort pods, or (empty) does so no longer: a condition of every policy."""
        self._refused = why
        self.due = min(self.due, now + SOON_SECONDS)

    def step(self, now: float, *, leads: bool) -> float:
        """Take edits, before nodes are decided by them; when to come back at the latest."""
        if leads and not self._led:
            # The previous leader may have completed or stopped the roll-out: what it wrote counts.
            self._state.edited.update(self._state.policies)
            self._rows.clear()
            self.due = now + SOON_SECONDS
        self._led = leads
        if not leads:  # the leader's words are ours
            for name in self._state.restated:
                self._rows.pop(name, None)
            self._state.edited |= self._state.restated
        self._state.restated.clear()
        edited, self._state.edited = self._state.edited, set()
        for name in edited:
            self.due = min(self.due, now + SOON_SECONDS)
            try:
                self._edited(name, now)
            except Exception:  # one policy's fault must not cost the others their edits
                log.exception("policy cannot be decoded", extra={"policy": name})
                self._failed.add(name)
        return self.due

    def look(self, now: float) -> list[Job]:
        """Judge what is under way, and say how things stand; once `step`'s time has come and nodes are decided."""
        if now < self.due:
            return []
        self.due = now + LOOK_SECONDS
        self._state.edited |= self._failed
        self._failed.clear()
        for name, staged in list(self._state.staged.items()):
            try:
                self._judge(name, staged, now)
            except Exception:  # nor the others their steps
                log.exception("change of a policy cannot be judged", extra={"policy": name})
        if not self._led:
            return []
        counts, jobs = self._count(), []
        for name, facts in self._state.policies.items():
            try:
                job = self._job(facts, counts[name])
            except Exception:  # nor their status
                log.exception("status of a policy cannot be written", extra={"policy": name})
            else:
                jobs += [] if job is None else [job]
        return jobs

    def _edited(self, name: str, now: float) -> None:
        facts = self._state.policies.get(name)
        if facts is None:
            self._rows.pop(name, None)
            self._state.stage(name, None)
            self._events.forget("ColocationPolicy", name)
            return
        row, changed = self._rows.get(name), facts.candidate
        if row is None:
            row = self._rows[name] = _PolicyProgress(stable=_remembered(facts), stored=facts.status.stable)
            row.stopped = _stopped(facts)
        else:
            row.stopped = ""  # of another generation
        if row.stable is None and facts.status.observed_generation == 0 and changed.generation > 1:
            row.stable = changed  # an older manager left no word of what held: all of it stays as it is written
        if not is_staged(changed.spec) or (row.stable and same_effect(row.stable.spec, changed.spec)):
            self._promote(name, row, changed)
            return
        canary = canary_nodes(name, changed.spec.rollout, self._for(changed, row.stable)) if not row.stopped else ()
        # Before anything changes: how the two groups stand now.
        row.began, row.check = now, RolloutCheck(Comparison())
        row.evictions = {node.name: node.evictions for node in self._state.nodes.values() if node.evictions}
        staged = Staged(changed, row.stable, frozenset(canary))
        if facts.status.observed_generation != changed.generation:
            row.check.before = self._compare(row, staged, float("inf"))
        self._state.stage(name, staged)
        if not row.stopped:
            log.info(
                "rolling out", extra={"policy": name, "generation": changed.generation, "canary": len(staged.canary)}
            )

    def _promote(self, name: str, row: _PolicyProgress, changed: Candidate) -> None:
        if row.stable != changed:
            row.stable, row.stored = changed, None
        row.check, row.stopped = None, ""
        self._state.stage(name, None)

    def _for(self, changed: Candidate, former: Candidate | None) -> list[tuple[str, dict[str, str]]]:
        selectors = [c.spec.node_selector for c in (changed, former) if c is not None]
        return [
            (node.name, node.facts.labels)
            for node in self._state.nodes.values()
            if node.facts is not None
            and node.facts.takes_part
            and any(matches(selector, node.facts.labels) for selector in selectors)
        ]

    def _judge(self, name: str, staged: Staged, now: float) -> None:
        row = self._rows[name]
        if row.stopped or row.check is None:
            return
        rollout = staged.changed.spec.rollout
        # Nodes come and go meanwhile.
        canary = canary_nodes(name, rollout, self._for(staged.changed, staged.former), staged.canary)
        if canary != staged.canary:
            staged = msgspec.structs.replace(staged, canary=canary)
            self._state.stage(name, staged)
        confirm = 2.0 * staged.changed.spec.report.interval_seconds
        verdict = row.check.look(rollout, self._compare(row, staged, row.began), now, confirm)
        if verdict is Verdict.CONTINUE or not self._led:
            return
        if verdict is Verdict.COMPLETE:
            log.info("rolled out", extra={"policy": name, "generation": staged.changed.generation})
            self._promote(name, row, staged.changed)
            message, reason, warning = "healthy on the canary nodes, now on all", "RolledOut", False
        else:
            row.stopped = "; ".join(row.check.failures)
            self._state.stage(name, Staged(staged.changed, staged.former, frozenset()))
            extra = {"policy": name, "generation": staged.changed.generation, "why": row.stopped}
            log.warning("rollout stopped", extra=extra)
            message, reason, warning = f"stopped, back to what held before: {row.stopped}", "RolloutStopped", True
        about = About("ColocationPolicy", name, self._state.policies[name].uid)
        text = f"generation {staged.changed.generation}: {message}"
        self._events.tell(about, reason, lambda: text, warning=warning)

    def _compare(self, row: _PolicyProgress, staged: Staged, since: float) -> Comparison:
        canary: list[NodeState] = []
        others: list[NodeState] = []
        for name, _ in self._for(staged.changed, staged.former):
            node = self._state.nodes[name]
            if node.facts is not None and not node.facts.cordoned:
                (canary if name in staged.canary else others).append(node)
        return Comparison(_health(canary, row.evictions, since), _health(others, row.evictions, since))

    def _count(self) -> dict[str, _Count]:
        counts = {name: _Count() for name in self._state.policies}
        for node in self._state.nodes.values():
            selection = node.selection
            if node.facts is None or not node.facts.takes_part or selection is None or selection.winner is None:
                continue
            for name in (selection.winner.name, *selection.losers):
                if name in counts:
                    counts[name].matched_nodes += 1
            counted = counts.get(selection.winner.name)
            if counted is None:
                continue
            counted.nodes += 1
            newest = self._state.policies[selection.winner.name].candidate.generation
            counted.updated_nodes += selection.winner.generation == newest
            if _fresh(node):
                counted.reporting_nodes += 1
            elif len(counted.unheard) < _NAMED:
                counted.unheard.append(node.name)
        return counts

    def _job(self, facts: PolicyFacts, count: _Count) -> Job | None:
        name, row = facts.candidate.name, self._rows.get(facts.candidate.name)
        if row is None:
            return None
        stamp = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        given = {condition.type: condition for condition in facts.status.conditions}
        stable = row.stable
        wanted = PolicyStatus(
            observed_generation=facts.candidate.generation,
            matched_nodes=count.matched_nodes,
            nodes=count.nodes,
            reporting_nodes=count.reporting_nodes,
            updated_nodes=count.updated_nodes,
            stable=row.stored or (None if stable is None else _stable(stable)),
            rollout_stopped=row.stopped,
            conditions=tuple(
                _since(condition, given.get(condition.type), stamp)
                for condition in (
                    _ready(facts.candidate, count),
                    self._rolled_out(facts.candidate, row),
                    *_understood(facts),
                    *self._admitted(),
                )
            ),
        )
        wanted = fit(wanted)
        if wanted == facts.status:
            return None
        return Job(
            key=(POLICY, name),
            urgency=Urgency.LATER,
            method="PATCH",
            path=POLICIES.path(name, sub="status"),
            body=msgspec.json.encode({"metadata": {"resourceVersion": facts.resource_version}, "status": wanted}),
            label="colocationpolicies/status",
        )

    def _admitted(self) -> tuple[Condition, ...]:
        if not self._refused:
            return ()
        return (_condition(ADMITTED, False, "OtherDefaultPriorityClass", self._refused),)

    def _rolled_out(self, candidate: Candidate, row: _PolicyProgress) -> Condition:
        staged = self._state.staged.get(candidate.name)
        if staged is None:
            return _condition(ROLLED_OUT, True, "Complete", f"generation {candidate.generation} holds on all nodes")
        before = f"generation {row.stable.generation}" if row.stable else "nothing of this policy"
        if row.stopped:
            return _condition(ROLLED_OUT, False, STOPPED, f"{before} holds on all nodes, because {row.stopped}")
        if not staged.canary:
            return _condition(ROLLED_OUT, False, "Progressing", f"no node can be a canary; {before} holds")
        message = f"{len(staged.canary)} canary nodes have it; {before} holds on the others"
        if row.check is not None and row.check.failures:
            message += "; " + "; ".join(row.check.failures)
        return _condition(ROLLED_OUT, False, "Progressing", message)


def _health(nodes: Collection[NodeState], evictions: dict[str, int], since: float) -> Health:
    fresh = [node for node in nodes if _fresh(node)]
    heard = [node for node in fresh if node.report.arrived is not None and node.report.arrived > since]
    # Before the change every fresh report counts, after it only those made under it.
    result = [node.report.status.pressure for node in (heard if since != float("inf") else fresh) if node.report.status]
    return Health(
        nodes=len(nodes),
        reported=len(heard),
        silent=len(nodes) - len(fresh),
        cpu=_mean([p.cpu for p in result if p is not None and p.cpu is not None]),
        memory=_mean([p.memory for p in result if p is not None and p.memory is not None]),
        evictions=sum(max(0, node.evictions - evictions.get(node.name, 0)) for node in nodes),
    )


def _fresh(node: NodeState) -> bool:
    usable = node.report.status is not None and node.report.arrived is not None
    return usable and (node.evaluation is None or node.evaluation.withdrawal not in _UNHEARD)


def _stable(held: Candidate) -> StableVersion:
    """As it comes back from the API server, so that the two can be compared."""
    spec: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(held.spec))
    return StableVersion(generation=held.generation, spec=spec)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _remembered(facts: PolicyFacts) -> Candidate | None:
    stable = facts.status.stable
    if stable is None:
        return None
    if stable.generation == facts.candidate.generation:
        return facts.candidate
    spec, problems = lenient.read(PolicySpec, stable.spec)  # perhaps of a newer version
    for problem in problems:
        extra = {"policy": facts.candidate.name, "generation": stable.generation, "why": problem}
        log.warning("field of the stable policy not understood", extra=extra)
    return Candidate(facts.candidate.name, stable.generation, spec)


def _stopped(facts: PolicyFacts) -> str:
    return facts.status.rollout_stopped if facts.status.observed_generation == facts.candidate.generation else ""


def _understood(facts: PolicyFacts) -> tuple[Condition, ...]:
    """Says which fields of the policy another version wrote that this one cannot read; no condition where all can."""
    if not facts.problems:
        return ()
    return (_condition(UNDERSTOOD, False, "UnknownValues", "; ".join(facts.problems)),)


def _ready(candidate: Candidate, count: _Count) -> Condition:
    if not candidate.spec.enabled:
        return _condition(READY, False, "Disabled", "its nodes oversell nothing: spec.enabled is false")
    if not count.nodes:
        return _condition(READY, False, "NoNodes", f"it is for no node; its selector matches {count.matched_nodes}")
    if silent := count.nodes - count.reporting_nodes:
        more = ", ..." if silent > len(count.unheard) else ""
        return _condition(
            READY, False, "NodesNotReporting", f"no fresh report from {', '.join(sorted(count.unheard))}{more}"
        )
    return _condition(READY, True, "AllReporting", "every node has a fresh report")


def _condition(kind: str, holds: bool, reason: str, message: str) -> Condition:  # noqa: FBT001
    status: Literal["True", "False"] = "True" if holds else "False"
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time="")


def _since(now: Condition, before: Condition | None, stamp: str) -> Condition:
    since = before.last_transition_time if before is not None and before.status == now.status else stamp
    return msgspec.structs.replace(now, last_transition_time=since)
