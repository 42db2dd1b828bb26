"""Prometheus' API as it is when things go wrong. A stand-in answers: a real one cannot be made to fail at will."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from colocation.assess.access import Access, AccessError, login, prefix
from colocation.assess.files import DiskCache
from colocation.assess.prometheus import Prometheus, PrometheusError
from colocation.kube.rest import Rest

Answer = tuple[int, Any]


class StandIn:
    """Answers what ``decide`` says; keeps what was asked."""

    def __init__(self, decide: Callable[[str, dict[str, str]], Answer]) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {key: value[0] for key, value in parse_qs(url.query).items()}
                stand_in.asked.append((url.path, query, dict(self.headers)))
                code, body = decide(url.path, query)
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def stand_in() -> Iterator[Callable[..., StandIn]]:
    running: list[StandIn] = []

    def start(decide: Callable[[str, dict[str, str]], Answer]) -> StandIn:
        running.append(StandIn(decide))
        return running[-1]

    yield start
    for one in running:
        one.server.shutdown()
        one.server.server_close()


def client(one: StandIn, cache: DiskCache | None = None, path: str = "", **options: Any) -> Prometheus:
    access = Access(url=one.url + path, **options)
    return Prometheus(Rest(login(access)), prefix(access.url), "it", cache, sleep=lambda _: None)


def matrix(query: dict[str, str]) -> dict[str, Any]:
    start, end, step = (int(query[key]) for key in ("start", "end", "step"))
    values = [[at, "1"] for at in range(start, end + 1, step)]
    return {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "values": values}]}}


def test_a_range_above_the_limit_of_points_comes_in_pieces_without_a_hole(stand_in: Callable[..., StandIn]) -> None:
    one = stand_in(lambda _, query: (200, matrix(query)))
    (series,) = client(one).over("x", 300, 300 * 25_000, 300)
    assert [at for at, _ in series.values] == list(range(300, 300 * 25_000 + 1, 300))
    assert len(one.asked) == 4
    assert all((int(q["end"]) - int(q["start"])) / 300 < 11_000 for _, q, _ in one.asked)


def test_a_query_that_is_too_much_is_asked_in_halves(stand_in: Callable[..., StandIn]) -> None:
    def decide(_: str, query: dict[str, str]) -> Answer:
        if int(query["end"]) - int(query["start"]) > 300 * 50:
            return 422, {"status": "error", "error": "query processing would load too many samples into memory"}
        return 200, matrix(query)

    (series,) = client(stand_in(decide)).over("x", 300, 300 * 200, 300)
    assert [at for at, _ in series.values] == list(range(300, 300 * 200 + 1, 300))


def test_what_fails_for_a_moment_is_asked_again(stand_in: Callable[..., StandIn]) -> None:
    codes = [503, 429, 502]

    def decide(_: str, query: dict[str, str]) -> Answer:
        return (codes.pop(), {"status": "error", "error": "busy"}) if codes else (200, matrix(query))

    one = stand_in(decide)
    assert client(one).over("x", 300, 3000, 300)
    assert len(one.asked) == 4


def test_what_goes_on_failing_is_said(stand_in: Callable[..., StandIn]) -> None:
    one = stand_in(lambda *_: (503, {"status": "error", "error": "no store is ready"}))
    with pytest.raises(PrometheusError, match="no store is ready"):
        client(one).over("x", 300, 3000, 300)
    assert len(one.asked) == 5


@pytest.mark.parametrize("body", [b"<html>login</html>", b"{}", b'{"status": "success", "data": {"result": 7}}', b""])
def test_what_is_no_prometheus_is_said(stand_in: Callable[..., StandIn], body: bytes) -> None:
    one = stand_in(lambda *_: (200, body))
    with pytest.raises(PrometheusError, match="no Prometheus"):
        client(one).now()
    with pytest.raises(PrometheusError):
        client(one).over("x", 300, 3000, 300)


def test_nothing_that_listens_is_said() -> None:
    one = Prometheus(Rest(login(Access(url="http://127.0.0.1:9"))), "", "it", sleep=lambda _: None)
    with pytest.raises(PrometheusError, match="it: "):
        one.now()


def test_an_answer_is_asked_for_once(stand_in: Callable[..., StandIn], tmp_path: Path) -> None:
    one = stand_in(lambda _, query: (200, matrix(query)))
    cache = DiskCache(tmp_path)
    for _ in range(2):
        assert client(one, cache).over("x", 300, 3000, 300)
    assert len(one.asked) == 1
    for file in tmp_path.glob("*.gz"):
        file.write_bytes(file.read_bytes()[:-9])  # torn by a full disk
    assert client(one, cache).over("x", 300, 3000, 300)
    assert len(one.asked) == 2


def test_token_tenant_and_path_are_sent(stand_in: Callable[..., StandIn], tmp_path: Path) -> None:
    one = stand_in(lambda _, query: (200, matrix(query)))
    token = tmp_path / "token"
    token.write_text("abc\n")
    client(one, path="/tenant/", token_file=token, headers=("X-Scope-OrgID: team-a",)).over("x", 300, 600, 300)
    path, _, headers = one.asked[0]
    assert path == "/tenant/api/v1/query_range"
    assert headers["Authorization"] == "Bearer abc"
    assert headers["X-Scope-OrgID"] == "team-a"
    token.write_text("def\n")
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    client(one, user="me", password_file=password).over("x", 300, 600, 300)
    assert one.asked[1][2]["Authorization"] == "Basic bWU6czNjcmV0"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"url": "prometheus:9090"}, "not a URL"),
        ({"url": "ftp://prometheus"}, "not a URL"),
        ({"url": "https://me:secret@prometheus"}, "no user and password in the URL"),
        ({"url": "http://p", "token_file": Path("/nonexistent")}, "prometheus-token-file"),
        ({"url": "http://p", "user": "me"}, "go together"),
        ({"url": "http://p", "headers": ("tenant",)}, "NAME: VALUE"),
        ({"url": "http://p", "headers": ("a: b\r\nc: d",)}, "NAME: VALUE"),
        ({"url": "https://p", "ca": Path("/nonexistent")}, "certificates"),
        ({"url": "https://p", "key": Path("/nonexistent")}, "needs --prometheus-cert"),
    ],
)
def test_options_that_cannot_be_used_get_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AccessError, match=sentence) as error:
        login(Access(**options))
    assert "secret" not in str(error.value).replace("--prometheus", "")
