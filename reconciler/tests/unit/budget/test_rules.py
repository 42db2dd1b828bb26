"""Every rule of docs/budget.md for every strategy, and for cpu and memory each on its own: tables, then properties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import Resource, Windows, add_up, add_up_one, allocated_to, compute, decide, evaluate
from colocation.budget.evaluate import ReportView
from colocation.budget.publish import published
from colocation.budget.select import Candidate, Selection
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.phrase import phrase
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import NodeColocationStatus, PodUsage, Prediction, Usage

STRATEGIES = ("usage", "request", "maxUsageRequest", "predicted")
CAPACITY, RESERVED = 10_000, 500
SIZE = (CAPACITY, CAPACITY - RESERVED)
NODE = NodeFacts("n", "N", "1", {names.NODE_LABEL: "true"}, *SIZE, *SIZE)
LEARNT = 10**6
both = pytest.mark.parametrize("resource", list(Resource))
each = pytest.mark.parametrize("strategy", STRATEGIES)


class Made(NamedTuple):
    """A pod and what its report row says of one resource; the other resource is always full of holes."""

    qos: Qos = Qos.LS
    request: int = 1000
    mean: int | None = 400
    peak: int | None = None
    predicted: int | None = None
    be: int = 0
    seen: bool = True


def pod(made: Made, uid: str, resource: Resource) -> PodFacts:
    cpu = resource is Resource.CPU
    return PodFacts(
        uid=uid, cgroup_uid=uid, name=f"d/{uid}", node="n", qos=made.qos, running=True,
        cpu=made.request if cpu else 7, memory=7 if cpu else made.request,
        be_cpu=made.be if cpu else 0, be_memory=0 if cpu else made.be,
    )  # fmt: skip


def row(made: Made, uid: str, resource: Resource) -> PodUsage:
    answer = None if made.predicted is None else Prediction(made.predicted, made.predicted, LEARNT)
    if resource is Resource.CPU:
        return PodUsage(uid=uid, cpu=made.mean, cpu_peak=made.peak, predicted=answer)
    return PodUsage(uid=uid, memory=made.mean, memory_peak=made.peak, predicted=answer)


def result(
    resource: Resource,
    strategy: str,
    pods: Sequence[Made],
    *,
    system: int | None = 300,
    node: NodeFacts = NODE,
    gone_be: Sequence[str] = (),
    extra: Sequence[PodUsage] = (),
    reclaim: int = 60,
    most: int = 100,
    quantum: str = "",
) -> int:
    """What one resource comes to. 10,000 - 4,000 margin - 500 system = 5,500 without any pod."""
    cpu = resource is Resource.CPU
    facts = [pod(made, f"p{i}", resource) for i, made in enumerate(pods)]
    rows = [row(made, f"p{i}", resource) for i, made in enumerate(pods) if made.seen] + list(extra)
    usage = Usage(cpu=system) if cpu else Usage(memory=system)
    status = NodeColocationStatus(observed_at="t", system=usage, pods=tuple(rows))
    kind = OversellCpu if cpu else OversellMemory
    policy = kind(
        strategy=strategy,  # type: ignore[arg-type]
        reclaim_percent=reclaim,
        max_percent=most,
        quantum=quantum or ("1m" if cpu else "1"),
    )
    sums = add_up_one(facts, {r.uid: r for r in status.pods}, resource, strategy, gone_be)
    return compute(node, resource, policy, status, sums).result


@both
@pytest.mark.parametrize(
    ("strategy", "counts"), [("usage", 400), ("request", 1000), ("maxUsageRequest", 1000), ("predicted", 800)]
)
def test_what_an_online_pod_counts_for(resource: Resource, strategy: str, counts: int) -> None:
    assert result(resource, strategy, [Made(mean=400, request=1000, predicted=800)]) == 5500 - counts


@both
@pytest.mark.parametrize(
    ("strategy", "counts"), [("usage", 1400), ("request", 1000), ("maxUsageRequest", 1400), ("predicted", 1400)]
)
def test_a_pod_that_uses_more_than_it_asked_for(resource: Resource, strategy: str, counts: int) -> None:
    assert result(resource, strategy, [Made(mean=1400, request=1000, predicted=800)]) == 5500 - counts


@each
def test_hls_keeps_its_cores_but_not_its_memory(strategy: str) -> None:
    idle = [Made(Qos.HLS, request=2000, mean=10, predicted=10)]
    assert result(Resource.CPU, strategy, idle) == 3500
    memory = 5500 - (2000 if strategy in ("request", "maxUsageRequest") else 10)
    assert result(Resource.MEMORY, strategy, idle) == memory


@both
@each
def test_a_pod_that_no_report_has_seen_counts_with_its_request_whatever_the_strategy(
    resource: Resource, strategy: str
) -> None:
    assert result(resource, strategy, [Made(request=2000, seen=False)], node=LARGE) == BEFORE - max(
        2000, LEAST[resource]
    )


LEAST = {Resource.CPU: 250, Resource.MEMORY: 200 * 2**20}
LARGE = msgspec.structs.replace(
    NODE, cpu_capacity=2**40, cpu_allocatable=2**40, memory_capacity=2**40, memory_allocatable=2**40
)
BEFORE = 2**40 - -(-(2**40) * 40 // 100) - 300


@both
@each
def test_a_pod_without_request_or_sample_counts_for_something(resource: Resource, strategy: str) -> None:
    assert result(resource, strategy, [Made(request=0, seen=False)], node=LARGE) == BEFORE - LEAST[resource]


@both
@each
def test_offline_use_counts_nowhere(resource: Resource, strategy: str) -> None:
    assert result(resource, strategy, [Made(Qos.BE, request=0, mean=3000, be=500)]) == 5500


@both
@each
def test_offline_use_that_no_pod_requested_counts(resource: Resource, strategy: str) -> None:
    assert result(resource, strategy, [Made(Qos.BE, request=0, mean=3000)]) == 2500


@both
@each
def test_use_of_a_pod_that_is_gone_counts_unless_it_was_offline(resource: Resource, strategy: str) -> None:
    left = row(Made(mean=3000), "gone", resource)
    assert result(resource, strategy, [], extra=[left]) == 2500
    assert result(resource, strategy, [], extra=[left], gone_be=["gone"]) == 5500


@both
@each
@pytest.mark.parametrize(
    ("system", "allocatable", "annotated", "kept"),
    [(300, 9500, 0, 500), (800, 9500, 0, 800), (0, 10_000, 0, 0), (300, 9500, 700, 700), (900, 9500, 700, 900)],
    ids=["kubernetes reserves more", "use is more", "nothing", "the annotation is more", "use is more than all"],
)
def test_the_system_takes_the_largest_of_use_reservation_and_annotation(
    resource: Resource, strategy: str, system: int, allocatable: int, annotated: int, kept: int
) -> None:
    node = msgspec.structs.replace(
        NODE, cpu_allocatable=allocatable, memory_allocatable=allocatable,
        cpu_annotated=annotated, memory_annotated=annotated,
    )  # fmt: skip
    assert result(resource, strategy, [], system=system, node=node) == 6000 - kept


@both
@each
def test_a_missing_metric_is_nothing_to_offer_never_zero_use(resource: Resource, strategy: str) -> None:
    assert result(resource, strategy, [], system=None) == 0
    assert result(resource, strategy, [Made(mean=None)]) == 0


@both
@each
def test_an_annotation_that_cannot_be_read_is_nothing_to_offer(resource: Resource, strategy: str) -> None:
    assert result(resource, strategy, [], node=msgspec.structs.replace(NODE, problem="garbage")) == 0


@both
@pytest.mark.parametrize("percent", [0, 1, 57, 58, 99, 100])
def test_percentages_have_no_float_error_and_round_against_the_offline_side(resource: Resource, percent: int) -> None:
    odd = msgspec.structs.replace(
        NODE, cpu_capacity=10_001, cpu_allocatable=10_001, memory_capacity=10_001, memory_allocatable=10_001
    )
    published = 10_001 - -(-10_001 * (100 - percent) // 100)
    assert result(resource, "usage", [], system=0, node=odd, reclaim=percent) == published
    assert result(resource, "usage", [], system=0, node=odd, reclaim=100, most=percent) == 10_001 * percent // 100


@both
@each
def test_down_to_a_quantum(resource: Resource, strategy: str) -> None:
    quantum = "100m" if resource is Resource.CPU else "100"
    assert result(resource, strategy, [], system=501, quantum=quantum) == 5400


# Properties, for every strategy and both resources.
amount = st.integers(0, 4000)
online = st.builds(
    Made, st.sampled_from([Qos.LS, Qos.HLS]), amount, amount, amount, st.none() | amount, seen=st.booleans()
)
offline = st.builds(Made, st.just(Qos.BE), st.just(0), amount, amount, be=st.integers(1, 4000), seen=st.booleans())
unrequested = st.builds(Made, st.just(Qos.BE), amount, amount, amount)
anything = st.lists(online | offline | unrequested, max_size=6)
where = (st.sampled_from(list(Resource)), st.sampled_from(STRATEGIES))


@given(*where, anything, st.integers(0, 100), st.integers(0, 100), st.integers(0, 12_000))
def test_never_negative_and_never_above_max_percent(
    resource: Resource, strategy: str, pods: list[Made], reclaim: int, most: int, system: int
) -> None:
    assert 0 <= result(resource, strategy, pods, reclaim=reclaim, most=most, system=system) <= CAPACITY * most // 100


@given(*where, st.lists(online, max_size=6), st.data())
def test_more_online_use_never_raises_it(
    resource: Resource, strategy: str, pods: list[Made], data: st.DataObject
) -> None:
    more = [
        made._replace(
            mean=(made.mean or 0) + data.draw(amount),
            peak=(made.peak or 0) + data.draw(amount),
            predicted=None if made.predicted is None else made.predicted + data.draw(amount),
        )
        for made in pods
    ]
    assert result(resource, strategy, more, node=LARGE) <= result(resource, strategy, pods, node=LARGE)
    assert result(resource, strategy, more) <= result(resource, strategy, pods)


@given(*where, anything, st.integers(0, 100), st.integers(0, 100))
def test_less_reclaim_percent_never_raises_it(
    resource: Resource, strategy: str, pods: list[Made], one: int, other: int
) -> None:
    less, more = sorted((one, other))
    assert result(resource, strategy, pods, reclaim=less) <= result(resource, strategy, pods, reclaim=more)


@given(*where, st.lists(online, max_size=4), st.lists(offline, max_size=4))
def test_be_pods_change_nothing(resource: Resource, strategy: str, pods: list[Made], be: list[Made]) -> None:
    assert result(resource, strategy, pods + be) == result(resource, strategy, pods)


@given(*where, amount, amount, amount, amount, st.sampled_from([Qos.LS, Qos.HLS]))
def test_splitting_a_pod_in_two_changes_nothing_but_rounding(
    resource: Resource, strategy: str, a: int, b: int, used_a: int, used_b: int, qos: Qos
) -> None:
    """In proportion: two pods of which each is above its request in another way are not one pod."""
    requests, used = (
        (a, a) if strategy in ("maxUsageRequest", "predicted") or qos is Qos.HLS else (a, b),
        (used_a, used_b),
    )
    if strategy in ("maxUsageRequest", "predicted") or qos is Qos.HLS:
        used = (used_a, used_a)
    halves = [Made(qos, r, u, u) for r, u in zip(requests, used, strict=True)]
    whole = Made(qos, sum(requests), sum(used), sum(used))
    assert result(resource, strategy, [whole], node=LARGE) == result(resource, strategy, halves, node=LARGE)


@given(*where, anything, st.randoms())
def test_the_order_of_pods_and_rows_changes_nothing(
    resource: Resource, strategy: str, pods: list[Made], dice: object
) -> None:
    mixed = list(pods)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    assert result(resource, strategy, mixed) == result(resource, strategy, pods)


requests = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.booleans()), max_size=6)


@given(st.integers(0, 9000), st.integers(0, 9000), requests, st.integers(0, 20_000), st.integers(0, 20_000))
def test_published_covers_running_pods_is_not_raised_by_requests_and_the_gate_follows_the_headroom(
    headroom_cpu: int, headroom_memory: int, asked: list[tuple[int, int, bool]], before_cpu: int, before_memory: int
) -> None:
    pods = [
        PodFacts(str(i), str(i), f"d/{i}", "n", Qos.BE, runs, 0, 0, be_cpu=cpu, be_memory=memory)
        for i, (cpu, memory, runs) in enumerate(asked)
    ]
    allocated = allocated_to(pods)
    carries = msgspec.structs.replace(NODE, published=Published(before_cpu, before_memory, 250))
    made = decide(carries, headroom_cpu, headroom_memory, allocated, 250, None)
    for value, headroom, runs, before in (
        (made.cpu, headroom_cpu, allocated.cpu_running, before_cpu),
        (made.memory, headroom_memory, allocated.memory_running, before_memory),
    ):
        assert value is not None
        assert value >= max(headroom, runs)
        assert value <= max(headroom, runs, before)
    assert (made.gate is None) == (headroom_cpu < allocated.cpu or headroom_memory < allocated.memory)
    assert made.cpu == published(headroom_cpu, allocated.cpu, allocated.cpu_running, before_cpu)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 12_000), st.integers(0, 12_000)), min_size=1, max_size=12),
    st.integers(0, 900),
    st.sampled_from(STRATEGIES),
)
def test_the_headroom_is_never_above_max_percent_nor_above_any_result_of_its_window(
    reports: list[tuple[int, int, int]], window: int, strategy: str
) -> None:
    oversell = Oversell(
        cpu=OversellCpu(strategy=strategy, max_percent=50, quantum="1m"),  # type: ignore[arg-type]
        memory=OversellMemory(strategy=strategy, max_percent=50, quantum="1"),  # type: ignore[arg-type]
        grow_after_seconds=window,
        stale_after_seconds=3600,
    )
    selection = Selection(Candidate("p", 1, PolicySpec(oversell=oversell)), (), phrase("onlyPolicy"))
    windows, now, results = Windows(), 0.0, []
    for wait, cpu, memory in reports:
        now += wait
        status = NodeColocationStatus(observed_at=str(now), system=Usage(cpu=cpu, memory=memory))
        made = evaluate(
            NODE,
            selection,
            ReportView(status, None, now, since_start=True),
            add_up([], status, (strategy, strategy)),
            windows,
            now,
        )
        assert made.cpu is not None
        results.append((now, made.cpu.result))
        assert 0 <= made.headroom_cpu <= CAPACITY // 2
        assert 0 <= made.headroom_memory <= CAPACITY // 2
        assert made.headroom_cpu <= made.cpu.result  # shrinks at once
        lasting = [value for at, value in results if at > now - window]
        assert made.headroom_cpu <= min(lasting, default=CAPACITY)
