"""What the console answers, as JSON under `/api/v1` and as the view of a page: one form for both.

CPU is in millicores, memory in bytes; None is "not known" and never 0. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from colocation.model.answers import Explanation, Row
from colocation.model.phrase import Phrase

State = Literal["open", "closed", "withdrawn", "stale", "pressed", "starved", "suspect"]
"""What a node can be asked for by; a node may be in several."""


class Omission(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an answer that is not there, and why."""

    part: Literal["policies", "events", "nodes", "manager", "prometheus"]
    why: Literal["denied", "away"]
    remedy: str = ""
    """A command that gives the right, where one is missing."""


class Answered(Struct, frozen=True, kw_only=True, rename="camel"):
    """What each answer with data says of itself."""

    as_of: str | None
    """When the manager gave the data; None: it has not yet."""
    age_seconds: float | None
    leader: str | None
    """Which manager leads."""
    away: bool = False
    """The manager does not answer: the data is the last that it gave."""
    omitted: tuple[Omission, ...] = ()


class Problem(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """application/problem+json (RFC 9457)."""

    type: str
    """about:blank#CODE; CODE is stable, for catalogues and programs."""
    title: str
    status: int
    detail: str = ""
    remedy: str = ""
    """What to do: a sentence or a command."""
    missing: str = ""
    """403: verb, resource and name that are not allowed."""
    fields: tuple[FieldProblem, ...] = ()
    """422: what is wrong where."""
    what: Literal["apiserver", "manager", "prometheus"] | None = None
    """503: who is away."""
    since: str | None = None
    """503: since when."""
    theirs: PolicyView | None = None
    """409: the policy as it is now."""


class FieldProblem(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is wrong with one field; ``path`` "" is the whole document."""

    path: str
    message: str
    """In English."""
    code: str = "refused"
    """unknownField, missing, type, minimum, maximum, choice, pattern, tooLong, atLeast, atMost: ours, with ``values``;
    refused: the API server's words."""
    values: dict[str, int | float | str] = field(default_factory=dict)


class PolicyRights(Struct, frozen=True, kw_only=True, rename="camel"):
    """On colocationpolicies."""

    get: bool = False
    list: bool = False
    create: bool = False
    patch: bool = False
    delete: bool = False


class NodeRights(Struct, frozen=True, kw_only=True, rename="camel"):
    """On nodes."""

    list: bool = False
    patch: bool = False


class Rights(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a person may do here."""

    report: bool = False
    """See nodes, sums, explanations, history."""
    events: bool = False
    policies: PolicyRights = PolicyRights()
    nodes: NodeRights = NodeRights()


class Me(Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/me`."""

    user: str
    groups: tuple[str, ...] = ()
    expires_at: str | None = None
    """When the session, or else the token, ends; None: not known."""
    csrf: str = ""
    """To be sent as X-Csrf with every write of a session (mode token); "" where none is needed."""
    mode: Literal["token", "proxy"] = "token"
    rights: Rights = Rights()


class Sums(Struct, frozen=True, kw_only=True, rename="camel"):
    """One resource over several nodes."""

    capacity: int = 0
    online_requested: int = 0
    used: int | None = None
    """By everything, on the nodes that report."""
    published: int = 0
    allocated: int = 0
    used_by_be: int | None = None
    gain_percent: float | None = None
    """``usedByBe`` in percent of capacity."""
    used_capacity: int = 0
    """Capacity of the nodes whose use is known: what ``used`` is a part of."""


class NodeCounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """Nodes by state; a node may be in several."""

    labelled: int = 0
    open: int = 0
    closed: int = 0
    """Not withdrawn, and takes no new best-effort pods."""
    withdrawn: int = 0
    stale: int = 0
    pressed: int = 0
    starved: int = 0
    suspect: int = 0
    be_pods: int = 0


class Point(Struct, frozen=True, kw_only=True, rename="camel"):
    """A policy that is in the middle of a roll-out, or whose roll-out was stopped."""

    policy: str
    updated: int
    nodes: int
    stopped: str = ""
    """Why it was stopped."""


class Gained(Struct, frozen=True, kw_only=True, rename="camel"):
    """What best-effort pods used over a time, from the console's own memory."""

    since: str
    core_hours: float


class Overview(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/summary`, and the page `/`."""

    cpu: Sums = Sums()
    memory: Sums = Sums()
    nodes: NodeCounts = NodeCounts()
    rolling: tuple[Point, ...] = ()
    stopped: tuple[Point, ...] = ()
    policies: int | None = None
    """How many there are; None: not allowed to see them."""
    gained: Gained | None = None
    changes: tuple[Change, ...] = ()
    """The latest few."""


class Query(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which rows of the table: the filter of `/nodes`, `/api/v1/nodes` and nodes.csv."""

    q: Annotated[str, Meta(max_length=253, description="Part of a node's, or of its policy's, name.")] = ""
    policy: Annotated[str, Meta(max_length=253, description="Nodes that this policy is for.")] = ""
    state: Annotated[
        tuple[State, ...], Meta(max_length=8, description="Nodes that are in all of these states (repeatable).")
    ] = ()
    sort: Annotated[
        str,
        Meta(
            max_length=32,
            description="node, policy, state, age, bePods, pressure, or cpu. or memory. and one of capacity, "
            "onlineRequested, used, published, allocated, usedByBe, gain.",
        ),
    ] = "node"
    order: Annotated[Literal["asc", "desc"], Meta(description="What is not known comes last in both.")] = "asc"
    limit: Annotated[int, Meta(ge=1, le=200, description="Rows a page.")] = 50
    continue_: Annotated[int, Meta(ge=0, le=10**6, description="First row of the page: of the answer before.")] = field(
        default=0, name="continue"
    )


class SeriesQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/series`."""

    chart: Annotated[str, Meta(max_length=64, description="One of GET /charts.")]
    node: Annotated[str, Meta(max_length=253, description="For charts of a node: which.")] = ""
    range: Annotated[str, Meta(max_length=8, description="How far back: 10m, 30m, 1h, 3h, 6h, 24h, 3d, 7d, 14d.")] = (
        "6h"
    )


class MonitorQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """The page `/monitor`."""

    node: Annotated[str, Meta(max_length=253)] = ""
    range: Annotated[str, Meta(max_length=8)] = "6h"


class EditQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """The page `/policies/NAME/edit`."""

    back: bool = False
    """Start with the stable version."""


class StreamQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/stream`."""

    policy: Annotated[
        str, Meta(max_length=253, description="Say within two seconds when this policy changes: for its Follow page.")
    ] = ""


class LoginQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """The page `/login`."""

    go_to: Annotated[str, Meta(max_length=2048)] = "/"


class NodeRow(Row, kw_only=True, rename="camel"):
    """A row of the report, and what the console makes of it."""

    states: tuple[State, ...] = ()
    gain_cpu: float | None = None
    gain_memory: float | None = None


class Nodes(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/nodes`, and the page `/nodes`."""

    query: Query = Query()
    items: tuple[NodeRow, ...] = ()
    total: int = 0
    """Rows that the filter leaves."""
    cpu: Sums = Sums()
    """Of all rows that the filter leaves."""
    memory: Sums = Sums()
    counts: NodeCounts = NodeCounts()
    """Counts over all nodes, without the filter: for the chips."""
    policies: tuple[str, ...] = ()
    """All that are for some node: what can be filtered by."""
    continue_: int | None = field(default=None, name="continue")
    """First row of the next page; None: this is the last."""


class NodeView(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/nodes/{name}`, and the page `/nodes/NAME`."""

    name: str
    row: NodeRow | None = None
    """None: it does not take part."""
    explanation: Explanation | None = None
    """With the terms of the waterfall: `cpu.terms`, each signed, then free, result, headroom, published."""
    events: tuple[Event, ...] | None = None
    """The newest first; None: see ``omitted``."""


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """One Kubernetes Event of the manager or of the console."""

    at: str
    reason: str
    kind: str
    """Of what it is about."""
    name: str
    note: str
    warning: bool = False
    count: int = 1


class Events(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/{nodes,policies}/{name}/events`."""

    items: tuple[Event, ...] = ()


class FieldValue(Struct, frozen=True, kw_only=True, rename="camel"):
    """One field of a policy as it counts."""

    path: str
    """oversell.cpu.reclaimPercent"""
    value: Any
    default: Any
    changed: bool
    """It is not the default."""


class Condition(Struct, frozen=True, kw_only=True, rename="camel"):
    """metav1.Condition."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


class LastChange(Struct, frozen=True, kw_only=True, rename="camel"):
    """Who wrote a policy's spec last, by its managedFields and the console's Events."""

    at: str
    by: str
    """A person where the console's Event names one, else the field manager (kubectl, helm ...)."""


class PolicyView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One ColocationPolicy."""

    name: str
    version: str
    """The version of its spec: what a change starts from. The manager's writes of the status do not change it."""
    generation: int
    created_at: str
    spec: dict[str, Any]
    """As it is in the API."""
    problem: str = ""
    """Why this console cannot read its spec (another version wrote it)."""
    enabled: bool = True
    priority: int = 0
    selector: str = ""
    """nodeSelector as kubectl writes it; "" selects all nodes."""
    fields: tuple[FieldValue, ...] = ()
    matched_nodes: int | None = None
    nodes: int | None = None
    reporting_nodes: int | None = None
    updated_nodes: int | None = None
    rollout_stopped: str = ""
    conditions: tuple[Condition, ...] = ()
    stable: dict[str, Any] | None = None
    """The spec that last held on all nodes: what to go back to; None: there is none, or it is this one."""
    last_change: LastChange | None = None


class Policies(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/policies`, and the page `/policies`."""

    items: tuple[PolicyView, ...] = ()


class PolicyPage(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/policies/{name}`, and the page `/policies/NAME`."""

    policy: PolicyView
    changes: tuple[Change, ...] = ()
    """The newest first."""


class SchemaField(Struct, frozen=True, kw_only=True, rename="camel"):
    """One field of the form."""

    path: str
    type: Literal["integer", "boolean", "text", "choice", "quantity", "percent", "labels", "expressions", "object"]
    default: Any
    group: Literal["selection", "oversell", "protection", "eviction", "report", "rollout", "engine"]
    text: str
    """What it means, in English: the catalogue's key."""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    max_length: int | None = None
    unit: str = ""
    """%, s, bytes, millicores ... ; "" has none."""
    advanced: bool = False


class Schema(Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/policy-schema`."""

    fields: tuple[SchemaField, ...]
    rules: tuple[str, ...]
    """What no range says: messages of the CRD's CEL rules, English."""


class EditPage(Answered, frozen=True, kw_only=True, rename="camel"):
    """The pages `/policies/NAME/edit` and `/policies:new`."""

    name: str
    """"": a new one."""
    policy: PolicyView | None
    """As it is now; None: a new one."""
    schema: Schema
    spec: dict[str, Any]
    """What the form starts with."""
    going_back: bool = False
    """It starts with the stable version."""


class CheckRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`POST /api/v1/policies/{name}:check`."""

    spec: dict[str, Any] | None = None
    """The whole spec as it is to be; what is not in it has its default."""
    version: Annotated[str, Meta(max_length=128)] = ""
    """Of the policy that the change starts from; "": it is to be created."""
    delete: bool = False


class Difference(Struct, frozen=True, kw_only=True, rename="camel"):
    """One field that changes; values are what counts, defaults filled in."""

    path: str
    before: Any
    after: Any
    default: Any


class NodeEffect(Struct, frozen=True, kw_only=True, rename="camel"):
    """What one node carries, and would carry."""

    node: str
    policy_before: str | None
    policy_after: str | None
    cpu_before: int | None
    cpu_after: int | None
    memory_before: int | None
    memory_after: int | None
    open_before: bool
    open_after: bool
    allocated_cpu: int | None = None
    allocated_memory: int | None = None
    reason: str = ""
    reasons: tuple[Phrase, ...] = ()


class Moved(Struct, frozen=True, kw_only=True, rename="camel"):
    """A sum before and after."""

    before: int
    after: int


class Effect(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a change does to the cluster, by the manager's simulation. Roll-outs in steps are shown as if finished."""

    cpu: Moved
    memory: Moved
    open: Moved
    nodes: int
    changed: int
    """Nodes on which something changes."""
    raised: int
    lowered: int
    opened: int
    closed: int
    below_allocated: int
    """Nodes that would publish less than is allocated now: they close until pods end."""
    largest: tuple[NodeEffect, ...] = ()
    """At most 50 of those that change, the largest change first."""


class Risk(Struct, frozen=True, kw_only=True, rename="camel"):
    """How much a change can hurt, and why."""

    level: Literal["low", "high", "unknown"]
    """unknown: the manager is away, so that the effect is unknown. For high and unknown the policy's name must be
    typed to confirm."""
    reasons: tuple[RiskReason, ...] = ()


class RiskReason(Struct, frozen=True, kw_only=True, rename="camel"):
    """One of them."""

    code: Literal["closes", "belowAllocated", "disables", "deletes", "engine", "moves", "unknown"]
    text: str
    """In English."""
    values: dict[str, int | float | str] = field(default_factory=dict)


class Check(Answered, frozen=True, kw_only=True, rename="camel"):
    """`POST /api/v1/policies/{name}:check`."""

    name: str
    valid: bool
    fields: tuple[FieldProblem, ...] = ()
    """What is wrong; empty when it is valid."""
    created: bool = False
    deleted: bool = False
    diff: tuple[Difference, ...] = ()
    yaml_before: str = ""
    yaml_after: str = ""
    effect: Effect | None = None
    """None: not valid, or the manager is away."""
    risk: Risk | None = None
    version: str = ""
    """What the change was checked against; "": there is no such policy yet."""
    check_token: str = ""
    """To be sent as X-Check; good for 15 minutes, this person, this policy and this change."""


class ChangeRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`PUT /api/v1/policies/{name}`, with the header X-Check. DELETE takes it without ``spec``."""

    spec: dict[str, Any] | None = None
    version: Annotated[str, Meta(max_length=128)] = ""
    reason: Annotated[str, Meta(max_length=512)] = ""
    typed_name: Annotated[str, Meta(max_length=253)] = ""
    """The policy's name, where the risk is high or unknown."""


class Changed(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was written."""

    name: str
    version: str = ""
    generation: int = 0
    created: bool = False
    deleted: bool = False
    noted: bool = True
    """An Event reports it; False: this person may not write Events."""


class Change(Struct, frozen=True, kw_only=True, rename="camel"):
    """One change in `/changes`."""

    at: str
    by: str
    kind: Literal["ColocationPolicy", "Node"]
    name: str
    action: Literal["created", "changed", "deleted", "labelled", "unlabelled"]
    diff: tuple[Difference, ...] = ()
    reason: str = ""
    foretold: str = ""
    """The effect that was shown before, in English."""
    note: str = ""
    by_console: bool = True
    """False: by another way; who is the field manager."""


class Changes(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/changes`, and the page `/changes`."""

    items: tuple[Change, ...] = ()


class LabelRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`POST /api/v1/nodes:label`."""

    names: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...], Meta(min_length=1, max_length=100)]
    colocation: bool
    dry_run: bool = False
    reason: Annotated[str, Meta(max_length=512)] = ""


class Labelled(Struct, frozen=True, kw_only=True, rename="camel"):
    """One node of it."""

    name: str
    outcome: Literal["would", "done", "same", "denied", "missing", "conflict", "failed"]
    message: str = ""
    be_pods: int | None = None
    """Best-effort pods that run there now; None: not known."""
    published_cpu: int | None = None
    published_memory: int | None = None


class LabelAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """`POST /api/v1/nodes:label`."""

    items: tuple[Labelled, ...]
    pods: tuple[str, ...] = ()
    """namespace/name of best-effort pods on these nodes, at most 100; empty too where the person may not list pods."""


class Line(Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of a chart."""

    key: str
    label: str
    """English: the catalogue's key."""
    values: tuple[float | None, ...]


class Series(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/series`."""

    chart: str
    node: str = ""
    range: str = "24h"
    unit: Literal["cores", "bytes", "percent", "count"] = "count"
    source: Literal["prometheus", "memory"] = "memory"
    since: str | None = None
    """From when on there is data; source memory: when this console started, at the earliest."""
    times: tuple[int, ...] = ()
    """Unix seconds."""
    series: tuple[Line, ...] = ()


class Chart(Struct, frozen=True, kw_only=True, rename="camel"):
    """One chart that there is."""

    id: str
    title: str
    """English: the catalogue's key."""
    scope: Literal["cluster", "node"]
    unit: Literal["cores", "bytes", "percent", "count"]
    text: str = ""
    memory: bool = True
    """The console's own memory has it; False: Prometheus alone."""


class Monitor(Answered, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/charts`, and the page `/monitor`."""

    charts: tuple[Chart, ...] = ()
    ranges: tuple[str, ...] = ()
    prometheus: bool = False
    node: str = ""
    range: str = "6h"
    nodes: tuple[str, ...] = ()
    """Names to choose one from."""


class Login(Struct, frozen=True, kw_only=True, rename="camel"):
    """The page `/login`."""

    problem: Problem | None = None
    go_to: str = "/"
    command: str = ""
    """What gives a token."""
    insecure: bool = False
    """It came over plain HTTP, where no token is taken."""


class Failed(Struct, frozen=True, kw_only=True, rename="camel"):
    """The page of an error: 401, 403, 404, 409, 429, 500, 503."""

    problem: Problem
    retry_seconds: int | None = None
    """The page should try again by itself after this many seconds."""
