"""The loop without threads: events in, jobs out, time by hand."""

from __future__ import annotations

import itertools
import queue
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from colocation.budget import Withdrawal
from colocation.kube.bucket import Bucket
from colocation.kube.cache import Bad, Delete, Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.kube.rest import ApiError
from colocation.manager.events import Events
from colocation.manager.evictions import Eviction, Evictions
from colocation.manager.loop import AWAIT_SECONDS, Loop, Stop
from colocation.manager.metrics import Metrics
from colocation.manager.node import ColocationFacts, colocation_facts, policy_facts
from colocation.manager.patches import SPEC, Job, Urgency, spec_job, wanted_spec
from colocation.manager.publisher import Done, Outbox
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec, Protect
from colocation.model.report import BePod, NodeColocationSpec, NodeColocationStatus, OnlinePod, PodUsage, Usage
from colocation.model.status import PolicyStatus
from colocation.model.wire import ColocationPolicy, Metadata, NodeColocation

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
        self.loop = Loop(
            outbox, metrics, self.events, evictions, lambda: self.now, lambda: self.leads, queue.SimpleQueue()
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
            f: more.pop(f) for f in ("priority", "node_selector", "rollout", "enabled", "protect") if f in more
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
        wire = ColocationPolicy(Metadata(name=name, generation=generation, uid=f"uid-{name}"), spec, status)
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
            observed_at=f"{at}{self.now}",
            node=usage,
            system=usage,
            pods=rows,
            eviction_requests=more.pop("leave", ()),
        )
        known = self.loop.state.nodes.get(name)
        spec = more.pop("spec", known.colocation.spec if known and known.colocation else NodeColocationSpec())
        owner = more.pop("owner", f"uid-{name}")
        facts = ColocationFacts("u", str(self.version), owner, spec, status)
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
            said = body_of(job)["metadata"].get("annotations", {names.WITHDRAWN_ANNOTATION: node.facts.withdrawn})
            meta["annotations"] = {k: v for k, v in said.items() if v}  # type: ignore[assignment]
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
        """Three nodes that sell 3,000m; nothing waits, and the bucket is full."""
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


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_decided_before_everything_is_known(bench: Bench) -> None:
    bench.policy()
    bench.node()
    bench.report()
    bench.say(*(Synced(r) for r in (NODES, POLICIES, NODE_COLOCATIONS)))
    assert bench.step() is None
    assert bench.writer.jobs == []
    bench.say(Synced(PODS))
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_patch_carries_the_version_it_was_decided_on(bench: Bench) -> None:
    bench.sync()
    bench.policy()
    bench.node()
    version = str(bench.version)
    bench.report()
    [job] = bench.take()
    assert body_of(job)["metadata"] == {"resourceVersion": version}
    assert (job.path, job.urgency) == ("/api/v1/nodes/n/status", Urgency.GROW)


def test_what_has_been_written_is_not_written_again(bench: Bench) -> None:
    bench.publish()
    for _ in range(3):
        bench.report(at="again")
        bench.node(published=Published(5000, 60 * GI, 250))
        assert bench.take() == []
        assert bench.take("spec") == []


def test_a_conflict_is_decided_again_on_the_new_version(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job, ApiError(409, "Conflict", ""))
    bench.node(published=Published(5000, 60 * GI, 250))
    version = str(bench.version)
    assert bench.take() == []  # not at once: the watch may be behind
    bench.now += 0.2
    [job] = bench.take()
    assert body_of(job)["metadata"]["resourceVersion"] == version
    assert amounts(job)[0] == "4000"


def test_while_a_patch_is_out_no_second_one_goes(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [first] = bench.take()
    bench.report(cpu=3000)
    assert bench.take() == []
    bench.answer(first)
    [second] = bench.take()
    assert amounts(second)[0] == "3000"


def test_shrinks_go_before_grows() -> None:
    bench = Bench(parallel=1)
    bench.sync()
    bench.policy()
    for name in ("grow", "shrink"):
        bench.node(name, published=Published(3000, 60 * GI, 250))
        bench.report(name)
    while bench.step() and bench.writer.jobs:  # whatever the start brings
        bench.answer(bench.writer.jobs.pop())
    bench.report("grow", cpu=500)
    bench.report("shrink", cpu=4000)
    bench.step()
    order = []
    while bench.writer.jobs:
        job = bench.writer.jobs.pop()
        order.append(job.key[1])
        bench.answer(job)
        bench.step()
    assert order == ["shrink", "grow"]


def test_the_bucket_paces_and_says_when_to_come_back() -> None:
    bench = Bench(rate=2)
    bench.sync()
    bench.policy()
    bench.step()  # a new policy is carried out without limit
    for name in "abc":
        bench.node(name)
    until = bench.step()
    assert len(bench.writer.jobs) == 1
    assert until == pytest.approx(bench.now + 0.5)
    bench.step(after=0.5)
    assert len(bench.writer.jobs) == 2


def just_started(rate: float, nodes: Sequence[str]) -> Bench:
    """These nodes' agents have been told, all at once: the rate is lifted."""
    bench = Bench(rate=rate, parallel=8, lifted=True)
    bench.sync()
    bench.policy()
    for name in nodes:
        bench.node(name)
    assert bench.written() == len(nodes)
    return bench


def test_the_rate_is_lifted_until_a_started_manager_has_caught_up() -> None:
    bench = just_started(rate=2, nodes="abcdef")
    assert bench.written() == 0  # nothing is left; but they are to report yet
    for name in "abcdef":
        bench.report(name)
    assert bench.written() == 6
    assert bench.written() == 0  # caught up
    for name in "abcdef":
        bench.report(name, cpu=2000)
    assert bench.written() == 1
    assert bench.step() == pytest.approx(bench.now + 0.5)


def test_an_agent_that_never_reports_does_not_lift_the_rate_for_ever() -> None:
    bench = just_started(rate=1, nodes=["silent"])
    bench.now += AWAIT_SECONDS
    bench.written()
    bench.written()
    for name in "abc":
        bench.node(name)
    assert bench.written() == 1


def test_agents_that_come_one_after_another_are_all_waited_for() -> None:
    """10,000 agents on a slow server take longer to report than any one of them may."""
    bench = just_started(rate=1, nodes="abcdef")
    for name in "ab":
        bench.now += AWAIT_SECONDS - 1
        bench.report(name)
        assert bench.written() == 1
        assert bench.written() == 0
    for name in "cdef":
        bench.report(name)
    assert bench.written() == 4, "no limit yet"


def test_shrinks_grows_and_what_agents_are_told_share_one_bucket() -> None:
    bench = Bench(rate=1)
    bench.publish_at_rate()
    bench.report("grow", cpu=500)
    bench.report("shrink", cpu=4000)
    bench.pod("b", be=500, node="told")
    sent = []
    for _ in range(12):
        bench.step(after=0.25)
        for job in bench.writer.jobs:
            sent.append((round(bench.now, 2), job.key[1]))
            bench.answer(job)
        bench.writer.jobs = []
    assert [name for _, name in sent] == ["shrink", "told", "grow"]
    times = [at for at, _ in sent]
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times))


def test_server_errors_delay_twice_as_long_each_time_with_jitter() -> None:
    waits = []
    for _ in range(30):
        bench = Bench()
        bench.publish()
        bench.report(cpu=2000)
        took = []
        for _ in range(4):
            [job] = bench.take()
            bench.answer(job, ApiError(503, "ServiceUnavailable", ""))
            bench.step()
            until = bench.loop._outbox.step(bench.now)
            assert until is not None
            took.append(until - bench.now)
            bench.now = until
        waits.append(took)
    for at, whole in enumerate((0.1, 0.2, 0.4, 0.8)):
        said = [took[at] for took in waits]
        assert all(whole / 2 - 1e-9 <= wait <= whole + 1e-9 for wait in said)
        assert max(said) - min(said) > whole / 10  # not all the same


def test_an_edited_policy_is_carried_out_at_once_and_then_the_rate_holds_again() -> None:
    bench = Bench(rate=2, parallel=100, lifted=True)
    bench.sync()
    bench.policy()
    for number in range(20):
        bench.node(f"n{number}")
        for job in bench.take("spec"):
            bench.answer(job)
        bench.report(f"n{number}")
    for _ in range(100):
        bench.now += 0.5
        for job in bench.take():
            bench.answer(job)
    assert bench.loop.settled  # all is written, and the rate holds
    for number in range(20):
        bench.report(f"n{number}", cpu=2000)
    jobs = bench.take()
    assert len(jobs) <= 2
    for job in jobs:
        bench.answer(job)
    bench.policy(generation=2, max_pods=7)
    jobs = bench.take()
    assert len(jobs) >= 18
    for _ in range(3):
        for job in jobs:
            bench.answer(job)
        jobs = bench.take()
    assert bench.loop.settled
    for number in range(20):
        bench.report(f"n{number}", cpu=4000)
    assert len(bench.take()) <= 2


def test_429_closes_the_door_for_all(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job, ApiError(429, "TooManyRequests", "", retry_after=7))
    assert bench.take() == []
    bench.now += 6.9
    assert bench.take() == []
    bench.now += 0.2
    assert len(bench.take()) == 1


def test_a_node_that_fails_delays_itself_alone(bench: Bench) -> None:
    bench.publish()
    bench.node("m")
    bench.take("spec")
    bench.report("m")
    [job] = bench.take()
    bench.answer(job, ApiError(500, "InternalError", ""))
    bench.report("n", cpu=2000)
    [other] = bench.take()
    assert other.key == ("node", "n")


def test_a_node_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.publish()
    bench.report(cpu=2000)
    [job] = bench.take()
    bench.answer(job, ApiError(404, "NotFound", ""))
    bench.say(Delete(NODES, "n"), Delete(NODE_COLOCATIONS, "n"))
    assert bench.take() == []
    assert bench.loop.state.nodes == {}


def test_silence_withdraws_by_timer(bench: Bench) -> None:
    bench.publish()
    began = bench.now
    while not (jobs := bench.take()):
        until = bench.step()
        assert until is not None
        bench.now = until
    assert bench.now == pytest.approx(began + 180)
    [job] = jobs
    assert amounts(job) == (None, None, None)
    assert "silent" in body_of(job)["metadata"]["annotations"]["colocation.openfuyao.com/withdrawn"]
    assert job.urgency is Urgency.SHRINK


def test_a_change_of_the_spec_is_no_report(bench: Bench) -> None:
    bench.publish()
    node = bench.loop.state.nodes["n"]
    before = node.report
    bench.now += 100
    assert node.colocation is not None
    bench.version += 1
    facts = msgspec.structs.replace(node.colocation, resource_version=str(bench.version), status=before.status)
    bench.say(Upsert(NODE_COLOCATIONS, "n", facts, False))
    assert node.report is before
    bench.report(at="later")
    assert node.report.arrived == bench.now


def test_after_a_start_a_listed_report_may_lower_but_not_raise(bench: Bench) -> None:
    bench.policy()
    bench.node(listed=True, published=Published(4000, 60 * GI, 250))
    bench.report(cpu=0, listed=True)
    bench.sync()
    assert bench.take() == []
    bench.report(cpu=0, at="new")
    [job] = bench.take()
    assert amounts(job)[0] == "6000"


def test_a_node_never_published_is_published_from_the_list(bench: Bench) -> None:
    bench.policy()
    bench.node(listed=True)
    bench.report(listed=True)
    bench.sync()
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_node_that_was_withdrawn_waits_for_a_report(bench: Bench) -> None:
    bench.policy()
    bench.node(listed=True, withdrawn="silent")
    bench.report(listed=True)
    bench.sync()
    for job in bench.take():  # open at zero room, at most
        assert amounts(job)[:2] == ("0", "0")


def test_without_the_lease_nothing_is_written_and_with_it_everything(bench: Bench) -> None:
    bench.leads = False
    bench.sync()
    bench.policy()
    bench.node()
    bench.report()
    bench.step()
    assert bench.writer.jobs == []
    bench.leads = True
    [job] = bench.take()
    assert amounts(job) == FULL


def test_a_lost_lease_empties_the_outbox(bench: Bench) -> None:
    bench.publish()
    bench.loop._outbox._bucket.close(bench.now + 5)
    bench.report(cpu=2000)
    bench.step()
    bench.leads = False
    bench.step(after=6)
    assert bench.writer.jobs == []
    assert len(bench.loop._outbox) == 0


def test_be_pods_reach_the_spec_and_leave_it(bench: Bench) -> None:
    bench.publish()
    bench.pod("b", be=1000)
    bench.pod("web", qos=Qos.LS)
    [job] = bench.take("spec")
    assert [p["uid"] for p in body_of(job)["spec"]["pods"]] == ["uid-b"]
    bench.answer(job)
    bench.say(Delete(PODS, "b"))
    [job] = bench.take("spec")
    assert body_of(job)["spec"]["pods"] == []


def test_a_be_pod_that_ended_does_not_turn_into_online_use(bench: Bench) -> None:
    bench.publish()
    bench.pod("b", be=1000)
    bench.take("spec")
    bench.say(Delete(PODS, "b"))
    assert bench.loop.state.nodes["n"].gone_be == {"uid-b"}
    bench.report(at="later")  # it no longer shows it
    assert bench.loop.state.nodes["n"].gone_be == set()


def test_be_pods_of_the_last_manager_are_remembered_by_the_spec(bench: Bench) -> None:
    bench.report(listed=True, spec=NodeColocationSpec(pods=(BePod(uid="old"),)))
    assert bench.loop.state.nodes["n"].gone_be == {"old"}


def test_a_pod_that_came_back_under_its_name_elsewhere_counts_once(bench: Bench) -> None:
    bench.publish()
    bench.node("m")
    bench.pod("b", be=1000, node="n", uid="one")
    bench.pod("b", be=1000, node="m", uid="two")
    assert bench.loop.state.nodes["n"].pods == {}
    assert [p.uid for p in bench.loop.state.nodes["m"].pods.values()] == ["two"]


def test_an_unlabelled_node_is_left_alone(bench: Bench) -> None:
    bench.sync()
    bench.policy()
    bench.node(label=False)
    bench.report()
    assert bench.take() == []
    assert [job.method for job in bench.take("spec")] == []


def test_garbage_costs_that_node_alone(bench: Bench) -> None:
    bench.publish()
    wire = NodeColocation(Metadata(name="n", uid="u", resource_version="999"), status=Raw(b'{"pods": [{"uid": 7}]}'))
    facts = colocation_facts(wire)
    assert facts.status is None
    assert "$.pods[0].uid" in str(facts.problem)
    bench.say(Upsert(NODE_COLOCATIONS, "n", facts, False))
    [job] = bench.take()
    assert amounts(job) == (None, None, None)


@pytest.mark.parametrize(
    "status", [7, [], "x", {"system": []}, {"node": {"cpu": -1}}, {"pods": {}}, {"pods": [{}]}, {"observedAt": 3}]
)
def test_no_status_is_an_error(status: object) -> None:
    facts = colocation_facts(NodeColocation(Metadata(name="n"), status=Raw(msgspec.json.encode(status))))
    assert facts.problem
    assert facts.status is None


def test_a_colocation_that_cannot_be_read_is_withdrawn_and_its_spec_written_anew(bench: Bench) -> None:
    bench.publish()
    bench.say(Bad(NODE_COLOCATIONS, "n", "nonsense"))
    bench.step()
    by_kind = {job.key[0]: job for job in bench.writer.jobs}
    assert amounts(by_kind["node"]) == (None, None, None)
    assert body_of(by_kind["spec"])["spec"]["enabled"]


def test_an_older_watch_event_does_not_undo_what_a_patch_told(bench: Bench) -> None:
    bench.publish()
    facts = bench.loop.state.nodes["n"].facts
    assert facts is not None
    old = msgspec.structs.replace(facts, resource_version="1", published=Published())
    bench.say(Upsert(NODES, "n", old, False))
    assert bench.take() == []
    bench.say(Upsert(NODES, "n", old, True))  # a list is believed: etcd may have been restored
    assert len(bench.take()) == 1


def test_a_fault_of_ours_withdraws_the_node(bench: Bench) -> None:
    bench.publish()
    bench.policy(cpu=OversellCpu(strategy="usage", quantum="nonsense"))
    [job] = bench.take()
    assert amounts(job) == (None, None, None)
    assert "nonsense" in body_of(job)["metadata"]["annotations"]["colocation.openfuyao.com/withdrawn"]


def test_order_of_events_changes_nothing() -> None:
    outcomes = set()
    for order in itertools.permutations(("policy", "node", "report", "pod")):
        bench = Bench()
        for what in order:
            bench.pod("b", be=7000) if what == "pod" else getattr(bench, what)()
        bench.sync()
        [job] = bench.take()
        outcomes.add(amounts(job))
    assert outcomes == {("7000", str(60 * GI), None)}


def test_a_stop_is_not_lost_behind_a_thousand_messages(bench: Bench) -> None:
    for _ in range(1000):
        bench.loop.inbox.put(Synced(NODES))
    bench.loop.inbox.put(Stop())
    assert bench.loop.round()
    assert not bench.loop.round()


def test_a_loop_that_keeps_failing_has_no_heartbeat(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: float) -> None:
        raise RuntimeError("broken")

    bench.now += 50
    bench.loop.inbox.put(Synced(NODES))
    monkeypatch.setattr(bench.loop, "step", fail)
    assert bench.loop.round()
    assert bench.now - bench.loop.beat == 50


def anything(bench: Bench, dice: random.Random) -> None:
    """One of all that can happen to a node, its pods, its report and its policy."""
    name = f"p{dice.randrange(4)}"
    match dice.randrange(9):
        case 0:
            bench.pod(name, be=dice.choice([0, 0, 900]), qos=dice.choice(list(Qos)), uid=dice.choice([name, name, "x"]))
        case 1:
            bench.say(Delete(PODS, name))
        case 2:
            rows = tuple(PodUsage(uid=f"p{i}", cpu=dice.randrange(999), memory=GI, cpu_peak=1500) for i in range(3))
            bench.report(at=str(dice.random()), rows=rows)
        case 3:
            bench.policy(cpu=OversellCpu(strategy=dice.choice(["usage", "predicted"])))
        case 4:
            bench.node(label=dice.random() < 0.8, cpu=dice.choice([10_000, 12_000]))
        case 5:
            bench.say(dice.choice([Bad(NODE_COLOCATIONS, "n", "x"), Delete(NODE_COLOCATIONS, "n")]))
        case 6:
            bench.policy(protect=Protect(memory_low_percent=dice.choice([0, 50])))
        case 7:
            bench.report(spec=NodeColocationSpec(), at="by hand")
        case 8:
            bench.report(owner=dice.choice(["uid-n", "another"]))


def test_sums_that_are_kept_are_those_of_the_pods_reports_and_policies_as_they_are() -> None:
    """Whatever happens in whatever order, a loop that kept its sums decides as one that sees only the end."""
    for seed in range(200):
        dice = random.Random(seed)
        bench = Bench()
        bench.sync()
        bench.policy()
        bench.node()
        for _ in range(12):
            anything(bench, dice)
            bench.step()
        node = bench.loop.state.nodes["n"]
        selection = bench.loop.state.select(node)
        kept = node.summed(selection), node.told(), selection
        node.sums = node.be_rows = node.online_rows = None
        node.selected = False
        selection = bench.loop.state.select(node)
        assert kept == (node.summed(selection), node.told(), selection), seed


def test_an_agent_that_agrees_is_told_again_whatever_changes() -> None:
    """A loop that remembers whom there is nothing to tell tells what one without memory would."""
    agreed = 0
    for seed in range(100):
        dice = random.Random(seed)
        bench = Bench()
        bench.publish()
        node = bench.loop.state.nodes["n"]
        for _ in range(12):
            anything(bench, dice)
            bench.step()
            assert node.facts is not None
            if not bench.loop._outbox.busy((SPEC, "n")):
                agreed += node.agrees
                remembered, node.agreed = spec_job(node, node.facts), None
                assert remembered == spec_job(node, node.facts), seed
            bench.written()
    assert agreed > 300


def test_online_pods_are_told_only_to_agents_that_do_something_for_them() -> None:
    bench = Bench()
    bench.sync()
    bench.node()
    bench.policy()
    bench.pod("shop", qos=Qos.LS)
    bench.pod("batch", be=500)
    bench.step()
    node = bench.loop.state.nodes["n"]
    spec = wanted_spec(node, node.facts)
    assert (spec.online, [pod.uid for pod in spec.pods]) == ((), ["uid-batch"])
    for protect in (Protect(burst_percent=10), Protect(memory_low_percent=50)):
        bench.policy(generation=2, protect=protect)
        bench.step()
        spec = wanted_spec(node, node.facts)
        assert spec.protect == protect
        assert spec.online == (OnlinePod(uid="uid-shop"),)


def withdrawals(bench: Bench) -> dict[str, float]:
    """The reasons counted so far."""
    value = bench.loop._metrics.registry.get_sample_value
    counted = {reason: value("colocation_withdrawals_total", {"reason": reason}) for reason in Withdrawal}
    return {reason: times for reason, times in counted.items() if times}


def test_a_withdrawal_is_counted_once_by_its_first_reason(bench: Bench) -> None:
    bench.publish()
    assert withdrawals(bench) == {}
    bench.now += 180
    [job] = bench.take()
    bench.step(after=1)
    assert withdrawals(bench) == {"Silent": 1}
    bench.answer(job)
    bench.node(label=False, withdrawn="silent")
    bench.step()
    assert withdrawals(bench) == {"Silent": 1}  # it was withdrawn already


def test_a_node_that_never_sold_is_not_counted(bench: Bench) -> None:
    bench.sync()
    bench.node()
    bench.step()
    assert withdrawals(bench) == {}


def test_a_withdrawal_of_the_last_manager_is_not_counted_again(bench: Bench) -> None:
    bench.pod("b", be=1000)
    bench.node(listed=True, published=Published(1000, GI, None), withdrawn="silent")
    bench.sync()
    bench.step()
    assert withdrawals(bench) == {}


def series(bench: Bench, name: str, **labels: str) -> float | None:
    return bench.loop._metrics.registry.get_sample_value(f"colocation_node_{name}", {"node": "n", **labels})


def test_a_nodes_series_say_what_it_has_and_sells_and_go_with_it(bench: Bench) -> None:
    online = PodFacts("u", "u", "online", "n", Qos.LS, True, 700, GI)
    bench.say(Upsert(PODS, "online", online, False))
    bench.publish()
    assert series(bench, "capacity", resource="cpu") == 10_000
    assert series(bench, "requested", resource="cpu") == 700
    sold = series(bench, "oversold", resource="cpu")
    assert sold is not None
    assert sold > 0
    assert series(bench, "withdrawn", reason="") == 0
    bench.now += 180
    bench.step(after=1)
    assert (series(bench, "withdrawn", reason=""), series(bench, "withdrawn", reason="Silent")) == (None, 1)
    bench.say(Delete(NODES, "n"))
    bench.step()
    assert series(bench, "capacity", resource="cpu") is None
