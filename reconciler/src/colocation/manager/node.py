"""Everything that the manager knows about one node, and what it keeps of one object of ours."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from colocation import lenient
from colocation.budget import (
    Candidate,
    Evaluation,
    KnownPeaks,
    PodSums,
    ReportView,
    Selection,
    Windows,
    add_up,
    strategies,
)
from colocation.budget.moves import Place
from colocation.decoding import decode
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import PolicySpec
from colocation.model.report import (
    MAX_PODS,
    UID_LENGTH,
    BePod,
    EvictionRefusal,
    EvictionRequest,
    NodeColocationSpec,
    NodeColocationStatus,
    OnlinePod,
    Scores,
)
from colocation.model.status import PolicyStatus
from colocation.model.wire import NodeColocation, StoredPolicy
from colocation.nesting import Deep

log = logging.getLogger(__name__)
_STATUS = Deep(msgspec.json.Decoder(NodeColocationStatus | None))
NUMBERS: Final = ("observedAt", "node", "system", "pods", "forecasts")
"""Fields of a report that published numbers rest on: what a newer agent says beside them costs itself alone."""
_SPEC = Deep(msgspec.json.Decoder(NodeColocationSpec))


class ColocationFacts(Struct, frozen=True):
    """One NodeColocation as it is in the API."""

    uid: str
    resource_version: str
    owner_uid: str
    spec: NodeColocationSpec | None
    """None: it cannot be read, and is to be written again."""
    status: NodeColocationStatus | None = None
    problem: str | None = None
    """Why the status cannot be used."""
    generation: int = 0


def colocation_facts(wire: NodeColocation) -> ColocationFacts:
    """Project a NodeColocation; garbage in its status becomes a reason, not an error."""
    spec = None
    with contextlib.suppress(msgspec.DecodeError):  # of a newer manager: it is written again
        spec = _SPEC.decode(wire.spec)
    status, problem = _report(wire.status)
    return ColocationFacts(
        uid=wire.metadata.uid,
        resource_version=wire.metadata.resource_version,
        owner_uid=next((o.uid for o in wire.metadata.owner_references if o.kind == "Node"), ""),
        spec=spec,
        status=status,
        problem=problem,
        generation=wire.metadata.generation,
    )


def _report(text: bytes) -> tuple[NodeColocationStatus | None, str | None]:
    """A status, or why it cannot be used."""
    with contextlib.suppress(msgspec.DecodeError):  # nearly all reports are readable as they are
        return _STATUS.decode(text), None
    try:
        status, _ = lenient.read(NodeColocationStatus, decode(text, dict[str, Any]), NUMBERS)
    except msgspec.DecodeError as error:
        return None, str(error)
    return status, None


class Awaited(Struct, frozen=True, gc=False):
    """A generation of the spec that the agent has not followed yet, and since when it could have."""

    generation: int
    since: float


def awaited(before: Awaited | None, facts: ColocationFacts, now: float) -> Awaited | None:
    """What is awaited of the agent now; None: nothing, or it does not say what it follows (an older agent)."""
    observed = facts.status.observed_generation if facts.status is not None else None
    if observed is None or observed >= facts.generation:
        return None
    # However often the spec changes meanwhile: an agent that follows none of it has been behind since the first.
    return before if before is not None and observed < before.generation else Awaited(facts.generation, now)


class PolicyFacts(Struct, frozen=True):
    """One ColocationPolicy as it is in the API."""

    candidate: Candidate
    uid: str = ""
    resource_version: str = ""
    status: PolicyStatus = PolicyStatus()
    problems: tuple[str, ...] = ()
    """Fields of the spec that this version cannot read, and takes the default of."""


def policy_facts(wire: StoredPolicy) -> PolicyFacts:
    """Project a ColocationPolicy, whichever version wrote it."""
    meta = wire.metadata
    spec, problems = lenient.read(PolicySpec, wire.spec or {})
    status, _ = lenient.read(PolicyStatus, wire.status or {})  # fields that cannot be read are written again
    return PolicyFacts(Candidate(meta.name, meta.generation, spec), meta.uid, meta.resource_version, status, problems)


class Move(Struct, frozen=True):
    """A pod that is to leave a full node for one of these."""

    pod: PodFacts
    request: EvictionRequest
    places: tuple[Place, ...]


class Agreed(Struct, frozen=True, gc=False):
    """A NodeColocation says what is wanted: so it stays while each of these is the very same object."""

    facts: NodeFacts
    selection: Selection | None
    spec: NodeColocationSpec
    be_rows: tuple[BePod, ...] | None
    refusals: tuple[EvictionRefusal, ...]
    fleet_scores: Scores | None


class NodeState(Struct):
    """Everything about one node; `facts` is None while no Node of that name exists."""

    name: str
    uid: str = ""
    """Uid of the Node that exists, or last existed."""
    facts: NodeFacts | None = None
    pods: dict[str, PodFacts] = field(default_factory=dict)
    gone_be: set[str] = field(default_factory=set)
    """Cgroup uids of BE pods that ended and may still be in the last report."""
    colocation: ColocationFacts | None = None
    report: ReportView = ReportView()
    written_at: float | None = None
    """When this manager last wrote the Node's numbers, on its own clock."""
    awaited: Awaited | None = None
    suspected_at: float | None = None
    """When a suspect report was last logged."""
    windows: Windows = field(default_factory=Windows)
    selection: Selection | None = None
    selected: bool = False
    """The selection is that of the labels and policies as they are."""
    sums: PodSums | None = None
    """Kept until a pod or the report changes; so are the rows."""
    be_rows: tuple[BePod, ...] | None = None
    online_rows: tuple[OnlinePod, ...] | None = None
    left_out: tuple[str, ...] = ()
    """Best-effort pods that cannot be in the spec, and why: they get no limits."""
    refusals: tuple[EvictionRefusal, ...] = ()
    """Pods that the agent asked for and the API server refused to evict."""
    fleet_scores: Scores | None = None
    """The fleet's table for the agent's spec; None: the one that is in it."""
    move: Move | None = None
    """What this manager itself asks for (`colocation.manager.moves`); what the agent asks for goes first."""
    agreed: Agreed | None = None
    evaluation: Evaluation | None = None
    due: float | None = None
    evictions: int = 0
    """Pods seen evicted here since this manager started."""

    def summed(self, selection: Selection, known: KnownPeaks) -> PodSums:
        """What the pods come to; ``known``: what the pods of each workload need, on all nodes."""
        by = strategies(selection, self.report.status)
        if self.sums is None or self.sums.strategies != by:
            self.sums = add_up(self.pods.values(), self.report.status, by, self.gone_be, known)
        return self.sums

    def be_pods_for_agent(self) -> tuple[BePod, ...]:
        """The rows of the spec for this node's agent."""
        if self.be_rows is None:
            pods = [pod for pod in self.pods.values() if pod.qos is Qos.BE]
            kept, left_out = _writable(pods)
            self.be_rows = tuple(pod.as_be_pod() for pod in kept)
            if left_out != self.left_out:
                self.left_out = left_out
                if left_out:
                    log.warning("best-effort pods get no limits", extra={"node": self.name, "pods": list(left_out)})
        return self.be_rows

    def online_pods_for_agent(self) -> tuple[OnlinePod, ...]:
        """The same of all other pods: only for an agent that is to do something for them."""
        if self.online_rows is None:
            kept, _ = _writable([pod for pod in self.pods.values() if pod.qos is not Qos.BE])
            self.online_rows = tuple(pod.as_online_pod() for pod in kept)
        return self.online_rows

    def agree(self, facts: NodeFacts, spec: NodeColocationSpec) -> None:
        """The NodeColocation, which has this spec, says what is wanted."""
        self.agreed = Agreed(facts, self.selection, spec, self.be_rows, self.refusals, self.fleet_scores)

    @property
    def agrees(self) -> bool:
        """It still does."""
        was, known = self.agreed, self.colocation
        return (
            was is not None
            and known is not None
            and was.spec is known.spec
            and was.facts is self.facts
            and was.selection is self.selection
            and was.be_rows is self.be_rows
            and was.refusals is self.refusals
            and was.fleet_scores is self.fleet_scores
            and known.owner_uid == was.facts.uid
        )

    @property
    def foreign(self) -> bool:
        """It carries be-* and no other trace of us: another manager's, or what one left behind."""
        facts = self.facts
        if facts is None or self.colocation is not None or facts.withdrawn is not None:
            return False
        return not facts.published.absent and facts.published.gate is None

    @property
    def empty(self) -> bool:
        """Nothing left to remember."""
        return self.facts is None and self.colocation is None and not self.pods


def _writable(pods: list[PodFacts]) -> tuple[list[PodFacts], tuple[str, ...]]:
    """Those that a NodeColocation takes, by uid, and a sentence for each of the others: one of them costs no other."""
    known = sorted((pod for pod in pods if len(pod.cgroup_uid) <= UID_LENGTH), key=lambda pod: pod.cgroup_uid)
    messages = [
        f"{pod.name}: its uid is longer than {UID_LENGTH} characters"
        for pod in pods
        if len(pod.cgroup_uid) > UID_LENGTH
    ]
    messages += [f"{pod.name}: the node has more than {MAX_PODS} such pods" for pod in known[MAX_PODS:]]
    return known[:MAX_PODS], tuple(messages)
