"""Quantities: the grammar of apimachinery, exactly."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.model.quantity import MAX, human_bytes, human_millicores, millicores, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1),
        (3, 3),
        ("100m", 1),
        ("1500m", 2),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("129e6", 129_000_000),
        ("129E6", 129_000_000),
        ("1e-3", 1),
        ("128974848", 128_974_848),
        ("129M", 129_000_000),
        ("123Mi", 123 * 2**20),
        (".5Ki", 512),
        ("5.", 5),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("+7", 7),
        ("-1500m", -1),
        ("999999999999999999999", MAX),
    ],
)
def test_reads_every_form(text: str | int, expected: int) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1 Gi", "Gi", "1KiB", "0x10", "1e", "--1", "1,5", "nan", "inf", "1" * 65, "\uff11", "1\n"]
)
def test_refuses_what_is_no_quantity_and_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        parse(text)


@pytest.mark.parametrize(("text", "expected"), [("0.57", 570), ("0.0001", 1), ("2", 2000), ("100m", 100), ("1u", 1)])
def test_millicores_round_up(text: str, expected: int) -> None:
    assert millicores(text) == expected


def test_rounds_down_where_that_is_against_the_offline_side() -> None:
    assert millicores("0.0019", round_up=False) == 1


@given(st.integers(0, 2**50), st.sampled_from(["Ki", "Mi", "k", "M", "m", ""]))
def test_integers_survive(number: int, suffix: str) -> None:
    factor = {"Ki": 2**10, "Mi": 2**20, "k": 10**3, "M": 10**6, "": 1}.get(suffix)
    expected = min(MAX, number * factor) if factor else -(-number // 1000)
    assert parse(f"{number}{suffix}") == expected


@given(st.text(max_size=80))
def test_never_anything_but_an_integer_or_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse(text), int)


def test_for_people() -> None:
    assert human_millicores(3200) == "3,200m"
    assert human_bytes(3 * 2**29) == "1.5Gi"
    assert human_bytes(100) == "100"
