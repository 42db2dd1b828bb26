"""Stacks as py-spy writes them, counted by stage."""

from __future__ import annotations

import pytest

from tests.bench.profile import REST, shares

STAGES = {"a/loop.py:step": "the loop", "b.py:evaluate": "deciding", "w.py:_decode": "decoding"}
LOOP = "thread (7): MainThread;run (a/loop.py:11);step (a/loop.py:12)"


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], {}),
        ([f"{LOOP} 3", f"{LOOP};evaluate (b.py:1);compute (b.py:9) 1"], {"the loop": 0.75, "deciding": 0.25}),
        (["thread (8): watch-nodes;lines (w.py:1);_decode (w.py:5) 2"], {"decoding": 1.0}),
        (["thread (9): http;serve (s.py:1) 4"], {REST: 1.0}),
    ],
)
def test_each_sample_counts_for_the_innermost_stage(lines: list[str], wanted: dict[str, float]) -> None:
    assert shares(lines, STAGES) == wanted
