"""The decision alone; what the API server makes of it is tried in tests/chart, beside the policies."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.admission import Settings, answer
from colocation.admission.mutate import NewPod, converted, mutate
from colocation.admission.review import PATHS
from colocation.model.quantity import millicores, parse

CPU, MEMORY, GATE = "kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods"
AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory", CPU, MEMORY, GATE, "nvidia.com/gpu"]),
    st.sampled_from(["1", "250m", "1Gi", "0", "1.5"]),
)
ALL = Settings(be_scheduler="b", hls_scheduler="h", hls_node_affinity=True, default_priority_class="ordinary")


def applied(body: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """RFC 6902's ``add``, which is all that is used."""
    body = json.loads(json.dumps(body))
    for operation in patch:
        assert operation["op"] == "add"
        *way, last = (p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:])
        place: Any = body
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if last == "-":
            place.append(operation["value"])
        else:
            place[last] = operation["value"]
    return body


def decided(body: dict[str, Any], default: str = "") -> list[dict[str, Any]]:
    return mutate(msgspec.convert(body, NewPod), ALL, default)


@given(AMOUNTS, st.booleans())
def test_nothing_is_lost_and_nothing_doubles(asked: dict[str, str], ticket: bool) -> None:
    made = converted(asked, ticket=ticket)  # type: ignore[arg-type]
    assert not {"cpu", "memory"} & set(made)
    assert (GATE in made) is ticket
    assert made.get("nvidia.com/gpu") == asked.get("nvidia.com/gpu")
    for plain, ours, reads in (("cpu", CPU, millicores), ("memory", MEMORY, parse)):
        if ours in asked:
            assert made[ours] == asked[ours]
        elif plain in asked:
            assert parse(made[ours]) == reads(asked[plain])
        else:
            assert ours not in made


@given(
    st.sampled_from(["BE", "HLS", "LS", "X", None]),
    st.sampled_from(["BE", "HLS", "LS", ""]),
    AMOUNTS,
    AMOUNTS,
    st.sampled_from([{}, {"openfuyao.com/qos-level": "BE"}, {"openfuyao.com/qos-level": "other"}]),
)
def test_a_pod_that_was_changed_needs_no_change(
    qos: str | None, default: str, one: Any, two: Any, labels: dict[str, str]
) -> None:
    resources = {"requests": one, "limits": two}
    body: dict[str, Any] = {
        "metadata": {"labels": labels, **({"annotations": {"openfuyao.com/qos-level": qos}} if qos else {})},
        "spec": {
            "containers": [{"resources": resources}, {"resources": {}}],
            "initContainers": [{"resources": resources}],
        },
    }
    once = applied(body, decided(body, default))
    assert decided(once, default) == []
    declared = qos or default
    assert (once == body) is (declared not in ("BE", "HLS", "LS"))
    assert once["metadata"].get("annotations", {}).get("openfuyao.com/qos-level", "") == declared
    assert once["metadata"].get("labels", {}) == ({"openfuyao.com/qos-level": declared} if once != body else labels)


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("/mutate", ""),
        ("/mutate/be", "BE"),
        ("/mutate/hls", "HLS"),
        ("/mutate/", None),
        ("/mutate/BE", None),
        ("/", None),
    ],
)
def test_the_path_says_the_namespaces_default(path: str, default: str | None) -> None:
    assert PATHS.get(path) == default


def test_an_answer_carries_the_uid_and_the_patch() -> None:
    pod = {"metadata": {"annotations": {"openfuyao.com/qos-level": "LS"}}, "spec": {"containers": [{"name": "c"}]}}
    declared = json.loads(answer(json.dumps({"request": {"uid": "u1", "object": pod}}).encode(), Settings()))
    assert (declared["apiVersion"], declared["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = declared["response"]
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u1", True, "JSONPatch")
    assert json.loads(base64.b64decode(response["patch"]))[0]["path"] == "/metadata/labels"
    plain = json.loads(
        answer(json.dumps({"request": {"uid": "u2", "object": {"metadata": {}, "spec": {}}}}).encode(), ALL)
    )
    assert plain["response"] == {"uid": "u2", "allowed": True}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"request": {"uid": 1, "object": {}}}', b'{"request": {"uid": "u"}}']
)
def test_what_is_no_review_is_said_so(body: bytes) -> None:
    with pytest.raises(ValueError, match="no AdmissionReview of a pod"):
        answer(body, Settings())
