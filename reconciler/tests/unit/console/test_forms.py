"""A policy as a form: what is shown is what counts, and what comes back unchanged changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.console import forms
from colocation.console.schema import schema

FIELDS = {field.path: field for field in schema().fields}
NAMES = st.text("abcdefghij-", min_size=1, max_size=8)
LABELS = st.dictionaries(NAMES, st.text("abc012-", max_size=6), max_size=3)
EXPRESSIONS = st.lists(
    st.one_of(
        st.builds(lambda key: {"key": key, "operator": "Exists"}, NAMES),
        st.builds(lambda key: {"key": key, "operator": "DoesNotExist"}, NAMES),
        st.builds(
            lambda key, operator, values: {"key": key, "operator": operator, "values": values},
            NAMES,
            st.sampled_from(["In", "NotIn"]),
            st.lists(st.text("abc012", min_size=1, max_size=4), min_size=1, max_size=3),
        ),
    ),
    max_size=3,
)


def sent(spec: dict[str, Any]) -> dict[str, list[str]]:
    """What a browser sends when nothing was touched."""
    return {path: [forms.text_of(forms.shown_value(spec, field), field.type)] for path, field in FIELDS.items()}


@given(LABELS, EXPRESSIONS, st.integers(0, 100), st.booleans())
def test_an_untouched_form_changes_nothing(labels: Any, expressions: Any, percent: int, enabled: bool) -> None:
    spec: dict[str, Any] = {
        "enabled": enabled,
        "nodeSelector": {"matchLabels": labels, "matchExpressions": expressions},
        "oversell": {"cpu": {"reclaimPercent": percent}},
        "field": {"of": "another version"},
    }
    assert forms.spec_of(sent(spec), schema(), spec) == spec


@given(LABELS)
def test_labels_come_back(labels: dict[str, str]) -> None:
    assert forms.value_of(forms.text_of(labels, "labels"), "labels") == (labels or None)


@given(EXPRESSIONS)
def test_expressions_come_back(expressions: list[dict[str, Any]]) -> None:
    assert forms.value_of(forms.text_of(expressions, "expressions"), "expressions") == (expressions or None)


@given(
    st.text(max_size=60), st.sampled_from(["integer", "labels", "expressions", "object", "quantity", "text", "boolean"])
)
def test_any_text_is_read_as_something(text: str, kind: str) -> None:
    forms.value_of(text, kind)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("7", "integer", 7),
        (" -7 ", "integer", -7),
        ("7.5", "integer", "7.5"),
        ("seven", "integer", "seven"),
        ("", "integer", None),
        ("a=b, c=", "labels", {"a": "b", "c": ""}),
        ("a", "labels", "a"),
        ("zone in (a, b), !gpu, disk", "expressions", [
            {"key": "zone", "operator": "In", "values": ["a", "b"]},
            {"key": "gpu", "operator": "DoesNotExist"},
            {"key": "disk", "operator": "Exists"},
        ]),
        ("zone in a", "expressions", "zone in a"),
        ("cpuEvict: {threshold: 60}", "object", {"cpuEvict": {"threshold": 60}}),
        ("a: [", "object", "a: ["),
    ],
)  # fmt: skip
def test_texts(text: str, kind: str, value: Any) -> None:
    assert forms.value_of(text, kind) == value


def test_an_emptied_field_goes_back_to_its_default() -> None:
    spec = {"oversell": {"cpu": {"reclaimPercent": 70, "maxPercent": 80}}}
    given_ = sent(spec) | {"oversell.cpu.reclaimPercent": [""]}
    assert forms.spec_of(given_, schema(), spec) == {"oversell": {"cpu": {"maxPercent": 80}}}


def test_a_checkbox_gives_its_last_value() -> None:
    assert forms.spec_of({"enabled": ["false", "true"]}, schema(), {"enabled": False}) == {"enabled": True}
    assert forms.spec_of({"enabled": ["false"]}, schema(), {}) == {"enabled": False}


SPECS = st.dictionaries(
    st.sampled_from("abc"),
    st.one_of(st.integers(0, 3), st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), min_size=1)),
)


@given(SPECS, SPECS, SPECS)
def test_mine_on_top_of_theirs(base: Any, yours: Any, theirs: Any) -> None:
    merged = forms.on_top(base, yours, theirs)
    if yours == base:
        assert merged == theirs
    if theirs == base:
        assert dict(forms.flat(merged)) == dict(forms.flat(yours)) or any(
            isinstance(one.get(key), dict) != isinstance(yours.get(key), dict) for one in (base,) for key in "abc"
        )
    for row in forms.three_ways(base, yours, theirs):
        assert not row.base == row.yours == row.theirs
        assert row.both == (len({str(one) for one in (row.base, row.yours, row.theirs)}) == 3)
