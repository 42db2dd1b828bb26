"""What `make audit` makes of pip-audit's answers: silence is never called clean."""

from __future__ import annotations

import json

import pytest

from tools.audit import CLEAN, NOT_AUDITED, VULNERABLE, verdict

FINE = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("rows", "code", "given"),
    [
        ([FINE], CLEAN, "nothing known against a 1"),
        ([FINE, BAD], VULNERABLE, "b 2: PYSEC-1; b 2: PYSEC-2"),
        ([SKIPPED, BAD], VULNERABLE, "b 2: PYSEC-1; b 2: PYSEC-2"),
        ([FINE, SKIPPED], NOT_AUDITED, "did not answer for c"),
        ([], NOT_AUDITED, "did not answer for anything"),
    ],
)
def test_an_answer_is_weighed_whole(rows: list[object], code: int, given: str) -> None:
    assert verdict(json.dumps({"dependencies": rows}), "") == (code, given)


def test_no_answer_is_no_clean_bill() -> None:
    assert verdict("", "Traceback\nConnectionError: no route") == (NOT_AUDITED, "ConnectionError: no route")
