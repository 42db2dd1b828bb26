"""The short form of `make fuzz`: the same targets, the same bytes each time, in seconds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target, edited

FOUND = [
    # What a fuzzer once found: (target, input).
    ("cgroup_files", b"9" * 5000),
    ("cgroup_files", b"0-99999999999"),
    ("cgroup_files", b"some avg10=nan avg60=0.00"),
    ("cgroup_files", b"max " + b"9" * 5000),
    ("spec", b'{"\x8c":1}'),
    ("spec", b"[" * 100_000),
    ("checkpoint", b"[" * 100_000),
    ("journal", b"[" * 100_000),
    ("journal", b'{"boot":"b","group":7,"kind":"tasks","old":"x","path":"a\\u0000b","uid":"x"}'),
    ("trace", b"x" * 5000),
    ("policy", b'{"metadata":{"name":"p"},"spec":{"oversell":{"cpu":{"quantum":"' + b"9" * 70 + b'"}}}}'),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


def spliced(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with a piece of it replaced by any bytes."""

    def cut(at: int, length: int, piece: bytes) -> bytes:
        return seed[:at] + piece + seed[at + length :]

    return st.builds(cut, st.integers(0, len(seed)), st.integers(0, 8), st.binary(max_size=12))


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    raw = st.one_of(st.binary(max_size=200), *(spliced(seed) for seed in target.seeds))
    return st.one_of(raw.map(lambda data: b"\0" + data), st.binary(max_size=40)) if target.is_json else raw


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_makes_a_parser_fail_or_lets_through_what_is_out_of_bounds(name: str) -> None:
    target = TARGETS[name]
    assert [seed for seed in target.seeds if not target.run(seed)] == []

    @settings(max_examples=200, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs(target))
    def run(data: bytes) -> None:
        target.feed(data)

    run()


def test_edits_reach_into_a_document() -> None:
    assert edited(b'{"a": {"b": [1]}}', b"") == b'{"a": {"b": [1]}}'
    assert edited(b'{"a": {"b": [1]}}', b"\x02\x03") == b'{"a": {"b": [-1]}}'
    assert edited(b'{"a": {"b": [1]}}', b"\x01\x60") == b'{"a": {}}'
