"""What is written to a status is never longer than the CRD takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect as types

from colocation.model.fit import cut, fit
from colocation.model.report import (
    BePod,
    Capabilities,
    Condition,
    EvictionRefusal,
    EvictionRequest,
    NodeColocationStatus,
    OnlinePod,
    PodUsage,
)
from colocation.model.status import PolicyStatus
from tools.schema import struct_schema

long = st.builds(str.__mul__, st.text(max_size=3), st.integers(0, 400))  # text() alone is hardly ever long
conditions = st.builds(
    Condition, type=long, status=st.just("True"), reason=long, message=long, last_transition_time=st.just("t")
)


def too_long(schema: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """The texts and lists that the API server would refuse, by the very schema of the CRD."""
    match value:
        case str():
            return [at] if len(value) > schema.get("maxLength", len(value)) else []
        case list():
            own = [at] if len(value) > schema.get("maxItems", len(value)) else []
            return own + [e for i, item in enumerate(value) for e in too_long(schema["items"], item, f"{at}[{i}]")]
        case dict() if "properties" in schema:
            return [e for k, v in value.items() for e in too_long(schema["properties"][k], v, f"{at}.{k}")]
    return []


def fits(value: msgspec.Struct) -> bool:
    return not too_long(struct_schema(type(value)), msgspec.json.decode(msgspec.json.encode(fit(value))))


@given(st.builds(PolicyStatus, rollout_stopped=long, conditions=st.lists(conditions, max_size=3).map(tuple)))
def test_a_policys_status_fits_its_crd(status: PolicyStatus) -> None:
    assert fits(status)


@given(
    st.builds(
        NodeColocationStatus,
        agent_version=long,
        capabilities=st.builds(Capabilities, kernel=long, features=st.lists(long, max_size=70).map(tuple)),
        pods=st.integers(0, 600).map(lambda count: (PodUsage(uid="u" * 200),) * count),
        conditions=st.lists(conditions, max_size=20).map(tuple),
        eviction_requests=st.lists(st.builds(EvictionRequest, uid=long, reason=long, message=long), max_size=12).map(
            tuple
        ),
    )
)
def test_a_report_fits_its_crd(status: NodeColocationStatus) -> None:
    assert fits(status)


def test_every_text_that_we_write_into_a_status_has_a_length() -> None:
    """A text without one would be cut by nobody, and refused by etcd at the latest."""

    def unbounded(info: types.Type, at: str) -> list[str]:
        match info:
            case types.Metadata(type=inner):
                return unbounded(inner, at)
            case types.UnionType(types=several):
                return [e for each in several for e in unbounded(each, at)]
            case types.StrType(max_length=None):
                return [at]
            case types.VarTupleType(item_type=item):
                return unbounded(item, f"{at}[]")
            case types.StructType(fields=fields):
                return [e for field in fields for e in unbounded(field.type, f"{at}.{field.encode_name}")]
        return []

    for kind in (PolicyStatus, NodeColocationStatus, BePod, OnlinePod, EvictionRefusal):
        assert unbounded(types.type_info(kind), kind.__name__) == []


@pytest.mark.parametrize("length", [0, 9, 10, 11, 1000])
def test_a_text_that_is_cut_says_so(length: int) -> None:
    text = cut("x" * length, 10)
    assert len(text) <= 10
    assert text.endswith("...") is (length > 10)


def test_what_fits_is_the_very_same_object() -> None:
    status = NodeColocationStatus(pods=(PodUsage(uid="a", cpu=1),))
    assert fit(status) is status
