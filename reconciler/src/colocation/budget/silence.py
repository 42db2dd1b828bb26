"""When a node's report is stale: only time in which a report could have reached the manager counts.

Time in which the manager cannot receive reports counts against no agent. A report becomes stale only after the API
server has answered past the limit: before that, the server may be the one that does not answer. After an interruption
agents whose reports may have failed get a grace period to report again; once per report, so that a watch that keeps
breaking does not keep the node of a dead agent published.
"""

from __future__ import annotations

from msgspec import Struct

from colocation.model.policy import PolicySpec
from colocation.model.report import RETRY_SECONDS


class Hearing(Struct, frozen=True, gc=False):
    """In what time reports could reach the manager. Seconds on its own clock."""

    missed: float = 0.0
    """So far in which none could, since the manager began."""
    back_at: float = float("-inf")
    """When the last such time ended; while it lasts: now."""
    unproven: float = 0.0
    """Seconds since the API server last answered: whether reports could come in is not known yet."""


ALWAYS = Hearing()
"""Every report could have come in."""


def silent_at(spec: PolicySpec, since: float, missed: float, hearing: Hearing, *, already: bool = False) -> float:
    """When an agent that was last heard ``since`` counts as silent.

    ``missed``: `Hearing.missed` at that time. ``already``: it was silent before this interruption, and stays so.
    """
    at = since + spec.oversell.stale_after_seconds + hearing.missed - missed
    if already:
        return at
    at += hearing.unproven
    if hearing.back_at <= since:
        return at
    grace = spec.report.interval_seconds + RETRY_SECONDS
    return max(at, min(hearing.back_at, at) + grace)
