"""The histogram's claims: never below the truth, at most a bucket above it, forgets by halves, stays small."""

import tracemalloc

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from colocation.model.report import MAX_PODS, PodUsage
from colocation.predict.histogram import CPU, MEMORY, Histogram, Scale, StoredHistogram
from colocation.predict.peak import Histories

HOUR = 3600.0
scales = st.sampled_from([CPU, MEMORY])
cpu_values = st.integers(0, CPU.most)
samples = st.lists(st.tuples(st.floats(0, 40 * HOUR), st.integers(0, 64_000)), min_size=1, max_size=60)


def fed(rows: list[tuple[float, int]], scale: Scale = CPU) -> Histogram:
    made = Histogram(scale)
    for at, value in rows:
        made.add(at, value, 60.0)
    return made


def test_an_empty_one_knows_nothing() -> None:
    assert Histogram(CPU).percentile(95) is None


@pytest.mark.parametrize(("value", "end"), [(0, 10), (9, 10), (10, 21), (20, 21), (-5, 10)])
def test_small_values_are_told_as_the_end_of_their_bucket(value: int, end: int) -> None:
    assert fed([(0.0, value)]).percentile(95) == end


@given(scales, st.integers(0, 2**41))
@example(CPU, 1_024_000)
@example(MEMORY, 2**41)
def test_an_end_is_never_below_the_value_and_at_most_one_bucket_above(scale: Scale, value: int) -> None:
    value = min(value, scale.most)
    end = scale.end(scale.bucket(value))
    assert value <= end <= value * 1.05 + 1.05 * scale.first + 1


@given(samples)
def test_percentiles_rise(rows: list[tuple[float, int]]) -> None:
    made = fed(rows)
    found = [made.percentile(percent) or 0 for percent in (0, 1, 25, 50, 75, 90, 95, 98, 99, 100)]
    assert found == sorted(found)
    assert found[-1] == CPU.end(CPU.bucket(max(value for _, value in rows)))


@given(st.lists(st.integers(0, 64_000), min_size=1, max_size=200), st.sampled_from([5, 50, 90, 95, 98, 99]))
def test_without_age_it_is_the_nearest_rank(values: list[int], percent: int) -> None:
    true = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    found = fed([(0.0, value) for value in values]).percentile(percent)
    near = {
        CPU.end(CPU.bucket(true)),
        CPU.end(CPU.bucket(sorted(values)[min(len(values), -(-len(values) * percent // 100)) - 1])),
    }
    assert found in near


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(rows: list[tuple[float, int]], draw) -> None:
    mixed = list(rows)
    draw.shuffle(mixed)
    one, other = fed(rows).keep(41 * HOUR), fed(mixed).keep(41 * HOUR)
    assert one.scale == pytest.approx(other.scale, rel=1e-9)
    pairs = zip(one.parts[1::2], other.parts[1::2], strict=True)
    assert all(abs(a - b) <= 1 for a, b in pairs)


def test_a_sample_weighs_half_after_a_half_life() -> None:
    rows = [(0.0, 1000)] * 19 + [(12 * HOUR, 100)] * 10
    assert fed(rows).percentile(51) < 150, "9.5 of 19.5"  # type: ignore[operator]
    assert fed(rows).percentile(52) > 1000  # type: ignore[operator]
    assert fed([(0.0, 1000)] * 100 + [(120 * HOUR, 100)] * 10).percentile(98) < 150  # type: ignore[operator]


@pytest.mark.parametrize("years", [1, 10, 1000])
def test_it_runs_for_years_without_an_overflow(years: int) -> None:
    made = fed([(0.0, 1000)])
    for year in range(1, years + 1):
        made.add(year * 365 * 24 * HOUR, 100)
    assert made.percentile(100) == CPU.end(CPU.bucket(100)), "what weighs nothing is let go"
    made.add(0.0, 50_000)  # a clock that jumps back: no harm
    assert made.percentile(95) == CPU.end(CPU.bucket(100))


@given(samples, st.floats(0, 100 * HOUR))
def test_what_is_kept_comes_back(rows: list[tuple[float, int]], later: float) -> None:
    made, now = fed(rows), 40 * HOUR
    kept = msgspec.json.decode(msgspec.json.encode(made.keep(now)), type=StoredHistogram)
    back = Histogram.restore(CPU, kept, later)
    assert back.seconds == made.seconds
    for percent in (50, 90, 95, 98):
        # One 65535th of the heaviest bucket may be lost in each: that moves a percentile by less than 0.4 points.
        assert made.percentile(percent - 0.4) <= back.percentile(percent) <= made.percentile(percent + 0.4)  # type: ignore[operator]
    made.add(now, 64_000)
    back.add(later, 64_000)
    assert (made.percentile(100), back.seconds) == (back.percentile(100), made.seconds)


@pytest.mark.parametrize(
    "kept",
    [
        StoredHistogram(1.0, b"x", 0.0),
        StoredHistogram(1.0, b"xx" * 177, 0.0),
        StoredHistogram(-1.0, b"xx", 0.0),
        StoredHistogram(float("nan"), b"xx", 0.0),
        StoredHistogram(float("inf"), b"xx", 0.0),
        StoredHistogram(1.0, b"xx", -1.0),
        StoredHistogram(1.0, b"xx", float("nan")),
    ],
)
def test_garbage_is_refused(kept: StoredHistogram) -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.restore(CPU, kept, 0.0)


@given(scales, st.lists(st.integers(0, 2**62), max_size=300))
def test_size_is_bounded(scale: Scale, values: list[int]) -> None:
    assert len(fed([(0.0, value) for value in values], scale)) <= scale.buckets <= 240


def test_500_pods_fit_into_6_mb() -> None:
    """As much as can be: each pod has hit the highest bucket of both, so that every bucket is there."""
    uids = [f"{i:08}-aaaa-bbbb-cccc-0123456789ab" for i in range(MAX_PODS)]
    tracemalloc.start()
    histories = Histories()
    for at, cpu, memory in ((60.0, CPU.most, MEMORY.most), (120.0, 100, 2**30)):
        histories.learn(at, [PodUsage(uid=uid, cpu=cpu, memory=1, memory_peak=memory) for uid in uids], uids)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(histories.pods) == MAX_PODS
    assert held <= 3 * 2**20
    assert len(msgspec.json.encode(histories.keep(120.0))) <= 2**20
