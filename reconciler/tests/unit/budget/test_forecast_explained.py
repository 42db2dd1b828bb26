"""The forecast of all learnt pods together, as the explanation tells it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import Candidate, ReportView, Selection, Windows, add_up, evaluate, explain, strategies
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.phrase import phrase
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import Forecasts, NodeColocationStatus, PodUsage, Prediction, ResourceForecast, Usage

GI = 2**30
NODE = NodeFacts("n", "N", "1", {names.NODE_LABEL: "true"}, 10_000, 10_000, 16 * GI, 16 * GI)
CPU = ResourceForecast(3_200, 3_900, 4_600, 7_100, 10_000, 4_200)
LEARNT = 10**6


def online(strategy: str, forecasts: Forecasts | None, parts: tuple[int, ...] = (4_600,)) -> tuple[int, str]:
    """What the online term of cpu takes, and its words; ``parts``: the rows' own predictions."""
    oversell = Oversell(
        cpu=OversellCpu(strategy=strategy),  # type: ignore[arg-type]
        memory=OversellMemory(strategy="usage"),
    )
    selection = Selection(Candidate("default", 1, PolicySpec(oversell=oversell)), (), phrase("onlyPolicy"))
    uids = [f"p{number}" for number in range(len(parts))]
    pods = [PodFacts(uid, uid, f"d/{uid}", "n", Qos.LS, running=True, cpu=9_000, memory=GI) for uid in uids]
    rows = [
        PodUsage(uid=uid, cpu=0, memory=GI, predicted=Prediction(part, GI, LEARNT))
        for uid, part in zip(uids, parts, strict=True)
    ]
    status = NodeColocationStatus(
        observed_at="t", system=Usage(cpu=100, memory=GI), pods=tuple(rows), forecasts=forecasts
    )
    view = ReportView(status=status, arrived=0, since_start=True)
    sums, windows = add_up(pods, status, strategies(selection, status)), Windows()
    result = explain(NODE, selection, view, pods, evaluate(NODE, selection, view, sums, windows, 1), windows, 1)
    assert result.cpu is not None
    (term,) = (term for term in result.cpu.terms if term.name == "online")
    return -term.value, term.source


def test_it_tells_how_the_common_peak_comes_about() -> None:
    value, words = online("predicted", Forecasts(cpu=CPU))
    assert value == 4_600, "the parts in the rows are the forecast"
    assert words.endswith(
        "; learnt pods together: now 3,200m, peak within an hour 3,900m + margin 700m = 4,600m "
        "(violations allowed 1 %, seen 0.42 %; peaks one by one: 7,100m)"
    )


@pytest.mark.parametrize(
    ("strategy", "forecasts"),
    [
        ("usage", Forecasts(cpu=CPU)),
        ("request", Forecasts(cpu=CPU)),
        ("maxUsageRequest", Forecasts(cpu=CPU)),
        ("predicted", None),
        ("predicted", Forecasts(memory=CPU)),
    ],
)
def test_a_forecast_that_does_not_count_is_not_told(strategy: str, forecasts: Forecasts | None) -> None:
    assert "learnt pods together" not in online(strategy, forecasts)[1]


def test_a_margin_that_is_used_up_is_none_and_not_less() -> None:
    """Use that is already above what was expected is what is forecast."""
    low = msgspec.structs.replace(CPU, peak=3_500)
    assert "3,900m + margin 0m = 3,500m" in online("predicted", Forecasts(cpu=low), (3_500,))[1]


@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=5))
def test_the_term_is_the_sum_of_the_parts_whatever_they_are(parts: list[int]) -> None:
    result = msgspec.structs.replace(CPU, peak=sum(parts))
    assert online("predicted", Forecasts(cpu=result), tuple(parts))[0] == sum(parts)
