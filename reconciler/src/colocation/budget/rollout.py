"""A changed policy, first on some of its nodes: which ones these are, and whether they are well. Pure.

Compared are differences of differences: how much further the first nodes have moved from the others since the
change than they were before it, so that neither a busy afternoon nor busy first nodes speak against a change.
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
    """None: it is new, and selects none but its first nodes."""
    first: frozenset[str]

    def at(self, node: str) -> Candidate | None:
        """The version that competes for this node."""
        return self.changed if node in self.first else self.former


def in_steps(spec: PolicySpec) -> bool:
    """A change to this goes to some nodes first. Switching a policy off never does: whoever does it is in a hurry."""
    rollout = spec.rollout
    return spec.enabled and (rollout.percent < 100 or rollout.node_selector != LabelSelector())


def same_effect(one: PolicySpec, other: PolicySpec) -> bool:
    """They differ in nothing but in how changes spread."""
    return msgspec.structs.replace(one, rollout=Rollout()) == msgspec.structs.replace(other, rollout=Rollout())


def first_nodes(
    policy: str,
    rollout: Rollout,
    nodes: Iterable[tuple[str, Mapping[str, str]]],
    already: Collection[str] = (),
) -> frozenset[str]:
    """Of a policy's nodes (name, labels) those that get a change first: the same ones each time, at least one.

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


class Compared(Struct, frozen=True):
    """First nodes and others at one moment."""

    first: Health = Health()
    others: Health = Health()


def complaints(rollout: Rollout, before: Compared, now: Compared) -> tuple[str, ...]:
    """What speaks against the change, in words."""
    said = []
    for what in ("cpu", "memory"):
        rise = _rise(what, before, now)
        if rise is not None and rise > rollout.max_pressure_rise:
            said.append(
                f"{what} pressure of the first nodes rose by {rise:.1f} points against the others "
                f"(at most {rollout.max_pressure_rise})"
            )
    usual = now.others.evictions * now.first.nodes / now.others.nodes if now.others.nodes else 0.0
    if now.first.evictions - usual > rollout.max_evictions:
        said.append(
            f"{now.first.evictions} evictions on the first nodes, {usual:.1f} at the others' rate "
            f"(at most {rollout.max_evictions} more)"
        )
    if now.first.silent > before.first.silent:
        said.append(f"{now.first.silent} of {now.first.nodes} first nodes no longer report")
    return tuple(said)


def _rise(what: str, before: Compared, now: Compared) -> float | None:
    """Percentage points; None: not measured since the change."""
    first: float | None = getattr(now.first, what)
    if first is None or not now.first.reported:
        return None
    others: float | None = getattr(now.others, what)
    first_before: float | None = getattr(before.first, what)
    others_before: float | None = getattr(before.others, what)
    if (
        first_before is None
    ):  # nobody remembers (the manager has restarted): what there is to compare with are the others
        return first - (others or 0.0)
    drift = others - others_before if others is not None and others_before is not None else 0.0
    return first - first_before - drift


class Verdict(StrEnum):
    """What becomes of a change."""

    GO_ON = "GoOn"
    STOP = "Stop"
    FINISH = "Finish"


class Watched(Struct):
    """One change under way. Times are seconds on the manager's own clock."""

    before: Compared
    complaints: tuple[str, ...] = ()
    ill_since: float | None = None
    well_since: float | None = None

    def look(self, rollout: Rollout, now: Compared, at: float, confirm_seconds: float) -> Verdict:
        """Judge once more. A complaint stops the change only when it has lasted: one report may be an accident."""
        self.complaints = complaints(rollout, self.before, now)
        if self.complaints:
            self.well_since = None
            self.ill_since = at if self.ill_since is None else self.ill_since
            return Verdict.STOP if at - self.ill_since >= confirm_seconds else Verdict.GO_ON
        self.ill_since = None
        if now.first.reported < now.first.nodes - self.before.first.silent or not now.first.nodes:
            # Whom we have not heard since the change is not known to be well; who was silent before is not waited for.
            self.well_since = None
            return Verdict.GO_ON
        self.well_since = at if self.well_since is None else self.well_since
        return Verdict.FINISH if at - self.well_since >= rollout.pause_seconds else Verdict.GO_ON
