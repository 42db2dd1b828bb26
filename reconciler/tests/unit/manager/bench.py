"""The loop with everything around it under a test's hand: events in, jobs out, time by hand."""

from __future__ import annotations

import queue
from typing import Any

import msgspec

from colocation.kube.bucket import Bucket
from colocation.kube.cache import Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.kube.rest import ApiError
from colocation.manager.events import Events
from colocation.manager.evictions import Evictions
from colocation.manager.evictor import Eviction
from colocation.manager.loop import Loop
from colocation.manager.metrics import Metrics
from colocation.manager.node import ColocationFacts, policy_facts
from colocation.manager.patches import Job
from colocation.manager.publisher import Done, Outbox
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import NodeColocationSpec, NodeColocationStatus, Usage
from colocation.model.status import PolicyStatus
from colocation.model.wire import Metadata, StoredPolicy

GI = 2**30


def body_of(job: Job) -> Any:
    """What it sends."""
    return msgspec.json.decode(job.body)


class FakeWriter:
    """NOT a writer: keeps the jobs, so that a test can look at them and answer as it likes."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)


class Bench:
    """A loop with everything around it under our hand."""

    def __init__(self, *, rate: float = 0, parallel: int = 4, lifted: bool = False, per_minute: float = 0) -> None:
        self.now = 100.0
        self.writer = FakeWriter()
        self.leads = True
        outbox = Outbox(self.writer, Bucket(rate, 1, self.now, lifted=lifted), parallel)
        self.told: list[dict[str, Any]] = []
        self.events = Events(self.told.append, "me", lambda: self.now)
        metrics = Metrics()
        self.asked: list[Eviction] = []
        evictions = Evictions(self.asked.append, self.events, metrics, per_minute, self.now)
        self.answered_at: float | None = None
        """When the API server last answered; None: it always does."""
        self.loop = Loop(
            outbox,
            metrics,
            self.events,
            evictions,
            lambda: self.now,
            lambda: self.leads,
            lambda: self.now if self.answered_at is None else self.answered_at,
            queue.SimpleQueue(),
        )
        self.version = 10

    def say(self, *events: object) -> None:
        for event in events:
            self.loop.handle(event, self.now)

    def step(self, after: float = 0) -> float | None:
        self.now += after
        return self.loop.step(self.now)

    def sync(self) -> None:
        self.say(*(Synced(r) for r in (NODES, PODS, POLICIES, NODE_COLOCATIONS)))

    def policy(self, name: str = "p", *, generation: int = 1, status: Any = None, **more: Any) -> None:
        spec_fields = {
            f: more.pop(f) for f in ("priority", "node_selector", "rollout", "enabled", "protect", "evict") if f in more
        }
        oversell = more
        usage = {
            "cpu": OversellCpu(strategy="usage"),
            "memory": OversellMemory(strategy="usage"),
            "grow_after_seconds": 0,
        }
        spec = PolicySpec(oversell=Oversell(**{**usage, **oversell}), **spec_fields)
        known = self.loop.state.policies.get(name)
        if status is None and known is not None:
            status = msgspec.json.decode(msgspec.json.encode(known.status))
        wire = StoredPolicy(
            Metadata(name=name, generation=generation, uid=f"uid-{name}"), msgspec.to_builtins(spec), status
        )
        self.say(Upsert(POLICIES, name, policy_facts(wire), False))

    def node(self, name: str = "n", *, label: bool = True, listed: bool = False, cpu: int = 10000, **more: Any) -> None:
        self.version += 1
        labels = {"node.openfuyao.com/colocation": "true"} if label else {}
        labels |= more.pop("labels", {})
        uid = more.pop("uid", f"uid-{name}")
        facts = NodeFacts(name, uid, str(self.version), labels, cpu, cpu, 100 * GI, 100 * GI, **more)
        self.say(Upsert(NODES, name, facts, listed))

    def report(self, name: str = "n", cpu: int = 1000, at: str = "t", *, listed: bool = False, **more: Any) -> None:
        self.version += 1
        usage = Usage(cpu=cpu, memory=5 * GI)
        rows = more.pop("rows", ())
        status = NodeColocationStatus(
            observed_at=more.pop("clock", f"{at}{self.now}"),
            node=usage,
            system=usage,
            pods=rows,
            eviction_requests=more.pop("leave", ()),
            observed_generation=more.pop("observed", None),
            scores=more.pop("scores", None),
        )
        known = self.loop.state.nodes.get(name)
        spec = more.pop("spec", known.colocation.spec if known and known.colocation else NodeColocationSpec())
        owner = more.pop("owner", f"uid-{name}")
        generation = more.pop("generation", 0)
        facts = ColocationFacts("u", str(self.version), owner, spec, status, generation=generation)
        self.say(Upsert(NODE_COLOCATIONS, name, facts, listed))

    def pod(
        self,
        name: str,
        *,
        be: int = 0,
        node: str = "n",
        qos: Qos = Qos.BE,
        running: bool = True,
        uid: str = "",
        evicted: bool = False,
    ) -> None:
        uid = uid or f"uid-{name}"
        pod = PodFacts(uid, uid, name, node, qos, running, 0, 0, be_cpu=be, be_memory=be and GI, evicted=evicted)
        self.say(Upsert(PODS, name, pod, False))

    def take(self, kind: str = "node") -> list[Job]:
        """The jobs handed out since the last look, of one kind; the others answered away."""
        self.step()
        taken = [job for job in self.writer.jobs if job.key[0] == kind]
        for job in self.writer.jobs:
            if job.key[0] != kind:
                self.answer(job)
        self.writer.jobs = []
        return taken

    def answer(self, job: Job, error: ApiError | None = None) -> None:
        """Answer as the API server would: with the object as it is now."""
        if error is not None:
            self.say(Done(job, error=error))
            return
        self.version += 1
        kind, name = job.key
        if kind == "policy":
            self.answer_policy(job)
            return
        node = self.loop.state.nodes[name]
        if kind == "node":
            assert node.facts is not None
            meta = {"name": name, "uid": node.facts.uid, "resourceVersion": str(self.version)}
            meta["labels"] = node.facts.labels  # type: ignore[assignment]
            given = body_of(job)["metadata"].get("annotations", {names.WITHDRAWN_ANNOTATION: node.facts.withdrawn})
            meta["annotations"] = {k: v for k, v in given.items() if v}  # type: ignore[assignment]
            amounts = {k: v for k, v in body_of(job)["status"]["capacity"].items() if v is not None}
            amounts |= {"cpu": "10", "memory": "100Gi"}
            body = {"metadata": meta, "status": {"capacity": amounts, "allocatable": amounts}}
        else:
            body = {
                "metadata": {
                    "name": name,
                    "uid": "u",
                    "resourceVersion": str(self.version),
                    "ownerReferences": [{"kind": "Node", "uid": f"uid-{name}"}],
                },
                "spec": body_of(job).get("spec", {}),
            }
        self.say(Done(job, msgspec.json.encode(body)))

    def answer_policy(self, job: Job) -> None:
        """The watch brings the policy with its new status."""
        self.say(Done(job, b"{}"))
        known = self.loop.state.policies[job.key[1]]
        assert body_of(job)["metadata"] == {"resourceVersion": known.resource_version}
        status = msgspec.convert(body_of(job)["status"], PolicyStatus)
        facts = msgspec.structs.replace(known, resource_version=str(self.version), status=status)
        self.say(Upsert(POLICIES, job.key[1], facts, False))

    def publish(self, **more: Any) -> None:
        """One node, reported and published."""
        self.sync()
        self.policy()
        self.node(**more)
        for job in self.take("spec"):
            self.answer(job)
        self.report()
        for job in self.take():
            self.answer(job)
        assert self.take() == []

    def written(self) -> int:
        """Step once and answer all of it; how much of it was for nodes and their agents."""
        self.step()
        jobs, self.writer.jobs = self.writer.jobs, []
        for job in jobs:
            self.answer(job)
        return sum(job.key[0] in ("node", "spec") for job in jobs)

    def publish_at_rate(self) -> None:
        """Three nodes that offer 3,000m; nothing waits, and the bucket is full."""
        self.sync()
        self.policy()
        for name in ("grow", "shrink", "told"):
            self.node(name)
            self.report(name, cpu=3000)
        for _ in range(60):
            self.step(after=1)
            for job in self.writer.jobs:
                self.answer(job)
            self.writer.jobs = []
        self.step(after=5)


def amounts(job: Job) -> tuple[str | None, ...]:
    assert body_of(job)["status"]["capacity"] == body_of(job)["status"]["allocatable"]
    return tuple(body_of(job)["status"]["capacity"].values())


FULL = ("5000", str(60 * GI), "250")
