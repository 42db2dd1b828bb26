"""Which pods are observed, for how long, and what is told of it."""

import pytest

from colocation.model.report import MAX_PODS, PodUsage, Prediction
from colocation.predict.peak import Checkpoint, Histories, with_margin

MI = 2**20


def row(uid: str = "a", cpu: int | None = 100, memory: int | None = 100 * MI, peak: int | None = None) -> PodUsage:
    return PodUsage(uid=uid, cpu=cpu, cpu_peak=9 * (cpu or 0), memory=memory, memory_peak=peak or memory)


def taught(minutes: int = 3, *rows: PodUsage, histories: Histories | None = None, start: int = 0) -> Histories:
    made = histories or Histories()
    given = rows or (row(),)
    for at in range(start, start + 60 * (minutes + 1)):
        if made.due(float(at)):
            made.learn(float(at), given, [one.uid for one in given])
    return made


@pytest.mark.parametrize(("amount", "with_it"), [(0, 0), (1, 2), (100, 110), (101, 112)])
def test_the_margin_is_rounded_against_the_offline_side(amount: int, with_it: int) -> None:
    assert with_margin(amount) == with_it


def test_cpu_is_the_minutes_mean_and_memory_its_peak() -> None:
    found = taught(3, row(cpu=100, memory=100 * MI, peak=200 * MI)).pods["a"].prediction
    assert found is not None
    assert 110 <= found.cpu <= 1.1 * 116
    assert 220 * MI <= found.memory <= 1.1 * 212 * MI
    assert found.observed_seconds == 180


def test_a_prediction_stands_in_the_place_of_the_peaks() -> None:
    result = taught().with_prediction(row())
    assert (result.cpu, result.cpu_peak, result.memory_peak) == (100, None, None)
    assert isinstance(result.predicted, Prediction)
    assert Histories().with_prediction(row()) == row(), "none yet: the peaks are told"


@pytest.mark.parametrize("blind", [row(cpu=None), PodUsage(uid="a", cpu=1)])
def test_a_metric_that_is_missing_is_no_zero_and_gives_no_prediction(blind: PodUsage) -> None:
    assert taught(3, blind).with_prediction(blind) == blind


def test_a_minute_that_was_not_measured_does_not_count_as_watched() -> None:
    made = taught(3)
    taught(3, row(cpu=None), histories=made, start=240)
    assert made.pods["a"].prediction is not None
    assert made.pods["a"].prediction.observed_seconds == 180


def test_a_pod_that_is_gone_is_forgotten_but_not_at_once() -> None:
    made = taught(3)
    taught(5, row("b"), histories=made, start=240)
    assert set(made.pods) == {"a", "b"}
    taught(8, row("b"), histories=made, start=600)
    assert set(made.pods) == {"b"}


def test_present_but_not_measured_is_not_gone() -> None:
    made = taught(3)
    for minute in range(4, 40):
        made.learn(60.0 * minute, [], ["a"])
    assert set(made.pods) == {"a"}


def test_at_most_500_and_finished_pods_are_dropped_first() -> None:
    many = [row(f"{i}") for i in range(MAX_PODS)]
    made = taught(1, *many)
    made.learn(180.0, [*many[1:], row("new")], [one.uid for one in [*many[1:], row("new")]])
    assert len(made.pods) == MAX_PODS
    assert "0" not in made.pods
    made.learn(240.0, [*many, row("more")], [one.uid for one in many])
    assert "more" not in made.pods


def test_a_restart_goes_on() -> None:
    before = taught(90)
    after = Histories()
    after.restore(before.keep(5460.0), now=7.0, away=120.0)
    assert after.pods["a"].prediction == before.pods["a"].prediction
    taught(1, histories=after, start=10)
    assert after.pods["a"].prediction is not None
    assert after.pods["a"].prediction.observed_seconds == 5460


def test_a_checkpoint_of_another_version_is_refused_whole() -> None:
    made = taught()
    with pytest.raises(ValueError, match="version"):
        made.restore(Checkpoint(2, ()), 0.0, 0.0)
    assert set(made.pods) == {"a"}
