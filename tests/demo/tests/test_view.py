"""The demo's figures: quantiles, integrals and what a row shows."""

from collections import Counter

from tests.demo import latency, view


def test_quantiles_of_buckets() -> None:
    result = latency.read(['{"at": 1, "rate": 5, "buckets": {"-94": 99, "-47": 1}}', '{"at": 2, "buck', "noise"])
    ((at, buckets),) = result
    assert at == 1
    assert round(latency.quantile(buckets, 0.5) or 0) == 10
    assert round(latency.quantile(buckets, 1.0) or 0) == 101
    assert latency.quantile(Counter(), 0.5) is None


def made(at: float, online: int, be: int) -> view.Sample:
    return view.Sample("n1", at, 2000, online, 500, be, gate_open=True, be_pods=1, reason="cpu: 500m of 2,000m left")


def test_cpu_seconds_are_integrated() -> None:
    phase = view.Phase("x")
    view.integrate(phase, [made(0, 1000, 0)], [made(10, 3000, 1000)])
    assert (phase.online_seconds, phase.be_seconds) == (20, 5)


def test_a_row_from_an_explanation() -> None:
    result = {
        "node": "n1", "reason": "r", "bePods": 2, "beCpuUsed": 30, "gate": {"open": False},
        "cpu": {"onNode": None, "terms": [{"name": "capacity", "value": 2000}, {"name": "online", "value": -300}]},
    }  # fmt: skip
    shown = view.sample(result, 1.0)
    assert (shown.capacity, shown.online, shown.published, shown.gate_open) == (2000, 300, None, False)
    assert "closed" in view.table([shown], {}, 120)


def test_a_withdrawn_node_has_no_numbers_and_says_why() -> None:
    shown = view.sample(
        {
            "node": "n1",
            "reason": "withdrawn: silent",
            "bePods": 0,
            "beCpuUsed": None,
            "gate": {"open": False},
            "cpu": None,
        },
        1.0,
    )
    assert "withdrawn: silent" in view.table([shown], {}, 120)
