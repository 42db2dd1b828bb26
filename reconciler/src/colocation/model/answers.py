"""What the manager answers under `/v1`: the one form that command line, Ansible modules and console decode.

Fields are only added, and are optional: a console may be older or newer than the manager that it asks.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from colocation.model.phrase import Phrase

REPORT_SCHEMA: Final = "colocation.openfuyao.com/report/v1"
SIMULATE_SCHEMA: Final = "colocation.openfuyao.com/simulate/v1"
EXPLAIN_SCHEMA: Final = "colocation.openfuyao.com/explain/v1"


class Amounts(Struct, kw_only=True, rename="camel"):
    """One resource of a node, in millicores or bytes; None: not known."""

    capacity: int
    online_requested: int
    used: int | None
    """By everything on the node, mean of the last window."""
    published: int | None
    allocated: int
    used_by_be: int | None


class Row(Struct, kw_only=True, rename="camel"):
    """One node of the report."""

    node: str
    policy: str | None
    open: bool
    withdrawn: str | None
    report_age_seconds: float | None
    online_pods: int
    be_pods: int
    cpu: Amounts
    memory: Amounts
    reason: str
    reasons: tuple[Phrase, ...] = ()
    """``reason`` by its parts, for other languages."""
    withdrawal: str | None = None
    """Why it is withdrawn, in one word."""
    pressure_cpu: float | None = None
    """PSI some avg10 of the node, percent."""
    pressure_memory: float | None = None
    throttled_pods: int | None = None
    """Best-effort pods that their quota holds back."""
    cpu_quota: int | None = None
    """What all best-effort pods together may use now, millicores; None: no quota, or not known."""
    suspicions: tuple[str, ...] = ()
    """What in the report is impossible, each in one word."""
    published_age_seconds: float | None = None
    """Since this manager last wrote the node's numbers; None: it has not."""
    eviction_requests: int = 0
    """Pods that the agent asks to have evicted now."""
    starved: int | None = None
    """How many of them starve of CPU."""
    engine: str | None = None
    """Mode in which the agent enforces."""
    kernel: str | None = None
    cgroup_version: int | None = None
    agent_version: str | None = None


class Report(Struct, kw_only=True, rename="camel"):
    """`/v1/report`."""

    nodes: tuple[Row, ...]
    leader: bool = False
    """The manager that answers is the one that writes."""
    holder: str = ""
    """Who leads, as far as it knows."""
    schema: str = REPORT_SCHEMA


class Carried(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a node carries, or would."""

    policy: str | None
    cpu: int | None
    memory: int | None
    open: bool
    max_pods: int | None


class WhatIf(Struct, frozen=True, kw_only=True, rename="camel"):
    """One node under other policies."""

    node: str
    now: Carried
    then: Carried
    reason: str
    reasons: tuple[Phrase, ...] = ()
    allocated_cpu: int | None = None
    """What bound best-effort pods request."""
    allocated_memory: int | None = None


class Simulation(Struct, kw_only=True, rename="camel"):
    """`/v1/simulate`."""

    nodes: tuple[WhatIf, ...]
    leader: bool = False
    schema: str = SIMULATE_SCHEMA


class Term(Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of the sum: its signed value, where it comes from, and the terms it is made of."""

    name: str
    value: int
    source: str
    terms: tuple[Term, ...] = ()
    sources: tuple[Phrase, ...] = ()
    """``source`` by its parts, for other languages."""


class ResourceExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One resource from capacity to the published number. Values in millicores or bytes."""

    unit: str
    terms: tuple[Term, ...]
    free: int
    """The terms' sum."""
    ceiling: int
    quantum: int
    result: int
    """free, clamped to 0 .. ceiling, down to a quantum; 0 with a problem."""
    problem: str | None
    headroom: int
    """Smallest result of the grow window."""
    rises_in_seconds: float | None
    allocated: int
    allocated_running: int
    on_node: int | None
    """What the Node carries now."""
    published: int | None
    """The amount to publish: equal to on_node, except while a write is under way."""
    summary: str
    summaries: tuple[Phrase, ...] = ()


class PolicyExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which policy counts, and why."""

    name: str | None
    generation: int | None
    reason: str
    others: tuple[str, ...]
    reasons: tuple[Phrase, ...] = ()


class ReportExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which report counts."""

    observed_at: str | None
    age_seconds: float | None
    since_manager_start: bool
    problem: str | None
    suspicions: tuple[str, ...]
    """What in it cannot be true; the number is computed all the same, and bounded by maxPercent."""
    suspicion_codes: tuple[str, ...] = ()
    """The same, each in one word."""


class GateExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """May new BE pods come, and if not, why."""

    open: bool
    max_pods: int | None
    closed_reasons: tuple[str, ...]
    closed_phrases: tuple[Phrase, ...] = ()


class PodExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the pods that take most."""

    name: str
    qos: str
    cpu: int
    cpu_rule: str
    memory: int
    memory_rule: str


class EvictionExplanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One pod of the list from which the agent asks for one to leave, the first choice first."""

    pod: str
    """namespace/name; a uid where the node has no best-effort pod of it."""
    reason: str
    message: str
    next: bool
    """The manager evicts this one, or is about to."""
    refused: str | None
    """What the API server answered when it refused to evict the pod."""
    stays: str | None = None
    """Why it is not moved off this node, which has been full for as long as the policy says."""


class Explanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a node has the number it has."""

    schema: str
    node: str
    reason: str
    withdrawn: str | None
    policy: PolicyExplanation
    report: ReportExplanation
    cpu: ResourceExplanation | None
    memory: ResourceExplanation | None
    gate: GateExplanation
    online_pods: int
    be_pods: int
    top_pods: tuple[PodExplanation, ...]
    would_change: tuple[str, ...]
    """What would change the number, the most telling first."""
    be_cpu_used: int | None
    be_memory_used: int | None
    evictions: tuple[EvictionExplanation, ...] = ()
    left_out: tuple[str, ...] = ()
    """Best-effort pods that cannot be in the spec, and why: they get no limits."""
    reasons: tuple[Phrase, ...] = ()
    """``reason`` by its parts, for other languages."""
    levers: tuple[Phrase, ...] = ()
    """``wouldChange``, each with its code and values."""
    best_effort: tuple[str, ...] = ()
    """namespace/name of the best-effort pods, at most 100."""
