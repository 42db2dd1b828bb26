"""NodeColocation: what manager and agent tell each other about one node.

``spec`` is written by the manager only, ``status`` by that node's agent only. CPU is in integer millicores,
memory in bytes. A metric that could not be read is absent (None), never zero.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from colocation.model.policy import Evict, Protect, Report, Suppress, ViolationBudgets
from colocation.model.rubik import Rubik

Amount = Annotated[int, Meta(ge=0, le=2**63 - 1)]
RETRY_SECONDS: Final = 70.0
"""An agent whose report did not arrive has tried again within this many seconds: the request is given up after 35 s at
most, and then the agent waits for 30 s, its largest back-off; or, refused at once, for Retry-After, 60 s at most."""
MAX_PODS: int = 500
"""Rows in a report; more are never sent."""
MAX_EVICTION_REQUESTS: Final = 8
MAX_EVICTION_REFUSALS: Final = 64
SENTENCE_LENGTH: Final = 512
"""Characters of the longest text that we write anywhere; Events alone take more."""
UID_LENGTH: Final = 128
EVICTION_MESSAGE: Final = 110
"""Characters of the reason for an eviction: a report has up to eight reasons, and must stay small."""
Word = Annotated[str, Meta(max_length=64)]
Uid = Annotated[str, Meta(max_length=UID_LENGTH)]
Sentence = Annotated[str, Meta(max_length=SENTENCE_LENGTH)]
"""Bounds on what a report may say: whatever an agent sends, a status stays near 100 kB and no list in it is long."""


class PolicyRef(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """Which policy won for this node."""

    name: str


class BePod(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """One bound, unfinished best-effort pod and what it may use; a limit that is absent is no limit."""

    uid: Uid
    cpu_request: Amount = 0
    cpu_limit: Amount | None = None
    memory_limit: Amount | None = None
    priority: int = 0
    running: bool = False
    """A container of it has been started: the agent must find it, and says so if it does not."""


class OnlinePod(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """One pod that is not best-effort; sent only where the policy's `protect` needs it."""

    uid: Uid
    memory_request: Amount = 0


class Capacity(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """The Node's size as Kubernetes sees it, so that manager and agent take percentages of the same number."""

    cpu: Amount
    memory: Amount


class EvictionRefusal(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """A pod that was to leave this node and could not be evicted: the agent names it last until it is gone."""

    uid: Uid
    message: Sentence
    """What the API server answered."""


Counts = Annotated[tuple[Annotated[int, Meta(ge=0, le=2**31 - 1)], ...], Meta(max_length=64)]


class Scores(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """How far forecasts were off: minutes in each bucket of scores (`predict/scores.py` has the edges)."""

    cpu: Counts = ()
    memory: Counts = ()


class NodeColocationSpec(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """The policy resolved for one node, and its BE pods."""

    enabled: bool = False
    engine: Literal["native", "rubik", "none"] = "native"
    policy: PolicyRef | None = None
    capacity: Capacity | None = None
    report: Report = Report()
    suppress: Suppress = Suppress()
    evict: Evict = Evict()
    protect: Protect = Protect()
    rubik: Rubik | None = None
    violation_budgets: ViolationBudgets = ViolationBudgets()
    pods: tuple[BePod, ...] = ()
    online: tuple[OnlinePod, ...] = ()
    """Empty unless `protect` asks for burst or memory that is kept."""
    eviction_refusals: Annotated[tuple[EvictionRefusal, ...], Meta(max_length=MAX_EVICTION_REFUSALS)] = ()
    """Pods that the agent asked for and the API server refused to evict, for example for a PodDisruptionBudget."""
    fleet_scores: Scores | None = None
    """The scores of all nodes, from which an agent takes its margin until its own node has shown enough."""


class Usage(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """Use over the window: mean and peak."""

    cpu: Amount | None = None
    cpu_peak: Amount | None = None
    memory: Amount | None = None
    memory_peak: Amount | None = None


class Prediction(Struct, frozen=True, gc=False, array_like=True):
    """What a pod will need: [millicores, bytes, seconds observed]. A list, because 40 rows must fit into 6 KB."""

    cpu: Amount
    memory: Amount
    observed_seconds: Amount
    """Seconds for which both were measured: how far the prediction can be trusted."""


class ResourceForecast(Struct, frozen=True, gc=False, array_like=True):
    """All online pods together: [usage, expected, peak, podPeaks, violationBudget, violations]; millicores or bytes."""

    usage: Amount
    expected: Amount
    """Expected peak of the coming hour."""
    peak: Amount
    """Expected peak plus margin: what the pods count for."""
    pod_peaks: Amount
    """Each pod's own peak, added up."""
    violation_budget: Amount
    """Millionths of the time in which the peak may be above the forecast."""
    violations: Amount
    """Millionths of the last days in which it was above."""


class Forecasts(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """Forecast for all online pods together; absent until enough has been observed."""

    cpu: ResourceForecast | None = None
    memory: ResourceForecast | None = None


class PodUsage(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """One pod cgroup found on the node, identified by uid only."""

    uid: Uid
    cpu: Amount | None = None
    cpu_peak: Amount | None = None
    memory: Amount | None = None
    memory_peak: Amount | None = None
    predicted: Prediction | None = None
    """[millicores, bytes, seconds observed], in the place of the two peaks as soon as there is one."""


class Pressure(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """PSI "some avg10" in percent; absent where the kernel has none."""

    cpu: float | None = None
    memory: float | None = None
    io: float | None = None


class Capabilities(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """What was tried on this node's kernel and worked."""

    kernel: Uid = ""
    cgroup_version: int = 0
    cgroup_driver: Word = ""
    features: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()


class EngineState(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """What is enforced now, and why."""

    mode: Word = "off"
    cpu_quota: Amount | None = None
    """CPU quota of all BE pods together, in millicores; absent: none."""
    cpu_used: Amount | None = None
    """Millicores that BE pods use now."""
    memory_used: Amount | None = None
    throttled_pods: int = 0
    reason: Sentence = ""


class Condition(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """metav1.Condition."""

    type: Word
    status: Literal["True", "False", "Unknown"]
    reason: Word
    message: Sentence
    last_transition_time: Word


EvictionReason = Literal["MemoryHigh", "MemoryPressure", "CpuStarved"]
"""Those of this version. In a report the reason is any word: one that a newer agent gives must not cost the report."""
NODE_FULL: Final = "NodeFull"
"""The manager's own reason: a pod moves off a node that stays full."""


class EvictionRequest(Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    """A best-effort pod that should leave this node. The agent proposes; the manager decides and evicts."""

    uid: Uid
    reason: Word
    message: Annotated[str, Meta(max_length=EVICTION_MESSAGE)]


class NodeColocationStatus(Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """The agent's report."""

    observed_generation: Amount | None = None
    """The object's generation whose spec the agent follows; 0: none yet. Behind for long: it hears of no change."""
    observed_at: Word = ""
    """RFC 3339, the node's own clock: for people; staleness goes by arrival."""
    window_seconds: int = 0
    agent_version: Word = ""
    node: Usage | None = None
    system: Usage | None = None
    pods: Annotated[tuple[PodUsage, ...], Meta(max_length=MAX_PODS)] = ()
    forecasts: Forecasts | None = None
    scores: Scores | None = None
    """Of this node's forecasts: what the fleet's table is put together from."""
    pressure: Pressure | None = None
    capabilities: Capabilities | None = None
    engine: EngineState | None = None
    eviction_requests: Annotated[tuple[EvictionRequest, ...], Meta(max_length=MAX_EVICTION_REQUESTS)] = ()
    """The first choice first. The manager evicts one, and the next one only if that cannot be evicted. Empty: none has
    to leave."""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
