"""A changed policy, on its canary nodes first: which ones these are, and whether they are healthy. Pure.

Differences of differences are compared: how much further the canary nodes have moved from the others since the
change than before it, so that neither a busy afternoon nor busy canary nodes count against a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from colocation.budget.select import Candidate, matches
from colocation.model.policy import LabelSelector, PolicySpec, Rollout


class Staged(Struct, frozen=True):
    """A policy of which two versions hold at once."""

    changed: Candidate
    former: Candidate | None
    """None: it is new, and selects only its canary nodes."""
    canary: frozenset[str]

    def at(self, node: str) -> Candidate | None:
        """The version that competes for this node."""
        return self.changed if node in self.canary else self.former


def is_staged(spec: PolicySpec) -> bool:
    """A change to this goes to canary nodes first. Switching a policy off never does: that is urgent."""
    rollout = spec.rollout
    return spec.enabled and (rollout.percent < 100 or rollout.node_selector != LabelSelector())


def same_effect(left: PolicySpec, other: PolicySpec) -> bool:
    """True if the specs differ only in `rollout`."""
    return msgspec.structs.replace(left, rollout=Rollout()) == msgspec.structs.replace(other, rollout=Rollout())


def canary_nodes(
    policy: str,
    rollout: Rollout,
    nodes: Iterable[tuple[str, Mapping[str, str]]],
    already: Collection[str] = (),
) -> frozenset[str]:
    """The canaries among a policy's nodes (name, labels): the same ones each time, at least one.

    Those that have it ``already`` keep it, also when nodes are added meanwhile.

    Ordered by a hash of policy and node, so that two policies do not try everything on the same nodes.
    """
    eligible, count = [], 0
    for name, labels in nodes:
        count += 1
        if matches(rollout.node_selector, labels):
            eligible.append(
                (name not in already, hashlib.blake2b(f"{policy}/{name}".encode(), digest_size=8).digest(), name)
            )
    eligible.sort()
    return frozenset(name for _, _, name in eligible[: -(-count * rollout.percent // 100)])


class Health(Struct, frozen=True):
    """A group of nodes, cordoned ones left out. Pressure: mean of PSI some avg10 over those that measure it."""

    nodes: int = 0
    reported: int = 0
    """Have reported since the change."""
    silent: int = 0
    cpu: float | None = None
    memory: float | None = None
    evictions: int = 0
    """Since the change."""


class Comparison(Struct, frozen=True):
    """Canary nodes and others at one moment."""

    canary: Health = Health()
    others: Health = Health()


def failed_checks(rollout: Rollout, before: Comparison, now: Comparison) -> tuple[str, ...]:
    """The checks that failed, a sentence each."""
    messages = []
    for what in ("cpu", "memory"):
        rise = _rise(what, before, now)
        if rise is not None and rise > rollout.max_pressure_rise:
            messages.append(
                f"{what} pressure of the canary nodes rose by {rise:.1f} points against the others "
                f"(at most {rollout.max_pressure_rise})"
            )
    usual = now.others.evictions * now.canary.nodes / now.others.nodes if now.others.nodes else 0.0
    if now.canary.evictions - usual > rollout.max_evictions:
        messages.append(
            f"{now.canary.evictions} evictions on the canary nodes, {usual:.1f} at the others' rate "
            f"(at most {rollout.max_evictions} more)"
        )
    if now.canary.silent > before.canary.silent:
        messages.append(f"{now.canary.silent} of {now.canary.nodes} canary nodes no longer report")
    return tuple(messages)


def _rise(what: str, before: Comparison, now: Comparison) -> float | None:
    """Percentage points; None: not measured since the change."""
    canary: float | None = getattr(now.canary, what)
    if canary is None or not now.canary.reported:
        return None
    others: float | None = getattr(now.others, what)
    canary_before: float | None = getattr(before.canary, what)
    others_before: float | None = getattr(before.others, what)
    if canary_before is None:  # not known after a restart of the manager: compare with the others
        return canary - (others or 0.0)
    drift = others - others_before if others is not None and others_before is not None else 0.0
    return canary - canary_before - drift


class Verdict(StrEnum):
    """What becomes of a change."""

    CONTINUE = "Continue"
    STOP = "Stop"
    COMPLETE = "Complete"


class RolloutCheck(Struct):
    """One change under way. Times are seconds on the manager's own clock."""

    before: Comparison
    failures: tuple[str, ...] = ()
    failing_since: float | None = None
    healthy_since: float | None = None

    def look(self, rollout: Rollout, now: Comparison, at: float, confirm_seconds: float) -> Verdict:
        """Judge once more. A failed check stops the change only once it has lasted: one report may be an accident."""
        self.failures = failed_checks(rollout, self.before, now)
        if self.failures:
            self.healthy_since = None
            self.failing_since = at if self.failing_since is None else self.failing_since
            return Verdict.STOP if at - self.failing_since >= confirm_seconds else Verdict.CONTINUE
        self.failing_since = None
        if now.canary.reported < now.canary.nodes - self.before.canary.silent or not now.canary.nodes:
            # A node that has not reported since the change cannot be judged; nodes silent before are not waited for.
            self.healthy_since = None
            return Verdict.CONTINUE
        self.healthy_since = at if self.healthy_since is None else self.healthy_since
        return Verdict.COMPLETE if at - self.healthy_since >= rollout.pause_seconds else Verdict.CONTINUE
