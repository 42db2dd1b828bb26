"""An agent that reports and does not follow its spec is told: its watch may hang while its patches work."""

from __future__ import annotations

import pytest

from colocation.budget import Suspicion

from .bench import Bench


def suspicions(bench: Bench) -> dict[Suspicion, str]:
    return dict(bench.loop.state.nodes["n"].report.suspicions)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.sync()
    made.policy()
    made.node()
    return made


def report(bench: Bench, *, generation: int, observed: int | None, after: float = 0.0) -> dict[Suspicion, str]:
    bench.now += after
    bench.report(generation=generation, observed=observed)
    return {kind: words for kind, words in suspicions(bench).items() if kind is Suspicion.BEHIND}


def test_an_agent_that_follows_is_not_behind(bench: Bench) -> None:
    for generation in range(1, 6):
        assert not report(bench, generation=generation, observed=generation, after=100)


def test_an_agent_that_has_had_a_minute_is_behind_and_one_that_catches_up_is_not(bench: Bench) -> None:
    assert not report(bench, generation=1, observed=1)
    assert not report(bench, generation=2, observed=1, after=30)
    assert not report(bench, generation=2, observed=1, after=59)
    behind = report(bench, generation=2, observed=1, after=2)
    assert behind == {
        Suspicion.BEHIND: "its agent follows generation 1 of its spec, and not 2, which it could have for 61 s"
    }
    assert not report(bench, generation=2, observed=2, after=1)


def test_a_spec_that_changes_all_the_time_hides_no_agent_that_follows_none_of_it(bench: Bench) -> None:
    report(bench, generation=1, observed=1)
    found = [report(bench, generation=generation, observed=1, after=10) for generation in range(2, 10)]
    assert [bool(one) for one in found] == [False] * 6 + [True] * 2


def test_an_agent_that_always_follows_a_little_later_is_not_behind(bench: Bench) -> None:
    for generation in range(2, 30):
        assert not report(bench, generation=generation, observed=generation - 1, after=20)


def test_an_older_agent_that_does_not_say_what_it_follows_is_not_called_behind(bench: Bench) -> None:
    for _ in range(5):
        assert not report(bench, generation=9, observed=None, after=100)


def test_an_agent_that_has_never_heard_of_its_spec_is_behind(bench: Bench) -> None:
    assert not report(bench, generation=1, observed=0)
    assert report(bench, generation=1, observed=0, after=61)


def test_it_has_a_series_and_a_word_in_the_explanation(bench: Bench) -> None:
    for _ in range(3):
        report(bench, generation=2, observed=1, after=60)
    bench.step()
    text = [sample for family in bench.loop._metrics._nodes.collect() for sample in family.samples]
    assert [s.value for s in text if s.labels.get("suspicion") == "Behind"] == [1]
