"""One node, whole: policy, report, pods and windows in; what to publish, and when to look again, out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from colocation.budget.compute import Budget, Computed, compute_both
from colocation.budget.publish import Allocated, Decision, PendingEviction, decide, unchanged
from colocation.budget.select import Selection
from colocation.budget.silence import ALWAYS, Hearing, silent_at
from colocation.budget.sums import PodSums
from colocation.budget.suspicions import Suspicion
from colocation.budget.window import SlidingMinimum, Windows
from colocation.model import names
from colocation.model.facts import NodeFacts
from colocation.model.phrase import Phrase, phrase
from colocation.model.report import NodeColocationStatus


class Withdrawal(StrEnum):
    """Why a node takes no part, in one word: for metrics, whose labels must be few."""

    UNLABELLED = "Unlabelled"
    NO_POLICY = "NoPolicy"
    DISABLED = "Disabled"
    INVALID_REPORT = "InvalidReport"
    """Or deciding the node failed: `colocation_evaluation_failures_total` counts these."""
    NO_REPORT = "NoReport"
    STALE_REPORT = "StaleReport"


class ReportView(Struct, frozen=True, gc=False):
    """A node's report as the manager holds it. Times are seconds on the manager's own clock."""

    status: NodeColocationStatus | None = None
    problem: str | None = None
    """Why the status cannot be used (garbage in it)."""
    arrived: float | None = None
    since_start: bool = False
    """It arrived after this manager started: until then a published number may fall but not rise."""
    missed: float = 0.0
    """`Hearing.missed` when it arrived."""
    suspicions: Mapping[Suspicion, str] = field(default_factory=dict)
    """What in it cannot be true."""


class Evaluation(Struct, frozen=True, gc=False):
    """Everything that was decided for a node, and from what."""

    selection: Selection
    report: ReportView
    cpu: Budget | None
    memory: Budget | None
    headroom_cpu: int
    headroom_memory: int
    allocated: Allocated
    withdraw: Phrase | None
    """Why it takes no part."""
    withdrawal: Withdrawal | None
    """The same in one word."""
    decision: Decision
    held: bool
    """Rise is held back: no report since the manager started."""
    silent_at: float | None
    """When the report goes stale, if none comes; None: there is none that counts."""
    next_at: float | None
    """When to look again even if nothing happens."""
    computed: Computed | None
    """What ``cpu`` and ``memory`` were computed from."""


def evaluate(
    node: NodeFacts,
    selection: Selection,
    report: ReportView,
    pods: PodSums,
    windows: Windows,
    now: float,
    last: Evaluation | None = None,
    evicting: PendingEviction | None = None,
    *,
    foreign: bool = False,
    hearing: Hearing = ALWAYS,
) -> Evaluation:
    """Decide a node. ``windows`` is the node's memory and is moved on to ``now``; nothing else is changed.

    ``pods`` were added up by the strategies of this selection, from this report. ``last``: what was decided before;
    its sums are taken over if nothing they were made of has changed. ``evicting``: what is taken from the results, so
    that the headroom of an evicted pod comes back as slowly as any other. ``foreign``: the numbers that are here are
    another manager's; only that manager may withdraw them, until the node is ours to publish for. ``hearing``: when
    reports could come in at all.
    """
    already = last is not None and last.withdrawal is Withdrawal.STALE_REPORT and last.report is report
    withdrawal, withdraw, stale_at = _withdraw_reason(node, selection, report, now, hearing, already=already)
    waits_until = None
    if withdrawal is Withdrawal.NO_REPORT:
        waits_until = _waits_until(node, selection, windows, now, hearing)
    foreign = foreign and withdrawal in (Withdrawal.UNLABELLED, Withdrawal.NO_POLICY, Withdrawal.DISABLED)
    computed = cpu = memory = None
    max_pods = 0
    if withdraw is None:
        assert selection.winner is not None  # noqa: S101 - _withdraw_reason has told
        assert report.status is not None  # noqa: S101
        oversell = selection.winner.spec.oversell
        max_pods = oversell.max_pods
        windows.resize(oversell.grow_after_seconds)
        computed = last.computed if last is not None else None
        if computed is None or not computed.of(node, oversell, report.status, pods):
            computed = compute_both(node, oversell, report.status, pods)
        cpu, memory = computed.cpu, computed.memory
    known = not (node.published.absent and node.withdrawn is None)
    held = known and not report.since_start
    if foreign or waits_until is not None:
        withdrawal = withdraw = None
        decision = unchanged(node, pods.allocated, phrase("foreign" if foreign else "awaited"))
        headroom_cpu, headroom_memory = decision.cpu or 0, decision.memory or 0
    else:
        less = evicting or PendingEviction()
        headroom_cpu = _headroom(windows.cpu, cpu, node.published.cpu or 0, less.cpu, now, known=known, held=held)
        headroom_memory = _headroom(
            windows.memory, memory, node.published.memory or 0, less.memory, now, known=known, held=held
        )
        decision = decide(
            node, headroom_cpu, headroom_memory, pods.allocated, max_pods, withdraw, held=held, evicting=evicting
        )
    next_at = None
    for at in (stale_at, waits_until, windows.cpu.rises_at(), windows.memory.rises_at()):
        if at is not None and now < at < (math.inf if next_at is None else next_at):
            next_at = at
    return Evaluation(
        selection=selection,
        report=report,
        cpu=cpu,
        memory=memory,
        headroom_cpu=headroom_cpu,
        headroom_memory=headroom_memory,
        allocated=pods.allocated,
        withdraw=withdraw,
        withdrawal=withdrawal,
        decision=decision,
        held=held,
        silent_at=stale_at,
        next_at=next_at,
        computed=computed,
    )


def _waits_until(node: NodeFacts, selection: Selection, windows: Windows, now: float, hearing: Hearing) -> float | None:
    """Until when the numbers of another manager stand: as long as an agent of ours may be silent; None: they do not.

    A node that is taken over has numbers by which pods were placed, and an agent that has just started.
    """
    if node.published.absent or node.withdrawn is not None or selection.winner is None:
        return None
    if windows.waits_since is None:
        windows.waits_since, windows.waits_missed = now, hearing.missed
    until = silent_at(selection.winner.spec, windows.waits_since, windows.waits_missed, hearing)
    return until if now < until else None


def _headroom(
    window: SlidingMinimum, budget: Budget | None, before: int, less: int, now: float, *, known: bool, held: bool
) -> int:
    if window.empty:
        if known:
            # The first decision after a start, for a node that was published before: its own keys are all we know.
            window.add(now, before)
        elif budget is None:
            return 0  # never published and nothing to say yet: the first result counts at once
    result = max(0, budget.result - less) if budget is not None else 0
    return window.add(now, min(result, before) if held else result)


def _withdraw_reason(
    node: NodeFacts, selection: Selection, report: ReportView, now: float, hearing: Hearing, *, already: bool
) -> tuple[Withdrawal | None, Phrase | None, float | None]:
    """Why the node takes no part, if it does not; else when its report goes stale."""
    if not node.takes_part:
        return Withdrawal.UNLABELLED, phrase("unlabelled", label=names.NODE_LABEL), None
    if selection.winner is None:
        return Withdrawal.NO_POLICY, selection.why, None
    if not selection.winner.spec.enabled:
        return Withdrawal.DISABLED, phrase("disabled", policy=selection.winner.name), None
    if report.problem is not None:
        return Withdrawal.INVALID_REPORT, phrase("invalidReport", problem=report.problem), None
    if report.status is None or report.arrived is None or not report.status.observed_at:
        return Withdrawal.NO_REPORT, phrase("noReport"), None
    stale_at = silent_at(selection.winner.spec, report.arrived, report.missed, hearing, already=already)
    if now >= stale_at:
        seconds = selection.winner.spec.oversell.stale_after_seconds
        return Withdrawal.STALE_REPORT, phrase("staleReport", staleSeconds=seconds), None
    return None, None, stale_at
