"""Signing in, sessions, streams, and an API server or a manager that goes away: over HTTP, on a real API server."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import urlencode

import pytest

from colocation.console import live
from colocation.console.tries import Tries
from colocation.kube.login import kubeconfig
from colocation.kube.rest import Rest
from colocation.model import names
from colocation.serving.coding import LEAST
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import NAMESPACE, Cluster
from .console import Desk, Given, chart_rights, person
from .test_manager import publishing

pytestmark = pytest.mark.apiserver
FORM = {"Sec_Fetch_Site": "same-origin"}


class Place:
    """One console in mode token, one behind a proxy, and a reader."""

    def __init__(self, cluster: Cluster) -> None:
        chart_rights(cluster)
        self.cluster = cluster
        self.reader = person(cluster, "sitter", "reader")
        self.stranger = person(cluster, "passer-by")
        cluster.policy("p")
        self.manager = cluster.manager()
        publishing(cluster, "n1")
        self.desk = Desk(cluster, self.manager)
        self.behind = Desk(cluster, self.manager, mode="proxy")
        eventually(lambda: self.desk.ask("GET", "/api/v1/nodes", self.reader).code == 200, 20)

    def login(self, token: str, **more: str) -> Given:
        return self.desk.ask("POST", "/login", "", urlencode({"token": token, **more}), **FORM)


@pytest.fixture(scope="module")
def there(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    rest = Rest(kubeconfig(str(api.kubeconfig)))
    cluster = Cluster(api, rest, Path(tmp_path_factory.mktemp("session")), next(itertools.count(970)))
    made = Place(cluster)
    yield made
    made.desk.stop()
    made.behind.stop()
    cluster.close()
    for name in ("sitter", "passer-by"):
        api.kubectl("delete", "serviceaccount", name, f"--namespace={NAMESPACE}", "--ignore-not-found")


def cookie(given: Given) -> str:
    return "; ".join(line.partition(";")[0] for name, line in given.pairs if name == "Set-Cookie")


def test_a_session_by_cookie_reads_and_leaves(there: Place) -> None:
    given = there.login(there.reader, goTo="/nodes?q=a")
    assert (given.code, given.headers["Location"]) == (303, "/nodes?q=a")
    for name, line in given.pairs:
        if name == "Set-Cookie":
            assert line.startswith("__Host-colocation")
            assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= {part.strip() for part in line.split(";")}
            assert there.reader not in line
    kept = cookie(given)
    me = there.desk.ask("GET", "/api/v1/me", Cookie=kept).json
    assert me["user"].endswith(":sitter")
    assert me["csrf"]
    assert there.desk.ask("GET", "/api/v1/nodes", Cookie=kept).json["total"] == 1
    # A write needs the mark of this session, and a browser that says where it came from.
    check = {"spec": {}, "version": ""}
    path = "/api/v1/policies/q:check"
    assert there.desk.ask("POST", path, "", check, Cookie=kept, **FORM).json["type"].endswith("#forged")
    assert there.desk.ask("POST", path, "", check, Cookie=kept, X_Csrf=me["csrf"]).json["type"].endswith("#forged")
    cross = {"Sec_Fetch_Site": "cross-site", "X_Csrf": me["csrf"]}
    assert there.desk.ask("POST", path, "", check, Cookie=kept, **cross).json["type"].endswith("#forged")
    good = there.desk.ask("POST", path, "", check, Cookie=kept, X_Csrf=me["csrf"], **FORM)
    assert good.json["missing"].startswith("create colocationpolicies"), "it came to the API server: a reader may not"
    out = there.desk.ask("POST", "/logout", "", urlencode({"csrf": me["csrf"]}), Cookie=kept, **FORM)
    assert out.code == 303
    assert "Max-Age=0" in str(out.pairs)
    assert "/login" in there.desk.ask("GET", "/nodes").headers["Location"]


def test_a_wrong_token_is_told_and_the_sixth_in_a_minute_waits(there: Place) -> None:
    for _ in range(5):
        assert there.login("aaa.bbb.ccc").code == 401
    given = there.login(there.reader)
    assert given.code == 429
    assert 0 < int(given.headers["Retry-After"]) <= 61
    there.desk.console.app.services[Tries] = Tries()


def test_a_token_is_not_taken_over_plain_http(there: Place) -> None:
    given = there.desk.ask("POST", "/login", "", urlencode({"token": there.reader}), Host="console.example", **FORM)
    assert given.code == 403
    assert "Set-Cookie" not in given.headers


def test_another_site_signs_nobody_in(there: Place) -> None:
    given = there.desk.ask("POST", "/login", "", urlencode({"token": there.reader}), Sec_Fetch_Site="cross-site")
    assert given.code == 403


def test_behind_a_proxy_a_foreign_token_is_told_from_one_that_is_missing(there: Place) -> None:
    ask = there.behind.ask
    assert ask("GET", "/api/v1/nodes", there.reader).code == 200
    assert ask("GET", "/api/v1/nodes", X_OpenFuyao_Authorization=f"Bearer {there.reader}").code == 200
    assert ask("GET", "/api/v1/nodes", X_Forwarded_Access_Token=there.reader).code == 200
    two = ask("GET", "/api/v1/nodes", there.reader, X_Forwarded_Access_Token=there.stranger)
    assert (two.code, two.json["type"]) == (400, "about:blank#twoTokens")
    foreign = ask("GET", "/api/v1/nodes", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lkcCIsImF1ZCI6ImEifQ.x")
    assert foreign.code == 401
    assert "https://idp" in foreign.json["detail"]
    assert ask("GET", "/nodes").code == 401, "there is no login page of ours to be sent to"
    assert ask("GET", "/login").code == 303
    write = ask("POST", "/api/v1/policies/q:check", there.reader, {"spec": {}, "version": ""}, Cookie="proxy=session")
    assert write.json["type"].endswith("#forged")


def raw(port: int, path: str, **headers: str) -> tuple[Message, bytes]:
    one = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = {"Accept-Encoding": "gzip", **{name.replace("_", "-"): value for name, value in headers.items()}}
        one.request("GET", path, headers=sent)
        answer = one.getresponse()
        assert answer.status == 200
        return answer.headers, answer.read()
    finally:
        one.close()


@pytest.mark.parametrize("path", ["/nodes", "/api/v1/nodes", "/policies/p"])
def test_a_page_and_its_data_are_compressed_but_not_when_another_site_sends_the_browser(
    there: Place, path: str
) -> None:
    kept = cookie(there.login(there.reader))
    found, body = raw(there.desk.port, path, Cookie=kept, Sec_Fetch_Site="same-origin")
    assert found["Content-Encoding"] == "gzip"
    assert b"policy" in gzip.decompress(body).lower()
    assert found["ETag"] is None, "what a person may see is kept nowhere"
    found, body = raw(there.desk.port, path, Cookie=kept, Sec_Fetch_Site="cross-site")
    assert found["Content-Encoding"] is None
    assert b"policy" in body.lower()


def test_the_managers_report_is_compressed_for_who_takes_it(there: Place) -> None:
    token = there.cluster.token(names.CONSOLE)
    found, body = raw(there.manager.port, "/v1/report", X_Colocation_Token=token)
    plain = json.loads(gzip.decompress(body) if found["Content-Encoding"] else body)
    assert [row["node"] for row in plain["nodes"]] == ["n1"]
    # One node's report may be too short to be worth it; the console asks for gzip, and reads both.
    assert (found["Content-Encoding"] == "gzip") == (len(json.dumps(plain, separators=(",", ":"))) + 1 >= LEAST)
    assert there.desk.console.snapshot.seen is not None


@pytest.mark.parametrize(
    "given",
    [
        "__Host-colocation=1.AAAA",
        "__Host-colocation=8." + "A" * 3800,
        "; ".join(f"__Host-colocation-{n}={'A' * 3800}" for n in range(1, 8)),
        "=; ;;; a=\x01; __Host-colocation=",
        "__Host-colocation=" + "9" * 24_000,
        "x" * 60_000,
    ],
)
def test_hostile_cookies_are_no_session(there: Place, given: str) -> None:
    answer = there.desk.ask("GET", "/api/v1/nodes", Cookie=given)
    assert answer.code in (400, 401, 431), answer.text[:200]


@pytest.mark.parametrize(
    "path",
    [
        "/nodes?limit=99999999999999999999",
        "/api/v1/nodes?state=open&state=nonsense",
        "/api/v1/nodes?sort=__class__",
        "/api/v1/nodes?" + "a=1&" * 600,
        "/api/v1/nodes?q=%ff%fe",
        "/api/v1/series?chart=cpu&range=1y",
        "/api/v1/series?chart=nodeCpu&node=%22%7D)%20or%20vector(1)",
        "/api/v1/series?chart=up",
    ],
)
def test_hostile_queries_are_a_400_and_never_a_fault(there: Place, path: str) -> None:
    assert there.desk.ask("GET", path, there.reader).code == 400


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"{}" * 9, b"\xff", b'{"spec": "' + b"x" * 10 + b'"}', b"null", b"1e999"]
)
def test_hostile_bodies_are_a_400_and_never_a_fault(there: Place, body: bytes) -> None:
    one = http.client.HTTPConnection("127.0.0.1", there.desk.port, timeout=20)
    sent = {"Authorization": f"Bearer {there.reader}", "Content-Type": "application/json"}
    one.request("POST", "/api/v1/policies/p:check", body, sent)
    assert one.getresponse().status == 400
    one.close()


class Listener:
    """One stream, read on a thread of its own."""

    def __init__(self, port: int, token: str, query: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("GET", f"/api/v1/stream{query}", headers={"Authorization": f"Bearer {token}"})
        assert self.connection.sock is not None
        self.socket = self.connection.sock  # the answer takes it over: it ends with the connection
        self.answer = self.connection.getresponse()
        self.text = ""
        self.thread = threading.Thread(target=self._read, daemon=True)
        if self.answer.status == 200:
            self.thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            while line := self.answer.readline():
                self.text += line.decode()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the server may have closed it
            self.socket.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def test_a_stream_tells_of_nodes_policies_and_a_manager_that_went_away(there: Place) -> None:
    one = Listener(there.desk.port, there.reader, "?policy=p")
    try:
        assert one.answer.headers["Content-Type"].startswith("text/event-stream")
        eventually(lambda: "event: summary" in one.text, 10)
        eventually(lambda: "event: policy" in one.text, 10)
        there.cluster.report("n1", cpu=3000)
        eventually(lambda: there.cluster.published("n1")[0] == 3000, 10)
        there.desk.fresh()
        eventually(lambda: 'event: changed\ndata: {"nodes":["n1"]}' in one.text, 10)
        there.manager.process.send_signal(19)
        began = time.monotonic()
        there.desk.fresh()
        eventually(lambda: 'event: away\ndata: {"what":"manager","since":"' in one.text, 15)
        assert time.monotonic() - began < 12
        assert there.desk.ask("GET", "/api/v1/summary", there.reader).json["away"]
        there.manager.process.send_signal(18)
        there.desk.fresh()
        eventually(lambda: '"since":null' in one.text, 15)
    finally:
        there.manager.process.send_signal(18)
        one.close()


def test_a_person_may_have_eight_streams_and_each_place_comes_back(
    there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = there.desk.console.hub
    eventually(lambda: hub.streams == 0, 40, every=1)
    monkeypatch.setattr(live, "COMMENT_SECONDS", 0.5)
    open_ones = [Listener(there.desk.port, there.reader) for _ in range(live.MOST_EACH)]
    refused = Listener(there.desk.port, there.reader)
    assert refused.answer.status == 429
    assert hub.streams == live.MOST_EACH
    for one in open_ones:
        one.close()
    eventually(lambda: hub.streams == 0, 20)


def test_who_loses_the_right_is_told_so_and_sees_no_more(
    there: Place, monkeypatch: pytest.MonkeyPatch, api: ApiServer
) -> None:
    monkeypatch.setattr(live, "RIGHTS_SECONDS", 0.2)
    monkeypatch.setattr(live, "COMMENT_SECONDS", 0.5)
    leaver = person(there.cluster, "leaver", "reader")
    eventually(lambda: there.desk.ask("GET", "/api/v1/nodes", leaver).code == 200, 20)
    one = Listener(there.desk.port, leaver)
    eventually(lambda: "event: summary" in one.text, 10)
    api.kubectl("delete", "serviceaccount", "leaver", f"--namespace={NAMESPACE}")
    try:
        eventually(lambda: 'event: bye\ndata: {"why":"denied"}' in one.text, 60)  # a yes is kept for 30 s
        assert there.desk.ask("GET", "/api/v1/nodes", leaver).code in (401, 403)
    finally:
        one.close()


def test_while_the_api_server_is_away_nothing_is_shown_and_it_is_said_in_six_seconds(
    there: Place, api: ApiServer
) -> None:
    stranger = there.desk.console.app.gate
    stranger.forget(there.reader)
    api.pause()
    try:
        began = time.monotonic()
        given = there.desk.ask("GET", "/api/v1/nodes", there.reader)
        assert time.monotonic() - began < 6
        assert (given.code, given.json["what"]) == (503, "apiserver")
        assert given.json["since"]
        assert "n1" not in given.text
    finally:
        api.resume()
    eventually(lambda: there.desk.ask("GET", "/api/v1/nodes", there.reader).code == 200, 20)
