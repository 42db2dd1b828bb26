"""The formula of docs/budget.md: each rule that peers get wrong has a test of its own."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import Resource, add_up_one, compute
from colocation.budget.sums import LEARN, Estimate, estimate
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import OversellCpu, OversellMemory
from colocation.model.report import NodeColocationStatus, PodUsage, Prediction, Usage

GI = 2**30
NODE = NodeFacts(
    name="n1", uid="N", resource_version="1", labels={}, cpu_capacity=10_000, cpu_allocatable=9_500,
    memory_capacity=64 * GI, memory_allocatable=62 * GI,
)  # fmt: skip


def pod(uid: str = "a", qos: Qos = Qos.LS, cpu: int = 1000, memory: int = GI, be_cpu: int = 0) -> PodFacts:
    return PodFacts(
        uid=uid, cgroup_uid=uid, name=f"d/{uid}", node="n1", qos=qos, running=True, cpu=cpu, memory=memory,
        be_cpu=be_cpu,
    )  # fmt: skip


def row(uid: str = "a", cpu: int | None = 400, peak: int | None = 700, memory: int | None = GI) -> PodUsage:
    return PodUsage(uid=uid, cpu=cpu, cpu_peak=peak, memory=memory, memory_peak=memory)


def report(*rows: PodUsage, system: int | None = 300) -> NodeColocationStatus:
    return NodeColocationStatus(
        observed_at="t", system=Usage(cpu=system, memory=GI), node=Usage(cpu=5000, memory=9 * GI), pods=tuple(rows)
    )


def by_uid(status: NodeColocationStatus) -> dict[str, PodUsage]:
    return {r.uid: r for r in status.pods}


def cpu(pods: Sequence[PodFacts], status: NodeColocationStatus, gone_be: Sequence[str] = (), **policy: object) -> int:
    spec = OversellCpu(**{"strategy": "usage", "reclaim_percent": 60, "quantum": "1m", **policy})  # type: ignore[arg-type]
    return compute(
        NODE, Resource.CPU, spec, status, add_up_one(pods, by_uid(status), Resource.CPU, spec.strategy, gone_be)
    ).result


# 10,000 - 40 % margin - max(300, 500 reserved) = 5,500
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("usage", 5_100), ("request", 4_500), ("maxUsageRequest", 4_500), ("predicted", 4_500)],
)
def test_each_strategy(strategy: str, expected: int) -> None:
    assert cpu([pod()], report(row()), strategy=strategy) == expected


def test_until_it_is_predicted_the_larger_of_request_and_peak_counts() -> None:
    assert cpu([pod(cpu=100)], report(row(peak=700)), strategy="predicted") == 4_800


def seen(peak: int, observed_seconds: int, mean: int = 400) -> PodUsage:
    return PodUsage(uid="a", cpu=mean, memory=GI, predicted=Prediction(peak, 3 * GI, observed_seconds))


# Request 1000m; 5,500 are left without any pod.
@pytest.mark.parametrize(
    ("row", "counts", "rule"),
    [
        (seen(600, 3599), 1_000, "still learning (59 of 60 min): max(request, predicted peak)"),
        (seen(1_600, 60), 1_600, "still learning (1 of 60 min): max(request, predicted peak)"),
        (seen(600, 3600), 600, "predicted peak"),
        (seen(1_600, 3600), 1_600, "predicted peak"),
        (seen(600, 3600, mean=700), 700, "mean use, above the predicted peak"),
        (seen(0, 86_400, mean=0), 0, "predicted peak"),
    ],
)
def test_the_predicted_peak_counts_once_the_pod_was_watched_long_enough(row: PodUsage, counts: int, rule: str) -> None:
    assert cpu([pod(cpu=1_000)], report(row), strategy="predicted") == 5_500 - counts
    assert estimate(pod(cpu=1_000), row, Resource.CPU, "predicted") == Estimate(counts, rule)


def test_memory_is_watched_longer_than_cpu_and_hls_keeps_its_cores() -> None:
    early, late = seen(600, LEARN[Resource.MEMORY] - 1), seen(600, LEARN[Resource.MEMORY])
    big = pod(memory=8 * GI)
    assert estimate(big, early, Resource.MEMORY, "predicted").amount == 8 * GI
    assert estimate(big, late, Resource.MEMORY, "predicted").amount == 3 * GI
    assert estimate(pod(qos=Qos.HLS, cpu=2_000), late, Resource.CPU, "predicted").amount == 2_000


def test_system_use_counts_when_it_is_above_what_kubernetes_reserves() -> None:
    assert cpu([], report(system=800)) == 5_200


def test_a_pod_that_no_report_has_seen_counts_with_its_request() -> None:
    assert cpu([pod(cpu=2_000)], report()) == 3_500


def test_a_pod_without_request_or_sample_counts_250m() -> None:
    assert cpu([pod(cpu=0)], report()) == 5_250


def test_hls_counts_its_exclusive_cores_even_when_idle() -> None:
    assert cpu([pod(qos=Qos.HLS, cpu=2_000)], report(row(cpu=1))) == 3_500


def test_offline_use_never_counts_as_online() -> None:
    assert cpu([pod(qos=Qos.BE, cpu=0, be_cpu=500)], report(row(cpu=3_000))) == 5_500


def test_offline_use_of_a_pod_that_just_ended_does_not_turn_into_online_use() -> None:
    assert cpu([], report(row(cpu=3_000)), gone_be=["a"]) == 5_500


def test_a_be_pod_that_asked_for_nothing_counts_with_its_use() -> None:
    assert cpu([pod(qos=Qos.BE, cpu=0)], report(row(cpu=3_000))) == 2_500


def test_use_of_a_pod_that_the_api_no_longer_has_counts() -> None:
    assert cpu([], report(row(cpu=3_000))) == 2_500


def test_a_missing_system_metric_is_nothing_to_offer_not_zero_use() -> None:
    assert cpu([], report(system=None)) == 0


def test_a_missing_pod_metric_is_nothing_to_offer_and_names_the_pod() -> None:
    status = report(row(cpu=None))
    spec = OversellCpu(strategy="usage")
    budget = compute(NODE, Resource.CPU, spec, status, add_up_one([pod()], by_uid(status), Resource.CPU, "usage"))
    assert budget.result == 0
    assert budget.problem == "the report has no cpu use of pod d/a"


def test_each_resource_on_its_own() -> None:
    status = report(row(cpu=None))
    spec = OversellMemory(strategy="usage", quantum="1")
    budget = compute(NODE, Resource.MEMORY, spec, status, add_up_one([pod()], by_uid(status), Resource.MEMORY, "usage"))
    # 64 Gi - 35 % (rounded up) - 2 Gi reserved - 1 Gi
    assert budget.problem is None
    assert budget.result == 64 * GI - -(-64 * GI * 35 // 100) - 3 * GI


@pytest.mark.parametrize("percent", range(101))
def test_percentages_are_exact(percent: int) -> None:
    assert cpu([], report(system=0), reclaim_percent=percent, max_percent=percent) == max(0, percent * 100 - 500)


def test_max_percent_is_a_ceiling() -> None:
    assert cpu([], report(), max_percent=20) == 2_000


def test_down_to_a_quantum() -> None:
    assert cpu([pod()], report(row(cpu=401)), quantum="100m") == 5_000


rows = st.lists(
    st.tuples(st.sampled_from(list(Qos)), st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 4_000)),
    max_size=8,
)


@given(
    rows,
    st.integers(0, 100),
    st.integers(0, 100),
    st.sampled_from(["usage", "request", "maxUsageRequest", "predicted"]),
)
def test_never_negative_never_above_max_percent(
    made: list[tuple[Qos, int, int, int]], reclaim: int, most: int, strategy: str
) -> None:
    pods = [pod(str(i), q, request, be_cpu=0) for i, (q, request, _, _) in enumerate(made)]
    status = report(*(row(str(i), mean, mean + more) for i, (_, _, mean, more) in enumerate(made)))
    assert 0 <= cpu(pods, status, reclaim_percent=reclaim, max_percent=most, strategy=strategy) <= 100 * most


@given(rows, st.data())
def test_more_online_use_or_less_reclaim_never_raises_it(
    made: list[tuple[Qos, int, int, int]], data: st.DataObject
) -> None:
    pods = [pod(str(i), q, request) for i, (q, request, _, _) in enumerate(made)]
    use = [mean for _, _, mean, _ in made]
    more = [mean + data.draw(st.integers(0, 500)) for mean in use]
    reclaim = data.draw(st.integers(0, 100))
    less = data.draw(st.integers(0, reclaim))

    def at(values: list[int], percent: int) -> int:
        return cpu(pods, report(*(row(str(i), v, v) for i, v in enumerate(values))), reclaim_percent=percent)

    assert at(more, reclaim) <= at(use, reclaim)
    assert at(use, less) <= at(use, reclaim)


@given(rows, st.lists(st.integers(0, 9_000), max_size=5))
def test_be_pods_change_nothing(made: list[tuple[Qos, int, int, int]], offline: list[int]) -> None:
    online = [(q, r, m) for q, r, m, _ in made if q is not Qos.BE]
    pods = [pod(str(i), q, r) for i, (q, r, _) in enumerate(online)]
    seen = [row(str(i), m, m) for i, (_, _, m) in enumerate(online)]
    be = [pod(f"be{i}", Qos.BE, 0, be_cpu=100) for i in range(len(offline))]
    be_rows = [row(f"be{i}", used, used) for i, used in enumerate(offline)]
    assert cpu(pods, report(*seen)) == cpu(pods + be, report(*seen, *be_rows))


@given(st.integers(0, 4_000), st.integers(0, 4_000))
def test_splitting_a_pod_in_two_changes_nothing(first: int, second: int) -> None:
    one = cpu([pod("a", cpu=first + second)], report(row("a", first + second, first + second)))
    two = cpu([pod("a", cpu=first), pod("b", cpu=second)], report(row("a", first, first), row("b", second, second)))
    assert one == two


@given(st.permutations(list(range(5))))
def test_order_changes_nothing(order: list[int]) -> None:
    pods = [pod(str(i), cpu=i * 100) for i in range(5)]
    seen = [row(str(i), i * 130, i * 150) for i in range(5)]
    assert cpu(pods, report(*seen)) == cpu([pods[i] for i in order], report(*(seen[i] for i in order)))


def sandboxed(uid: str, *, be_cpu: int = 1000) -> PodFacts:
    """A best-effort pod whose RuntimeClass adds 250m and 120Mi."""
    return msgspec.structs.replace(
        pod(uid, Qos.BE, cpu=250, memory=120 * 2**20, be_cpu=be_cpu), overhead_cpu=250, overhead_memory=120 * 2**20
    )


def test_the_overhead_of_best_effort_pods_is_taken_from_the_budget() -> None:
    pods = [sandboxed(f"be{i}") for i in range(20)]
    assert cpu(pods, report()) == cpu([], report()) - 20 * 250
    memory = compute(NODE, Resource.MEMORY, OversellMemory(), report(), add_up_one(pods, {}, Resource.MEMORY, "usage"))
    assert memory.overhead == 20 * 120 * 2**20
    assert memory.free == memory.capacity - memory.margin - memory.system - memory.overhead


def test_it_counts_whatever_the_pod_uses_so_that_the_number_stays() -> None:
    for used in (0, 100, 900):
        assert cpu([sandboxed("be")], report(row("be", cpu=used))) == cpu([sandboxed("be")], report())


@pytest.mark.parametrize(("used", "counts"), [(0, 250), (100, 250), (250, 250), (900, 900)])
def test_a_pod_that_asked_for_no_be_cpu_counts_with_its_use_or_its_overhead_whichever_is_more(
    used: int, counts: int
) -> None:
    unrequested = sandboxed("be", be_cpu=0)
    assert cpu([unrequested], report(row("be", cpu=used))) == cpu([], report()) - counts
