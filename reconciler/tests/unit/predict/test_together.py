"""The node's pods forecast together: claims about the forecast, the margin's account, and who takes part."""

import math
import random
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colocation.model.policy import PolicySpec, part
from colocation.model.report import MAX_PODS, PodUsage
from colocation.predict.forecast import Forecast, KeptForecast
from colocation.predict.margin import BUDGETS, KeptMargin, Margin
from colocation.predict.peak import Checkpoint, Histories
from colocation.predict.scores import Scores
from colocation.predict.together import Wanted

MI = 2**20
CPU, MEMORY = Wanted(64_000, 0.01), Wanted(256 * 2**30, 0.01)
uses = st.lists(st.floats(0, 64_000), min_size=1, max_size=60)


def noisy(seed: int, steps: int, wave: float = 200.0) -> list[float]:
    """A daily wave with noise and now and then a burst; five minutes a step."""
    dice = random.Random(seed)
    return [
        1000 + wave * math.sin(step / 288 * math.tau) + dice.gauss(0, 60) + (600 if dice.random() < 0.003 else 0)
        for step in range(steps)
    ]


def taught(
    minutes: int, pods: int = 3, histories: Histories | None = None, start: int = 0, **wanted: Wanted
) -> Histories:
    made, dice = histories or Histories(), random.Random(start)
    given = {"cpu": CPU, "memory": MEMORY} | wanted
    for minute in range(start, start + minutes):
        rows = [
            PodUsage(uid=f"p{i}", cpu=500 + dice.randrange(400), cpu_peak=1, memory=1, memory_peak=(200 + i) * MI)
            for i in range(pods)
        ]
        made.learn(60.0 * minute, rows, [row.uid for row in rows], **given)  # type: ignore[arg-type]
    return made


@given(uses, st.sampled_from(BUDGETS), st.integers(1, 12))
def test_what_is_told_is_never_below_what_is_used(values: list[float], budget: float, horizon: int) -> None:
    forecast, margin = Forecast(horizon), Margin(horizon)
    for use in values:
        forecast.step(use, 64_000)
        result = margin.step(use, forecast.centre, forecast.spread, budget)
        assert math.isfinite(result)
        assert result >= use
        assert forecast.spread >= 0


@given(uses, st.floats(0, 1e6))
def test_pods_that_come_shift_the_forecast_by_what_they_use(values: list[float], by: float) -> None:
    """Told from the beginning or shifted later: the same, for errors do not depend on the level."""
    whole, shifted = Forecast(4), Forecast(4)
    for use in values:
        whole.step(use + by, 64_000)
        shifted.step(use, 64_000)
    shifted.shift(by)
    whole.step(values[-1] + by, 64_000)
    shifted.step(values[-1] + by, 64_000)
    assert shifted.centre == pytest.approx(whole.centre, rel=1e-6, abs=1.0)
    assert shifted.spread == pytest.approx(whole.spread, rel=1e-3, abs=1.0)


def forecasts(values: list[float], size: float, budget: float) -> list[float]:
    """One node by itself, five minutes a step."""
    forecast, scores, margin = Forecast(12, 300.0), Scores(300.0), Margin(12, 300.0)
    result = []
    for use in values:
        forecast.step(use, size)
        if forecast.score is not None:
            scores.add(forecast.score)
        result.append(margin.step(use, forecast.centre, scores.multiple(budget) * forecast.spread, budget))
    return result


def test_a_burst_barely_widens_the_margin_and_peace_narrows_it_slowly() -> None:
    """A burst breaks an hour of forecasts, and is over when that is known."""
    margin = Margin()
    for _ in range(60):
        margin.step(100.0, 100.0, 10.0, 0.01)
    rested = margin.width
    assert math.exp(-0.0021) <= rested < 1, "an hour of peace: at most 0.2 times the budget"
    margin.step(1000.0, 100.0, 10.0, 0.01)
    assert 1.05 < margin.width < 1.15, "a whole hour of forecasts was too small"
    assert margin.violations > 0.5
    for _ in range(30 * 60):
        margin.step(2000.0, 100.0, 10.0, 0.01)
    assert margin.width < 1.36


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("budget", [0.01, 0.02, 0.05])
def test_ten_days_spend_the_budget(seed: int, budget: float) -> None:
    """Several made nodes together, for one of them has few violations."""
    broken = steps = 0
    for node in range(4):
        values = noisy(100 * seed + node, 2880)
        result = forecasts(values, 4000, budget)
        judged = range(24, len(values) - 12)
        broken += sum(result[at] < max(values[at + 1 : at + 13]) for at in judged)
        steps += len(judged)
    assert 0.5 * budget <= broken / steps <= 1.5 * budget


def test_what_happens_each_day_at_the_same_hour_is_expected_from_the_second_day_on() -> None:
    values = [1000.0 + (3000.0 if step % 288 in range(100, 106) else 0.0) for step in range(4 * 288)]
    forecast, errors = Forecast(12, 300.0), []
    for step, use in enumerate(values):
        forecast.step(use, 8000)
        if step >= 3 * 288 and step % 288 in range(92, 99):
            errors.append(abs(forecast.centre - 4000))
    assert max(errors) < 200


def test_a_file_without_yesterday_is_taken_up_and_one_with_it_goes_on() -> None:
    made = Forecast(12, 300.0)
    for use in noisy(3, 400):
        made.step(use, 4000)
    kept = made.keep()
    old = KeptForecast(kept.means, kept.errors, kept.squares, kept.weight, kept.missed, kept.judged)
    for written, near in ((kept, 1.0), (old, 100.0)):
        again = Forecast(12, 300.0)
        again.restore(msgspec.json.decode(msgspec.json.encode(written), type=KeptForecast))
        again.step(1000.0, 4000)
        same = Forecast(12, 300.0)
        same.restore(kept)
        same.step(1000.0, 4000)
        assert again.centre == pytest.approx(same.centre, abs=near)
    assert len(kept.errors) == 5, "an older version reads this file too"


def test_an_abrupt_rise_is_followed_at_once() -> None:
    forecast, margin = Forecast(12, 300.0), Margin(12, 300.0)
    for use in [*noisy(5, 400, wave=0.0), 4000.0]:
        forecast.step(use, 8000)
        result = margin.step(use, forecast.centre, 2 * forecast.spread, 0.05)
    assert result >= 4000
    for _ in range(13):
        forecast.step(4000.0, 8000)
        result = margin.step(4000.0, forecast.centre, 2 * forecast.spread, 0.05)
    assert result > 4000 * 1.01, "the hour has judged what was forecast before it"


def test_together_they_need_less_than_one_by_one_and_their_parts_add_up() -> None:
    made = taught(600, pods=20)
    found = made.cpu.current
    assert found is not None
    assert found.usage <= found.peak < found.pod_peaks
    parts = sum(pod.prediction.cpu for pod in made.pods.values() if pod.prediction)
    assert found.peak <= parts <= found.peak + 20, "each rounded up"


@pytest.mark.parametrize("off", [{"cpu": Wanted(64_000, 0.0)}, {"cpu": Wanted(0, 0.01)}])
def test_without_a_budget_or_a_size_each_pods_own_peak_counts(off: dict[str, Wanted]) -> None:
    made, plain = taught(200, **off), taught(200, cpu=Wanted(), memory=Wanted())
    assert made.cpu.current is None
    assert made.memory.current is not None
    assert [p.prediction.cpu for p in made.pods.values()] == [p.prediction.cpu for p in plain.pods.values()]  # type: ignore[union-attr]


def test_until_two_hours_were_seen_each_pods_own_peak_counts() -> None:
    assert taught(118).cpu.current is None, "an hour until the pods take part, and one to judge by"
    assert taught(200).cpu.current is not None


def test_a_best_effort_pod_takes_no_part() -> None:
    made = Histories()
    for minute in range(200):
        rows = [PodUsage(uid=uid, cpu=1000, memory=1, memory_peak=100 * MI) for uid in ("online", "be")]
        made.learn(60.0 * minute, rows, ["online", "be"], offline={"be"}, cpu=CPU, memory=MEMORY)
    assert made.cpu.members == {"online"}
    assert made.cpu.current is not None
    assert made.cpu.current.usage == 1000


def test_pods_that_leave_take_their_part_with_them() -> None:
    made = taught(400, pods=20)
    before = made.cpu.current
    taught(1, pods=10, histories=made, start=400)
    after = made.cpu.current
    assert before is not None
    assert after is not None
    assert after.expected == pytest.approx(before.expected / 2, rel=0.15)


def test_a_restart_goes_on_with_what_was_learnt() -> None:
    before, after = taught(600), Histories()
    kept = msgspec.json.decode(msgspec.json.encode(before.keep(36_000.0)), type=Checkpoint)
    after.restore(kept, 7.0, 60.0)
    assert after.cpu.members == before.cpu.members == {"p0", "p1", "p2"}
    for histories in (before, after):
        taught(1, histories=histories, start=600)
    assert before.cpu.current is not None
    assert after.cpu.current is not None
    assert after.cpu.current.peak == pytest.approx(before.cpu.current.peak, rel=0.02)
    assert after.cpu.current.violations == before.cpu.current.violations


def test_a_checkpoint_of_before_is_taken_up() -> None:
    """Written by a version that forecast each pod alone."""
    text = msgspec.json.encode(taught(90).keep(5400.0))
    plain = msgspec.json.decode(text)
    old = {"version": 1, "pods": [pod[:3] for pod in plain["pods"]]}
    made = Histories()
    made.restore(msgspec.json.decode(msgspec.json.encode(old), type=Checkpoint), 0.0, 10.0)
    assert set(made.pods) == {"p0", "p1", "p2"}
    assert made.cpu.members == set()


_BAD = [math.nan, math.inf, -1.0, 1e300]


@pytest.mark.parametrize("bad", _BAD)
@pytest.mark.parametrize("field", ["weight", "missed"])
def test_garbage_in_a_forecast_is_refused_and_nothing_is_taken(bad: float, field: str) -> None:
    made = Forecast()
    kept = msgspec.structs.replace(made.keep(), **{field: bad})
    with pytest.raises(ValueError, match="not a forecast"):
        made.restore(kept)
    with pytest.raises(ValueError, match="not a forecast"):
        made.restore(KeptForecast((), (), (), 0.0, 0.0, 0))


@pytest.mark.parametrize("kept", [KeptMargin(math.nan, 0, 0), KeptMargin(0, -1, 0), KeptMargin(0, 0, math.inf)])
def test_garbage_in_a_margin_is_refused(kept: KeptMargin) -> None:
    with pytest.raises(ValueError, match="not a margin"):
        Margin().restore(kept)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2**31)), max_size=80))
def test_whoever_comes_and_goes_predictions_are_sane(moves: list[tuple[int, int]]) -> None:
    made = taught(130)
    for minute, (pods, cpu) in enumerate(moves, 130):
        rows = [PodUsage(uid=f"p{i}", cpu=cpu // (i + 1), memory=1, memory_peak=cpu) for i in range(pods)]
        made.learn(60.0 * minute, rows, [row.uid for row in rows], cpu=CPU, memory=MEMORY)
        for row in rows:
            result = made.with_prediction(row).predicted
            assert result is not None
            if row.uid in made.cpu.members and made.cpu.current:
                assert result.cpu >= (row.cpu or 0)


def test_what_is_kept_is_bounded() -> None:
    tracemalloc.start()
    forecast, margin = Forecast(), Margin()
    for step in range(3000):
        forecast.step(float(step % 97), 1000)
        margin.step(float(step % 97), forecast.centre, forecast.spread, 0.01)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held <= 80 * 1024
    assert len(msgspec.json.encode((forecast.keep(), margin.keep()))) <= 4096, "a day of peaks, mostly"


def test_500_pods_take_milliseconds_a_minute() -> None:
    made = taught(65, pods=2)
    rows = [PodUsage(uid=f"q{i}", cpu=i, memory=1, memory_peak=i * MI) for i in range(MAX_PODS - 2)]
    for minute in range(65, 70):
        made.learn(60.0 * minute, rows, [row.uid for row in rows], cpu=CPU, memory=MEMORY)
    assert len(made.pods) <= MAX_PODS


@pytest.mark.parametrize("text", ["0%", "0.1%", "0.5%", "1%", "2.25%", "19.99%", "20%"])
def test_budgets_that_a_policy_can_have(text: str) -> None:
    spec = msgspec.convert({"oversell": {"cpu": {"violationBudget": text}}}, PolicySpec)
    assert 0 <= part(spec.oversell.cpu.violation_budget) <= 0.2


@pytest.mark.parametrize("text", ["", "1", "0.05%", "21%", "100%", "-1%", "1 %", "20.5%", "%"])
def test_budgets_that_a_policy_cannot_have(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"oversell": {"cpu": {"violationBudget": text}}}, PolicySpec)
