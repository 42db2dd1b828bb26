"""Which answers leave compressed, which as 304, and that neither changes what a client reads."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.serving import Answer, Request, Route, Server, compressed, unchanged
from colocation.serving.coding import LEAST, takes_gzip

TAG = 'W/"abc"'


def headers(**values: str) -> Message:
    made = Message()
    for name, value in values.items():
        made[name.replace("_", "-")] = value
    return made


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("", False),
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate;q=0.5, GZIP ; q=0.1", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("br", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("gzip;q=x", False),
        ("gzip;q=nan", False),
        ("notgzip", False),
    ],
)
def test_what_a_client_takes(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


@given(st.text(max_size=80))
def test_no_text_of_a_client_is_an_error(text: str) -> None:
    assert takes_gzip(text) in (True, False)
    answer = Answer(200, b"x", "text/html", (("ETag", TAG),))
    assert unchanged(answer, headers(If_None_Match=text.replace("\n", "").replace("\r", ""))).code in (200, 304)


@given(st.binary(max_size=4000), st.sampled_from(["text/html; charset=utf-8", "application/json", "image/png"]))
def test_compressed_it_is_the_same_answer_and_the_cache_knows(body: bytes, kind: str) -> None:
    before = Answer(200, body, kind, (("X-A", "b"),))
    after = compressed(before, headers(Accept_Encoding="gzip"))
    worth = len(body) >= LEAST and kind != "image/png"
    assert ("Content-Encoding", "gzip") in after.headers if worth else after == before
    assert (gzip.decompress(after.body) if worth else after.body) == body
    assert (after.code, after.kind, after.headers[0]) == (200, kind, ("X-A", "b"))
    plain = compressed(before, headers())
    assert plain.body == body
    assert (("Vary", "Accept-Encoding") in plain.headers) == worth == (("Vary", "Accept-Encoding") in after.headers)


def test_a_stream_is_sent_as_it_is() -> None:
    stream = Answer(200, b"x" * 5000, "text/event-stream", (), lambda _write: None)
    assert compressed(stream, headers(Accept_Encoding="gzip")) is stream


@pytest.mark.parametrize(
    ("given_tag", "code"),
    [("", 200), (TAG, 304), ('"abc"', 304), (f'"x", {TAG}', 304), ("*", 304), ('"ab"', 200), ('W/"abcd"', 200)],
)
def test_a_client_that_has_it_gets_304(given_tag: str, code: int) -> None:
    more = {"If_None_Match": given_tag} if given_tag else {}
    found = unchanged(Answer(200, b"body", "text/css", (("ETag", TAG),)), headers(**more))
    assert (found.code, found.body) == ((304, b"") if code == 304 else (200, b"body"))
    assert ("ETag", TAG) in found.headers


@pytest.mark.parametrize("answer", [Answer(200, b"x", "text/css"), Answer(404, b"x", "text/css", (("ETag", TAG),))])
def test_only_a_good_answer_with_a_tag_can_be_unchanged(answer: Answer) -> None:
    assert unchanged(answer, headers(If_None_Match="*")) is answer


@pytest.fixture
def port() -> Iterator[int]:
    def handle(request: Request) -> Answer:
        return unchanged(Answer(200, b"x" * 3000, "text/css", (("ETag", TAG),)), request.headers)

    server = Server("127.0.0.1", 0, [Route(path="/a", handle=handle)])
    server.start()
    yield server.port
    server.stop()


def test_304_on_the_wire_has_neither_body_nor_length(port: int) -> None:
    one = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    one.request("GET", "/a", headers={"If-None-Match": TAG})
    found = one.getresponse()
    assert (found.status, found.read(), found.headers["Content-Length"]) == (304, b"", None)
    assert found.headers["ETag"] == TAG
    one.close()
