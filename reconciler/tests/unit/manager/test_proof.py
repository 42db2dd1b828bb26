"""What a reader's token is checked for, and how seldom the API server is asked."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.kube.rest import ApiError, Rest
from colocation.manager.proof import KEEP_SECONDS, MOST_KEPT, REFUSED_SECONDS, REVIEWS, Proof
from colocation.serving import Refused

READER = "system:serviceaccount:ns:colocation-reader"
GOOD: dict[str, Any] = {"authenticated": True, "user": {"username": READER}, "audiences": ["colocation"]}


def token(sub: str = READER, aud: Any = ("colocation",), number: int = 0) -> str:
    def part(answer: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(answer).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'x'})}.{part({'sub': sub, 'aud': aud, 'jti': number})}.sig"


class FakeRest:
    """NOT the API server: says of every token what a test wants, which no real one would."""

    def __init__(self, status: dict[str, Any] | ApiError = GOOD) -> None:
        self.status, self.asked = status, 0

    def create(self, path: str, body: Any, *, label: str = "") -> bytes:
        assert label
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        assert body["spec"]["audiences"] == ["colocation"]
        self.asked += 1
        if isinstance(self.status, ApiError):
            raise self.status
        return json.dumps({"status": self.status}).encode()


class Desk:
    def __init__(self, status: dict[str, Any] | ApiError = GOOD) -> None:
        self.now, self.rest = 100.0, FakeRest(status)
        self.proof = Proof(cast("Rest", self.rest), "ns", lambda: self.now)

    def code(self, given: str, seconds: float = 1) -> int:
        try:
            self.proof.accept(given, seconds)
        except Refused as refused:
            return refused.code
        return 200


@pytest.mark.parametrize(
    "status",
    [
        {**GOOD, "authenticated": False},
        {**GOOD, "audiences": []},
        {**GOOD, "audiences": ["https://kubernetes.default.svc"]},
        {**GOOD, "user": {"username": "system:serviceaccount:other:colocation-reader"}},
        {**GOOD, "user": {}},
        {},
        {"error": "token has expired", "authenticated": False},
    ],
)
def test_only_the_reader_for_our_audience_is_accepted(status: dict[str, Any]) -> None:
    assert Desk().code(token()) == 200
    assert Desk(status).code(token()) == 401


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "a.!!.c",
        "ä.ö.ü",
        token() * 100,
        f"{token()}.d",
        token(sub="system:serviceaccount:ns:default"),
        token(sub="system:serviceaccount:other:colocation-reader"),
        token(aud="vault"),
        token(aud=[]),
        token(aud=None),
        token(aud={"a": 1}),
    ],
)
def test_what_cannot_be_good_costs_the_api_server_nothing(given: str) -> None:
    desk = Desk()
    assert desk.code(given) == 401
    assert desk.rest.asked == 0


@given(st.binary(max_size=40) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(msgspec.json.encode))
def test_whatever_stands_in_a_token_is_refused_and_breaks_nothing(claims: bytes) -> None:
    desk = Desk()
    assert desk.code(f"a.{base64.urlsafe_b64encode(claims).decode()}.c") == 401
    assert desk.code(claims.decode("latin-1")) == 401
    assert desk.rest.asked == 0


def test_one_audience_may_be_a_text() -> None:
    assert Desk().code(token(aud="colocation")) == 200


def test_a_good_token_is_reviewed_once_a_minute_at_most_and_at_least() -> None:
    assert KEEP_SECONDS <= 60
    desk = Desk()
    for _ in range(5):
        assert desk.code(token()) == 200
    assert desk.rest.asked == 1
    desk.rest.status = {}
    desk.now += KEEP_SECONDS - 1
    assert desk.code(token()) == 200
    desk.now += 1
    assert desk.code(token()) == 401
    assert desk.rest.asked == 2


def test_a_bad_token_that_is_tried_again_and_again_is_not_reviewed_each_time() -> None:
    desk = Desk({})
    assert [desk.code(token()) for _ in range(9)] == [401] * 9
    assert desk.rest.asked == 1
    desk.now += REFUSED_SECONDS
    desk.rest.status = GOOD
    assert desk.code(token()) == 200


def test_what_is_remembered_is_bounded() -> None:
    desk = Desk()
    for number in range(2 * MOST_KEPT):
        assert desk.code(token(number=number)) == 200
    assert len(desk.proof._kept) == MOST_KEPT


def test_an_api_server_that_does_not_answer_is_no_verdict_and_is_not_kept() -> None:
    desk = Desk(ApiError(0, "Unreachable", "refused"))
    assert desk.code(token()) == 503
    desk.rest.status = GOOD
    assert desk.code(token()) == 200


def test_only_a_few_are_reviewed_at_a_time() -> None:
    desk = Desk()
    go_on, waiting = threading.Event(), threading.Semaphore(0)
    create = desk.rest.create

    def slow(path: str, body: Any, *, label: str = "") -> bytes:
        waiting.release()
        go_on.wait(10)
        return create(path, body, label=label)

    desk.rest.create = slow  # type: ignore[method-assign]
    threads = [threading.Thread(target=desk.code, args=(token(number=n), 10)) for n in range(REVIEWS)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=5)
    assert desk.code(token(number=99), 0.05) == 503
    go_on.set()
    for thread in threads:
        thread.join()
    assert desk.code(token(number=99)) == 200
