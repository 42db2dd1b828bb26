"""JSON deeper than the interpreter follows costs only what lies that deep."""

from __future__ import annotations

import base64
import json
from mmap import mmap
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.admission import Settings, answer
from colocation.decoding import decode
from colocation.kube.rest import Page
from colocation.model.wire import Pod
from colocation.nesting import LEVELS, Deep, shallow

TEXTS = st.text(max_size=8) | st.sampled_from(['"', "\\", '\\"', "[{", "}]", '{"a":'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def deep(levels: int, inner: str = "{}") -> str:
    return '{"f:a":' * levels + inner + "}" * levels


def pod(levels: int) -> str:
    fields = {"manager": "x", "fieldsV1": "DEEP"}
    body = {"metadata": {"name": "p", "uid": "u", "managedFields": [fields]}, "spec": {"nodeName": "n"}}
    return json.dumps(body).replace('"DEEP"', deep(levels))


@pytest.mark.parametrize("levels", [10, 900, 2_000, 9_000, 100_000])
def test_a_pod_with_fields_as_deep_as_its_author_likes_is_read(levels: int) -> None:
    text = pod(levels)
    assert decode(text, Pod).spec.node_name == "n"
    page = decode(f'{{"metadata": {{}}, "items": [{text}, {text}]}}'.encode(), Page)
    assert page.items is not None
    assert [decode(item, Pod).metadata.uid for item in page.items] == ["u", "u"]


@pytest.mark.parametrize("levels", [10, 9_000])
def test_admission_reads_such_a_pod_too(levels: int) -> None:
    declared = pod(levels).replace('"name"', '"annotations": {"openfuyao.com/qos-level": "BE"}, "name"')
    body = f'{{"request": {{"uid": "q", "operation": "CREATE", "namespace": "d", "object": {declared}}}}}'
    result = json.loads(answer(body.encode(), Settings()))["response"]
    assert result["allowed"]
    assert json.loads(base64.b64decode(result["patch"]))


def test_what_lies_in_a_file_is_read_like_what_lies_in_memory() -> None:
    """As the webhook hands on large bodies."""
    text = pod(9_000).encode()
    with mmap(-1, len(text)) as mapped:
        mapped.write(text)
        assert Deep(msgspec.json.Decoder(Pod)).decode(mapped).metadata.uid == "u"


@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 50_000, "[" * 50_000 + "]" * 49_999, "]" * 50_000])
def test_what_does_not_end_is_no_json(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(text, dict[str, Any])


@given(VALUES, st.integers(0, 3))
def test_what_is_not_too_deep_stays_as_it_is_byte_for_byte(value: object, indent: int) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert shallow(text) == text


@given(VALUES, st.integers(0, LEVELS + 30))
def test_only_what_is_too_deep_is_left_out(value: object, levels: int) -> None:
    text = '{"a": ' * levels + json.dumps([value, value]) + ', "b": 1}' * levels
    found = json.loads(shallow(text.encode()))
    for _ in range(min(levels, LEVELS)):
        assert found.get("b") == 1
        found = found["a"]
    assert found == (None if levels >= LEVELS else json.loads(shallow_reference(value, LEVELS - levels)))


def shallow_reference(value: object, levels: int) -> str:
    """The same by recursion, on values instead of text."""

    def kept(one: object, left: int) -> object:
        if isinstance(one, list):
            return [kept(item, left - 1) for item in one] if left else None
        if isinstance(one, dict):
            return {key: kept(item, left - 1) for key, item in one.items()} if left else None
        return one

    return json.dumps(kept([value, value], levels))
