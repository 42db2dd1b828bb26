"""Puts one report together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from colocation import __version__
from colocation.agent.engine import RubikState
from colocation.agent.window import Window
from colocation.model.fit import cut, fit
from colocation.model.report import (
    MAX_PODS,
    Capabilities,
    Condition,
    EngineState,
    EvictionRequest,
    NodeColocationStatus,
    Pressure,
)
from colocation.node.apply import Refusal
from colocation.predict.peak import Histories
from colocation.protect.sample import Sample
from colocation.protect.wanted import Enforcement

NOT_ASKED = RubikState()
MESSAGE: Final = 100
"""Characters of a condition's message: the CRD takes more, but a report of 40 pods is to stay within 6 KB."""


def capabilities(probed: Mapping[str, Any]) -> Capabilities:
    """The probe's findings as they are in the report."""
    return Capabilities(
        kernel=probed["kernel"],
        cgroup_version=probed["cgroup_version"],
        cgroup_driver=probed["cgroup_driver"],
        features=tuple(sorted(name for name, row in probed["features"].items() if row["available"])),
    )


class Conditions:
    """Remembers since when each condition has been what it is."""

    def __init__(self) -> None:
        self._rows: dict[str, Condition] = {}

    def update(
        self,
        refused: Mapping[str, Refusal],
        spec_error: str,
        now: str,
        lacks: Sequence[str] = (),
        rubik: RubikState = NOT_ASKED,
        unenforced: tuple[str, str] | None = None,
        left_out: int = 0,
    ) -> tuple[Condition, ...]:
        """Enforced: there is a spec, every best-effort pod was found, and every wanted value is there.

        SpecReadable: the manager's spec was understood. Supported: this node has what the policy asks for; omitted
        until something has been missing at least once. AllPodsReported: the report has room for every pod; omitted
        like Supported. RubikRunning: with the policy's config; only if the policy says engine rubik.
        """
        if unenforced is not None:
            more = f"; {len(refused)} values refused" if refused else ""
            self._set("Enforced", "False", unenforced[0], _short(unenforced[1] + more), now)
        elif refused:
            path, first = min(refused.items(), key=lambda row: row[0])
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            self._set("Enforced", "False", "ValuesRefused", _short(f"{path}: {first.reason}{more}"), now)
        else:
            self._set("Enforced", "True", "Applied", "", now)
        if spec_error:
            self._set("SpecReadable", "False", "DecodeFailed", _short(spec_error), now)
        else:
            self._set("SpecReadable", "True", "Decoded", "", now)
        if lacks:
            self._set("Supported", "False", "FeatureMissing", cut("; ".join(lacks), 2 * MESSAGE), now)
        elif "Supported" in self._rows:
            self._set("Supported", "True", "Available", "", now)
        if left_out:
            message = (
                f"{left_out} pods run here beyond the {MAX_PODS} that a report takes: they count by their requests"
            )
            self._set("AllPodsReported", "False", "TooManyPods", message, now)
        elif "AllPodsReported" in self._rows:
            self._set("AllPodsReported", "True", "Complete", "", now)
        if rubik.running is None:
            self._rows.pop("RubikRunning", None)
        elif rubik.running:
            self._set("RubikRunning", "True", "MatchesPolicy", _short(rubik.message), now)
        else:
            self._set("RubikRunning", "False", "DiffersFromPolicy", _short(rubik.message), now)
        return tuple(self._rows.values())

    def _set(self, kind: str, status: Literal["True", "False"], reason: str, message: str, now: str) -> None:
        before = self._rows.get(kind)
        since = before.last_transition_time if before and before.status == status else now
        self._rows[kind] = Condition(
            type=kind, status=status, reason=reason, message=message, last_transition_time=since
        )


def _short(text: str) -> str:
    return cut(text, MESSAGE)


def rfc3339() -> str:
    """The node's own clock."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def build(
    *,
    generation: int,
    window: Window,
    sample: Sample,
    decision: Enforcement,
    capabilities: Capabilities,
    pressure: Pressure,
    conditions: tuple[Condition, ...],
    memory_used: int | None,
    evictions: tuple[EvictionRequest, ...],
    now: str,
    histories: Histories,
) -> NodeColocationStatus:
    """One report: what the window says, what is enforced, and why."""
    status = NodeColocationStatus(
        observed_generation=generation,
        observed_at=now,
        window_seconds=round(window.covered),
        agent_version=__version__,
        node=window.node.usage(),
        system=window.system.usage(),
        pods=tuple(histories.with_prediction(row) for row in window.rows()[:MAX_PODS]),
        forecasts=histories.forecasts,
        scores=histories.scores,
        pressure=pressure if pressure != Pressure() else None,
        capabilities=capabilities,
        engine=EngineState(
            mode=decision.mode,
            cpu_quota=decision.cpu_quota,
            cpu_used=decision.cpu_used,
            memory_used=memory_used,
            throttled_pods=sum(row.throttled for row in sample.pods),
            reason=decision.reason,
        ),
        eviction_requests=evictions,
        conditions=conditions,
    )
    return fit(status)
