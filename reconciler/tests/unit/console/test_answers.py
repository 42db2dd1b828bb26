"""How a console's answers leave: compressed where no other site watches, files by their tag; and what is counted."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator
from email.message import Message

import pytest

from build import npm
from colocation.console import pages
from colocation.console.app import watched
from colocation.console.main import Console, Running
from tests.lab.apiserver import free_ports

NOWHERE = "http://127.0.0.1:1"


def headers(**values: str) -> Message:
    made = Message()
    for name, value in values.items():
        made[name.replace("_", "-")] = value
    return made


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"Sec_Fetch_Site": "same-origin", "Cookie": "a=b"}, False),
        ({"Sec_Fetch_Site": "none", "Cookie": "a=b"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Cookie": "a=b"}, True),
        ({"Sec_Fetch_Site": "cross-site"}, True),
        ({"Sec_Fetch_Site": "same-site", "Cookie": "a=b"}, True),
        ({"Cookie": "a=b"}, True),
        ({"Authorization": "Bearer t"}, False),
    ],
)
def test_who_may_watch_the_length_of_an_answer(given: dict[str, str], wrong: bool) -> None:
    assert watched(headers(**given)) is wrong


class Alone:
    """A console whose API server and manager are away, and its two ports."""

    def __init__(self) -> None:
        (self.probes,) = free_ports(1)
        running = Running(
            host="127.0.0.1", port=0, probes_host="127.0.0.1", probes_port=self.probes, api_server=NOWHERE,
            manager=NOWHERE,
        )  # fmt: skip
        self.console = Console(running)
        self.console.start()

    def ask(self, path: str, port: int = 0, **more: str) -> tuple[int, Message, bytes]:
        one = http.client.HTTPConnection("127.0.0.1", port or self.console.server.port, timeout=10)
        try:
            one.request("GET", path, headers={name.replace("_", "-"): value for name, value in more.items()})
            found = one.getresponse()
            return found.status, found.headers, found.read()
        finally:
            one.close()


@pytest.fixture(scope="module")
def there() -> Iterator[Alone]:
    npm.place()
    made = Alone()
    yield made
    made.console.stop()


@pytest.mark.parametrize("name", [f"/static/{one}" for one in pages.FILES if "/" not in one] + ["/dist/colocation.mjs"])
def test_a_file_is_compressed_and_not_sent_twice(there: Alone, name: str) -> None:
    code, found, body = there.ask(name)
    assert (code, found["Content-Encoding"], found["Vary"]) == (200, None, "Accept-Encoding")
    _, small, zipped = there.ask(name, Accept_Encoding="gzip")
    assert small["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped) == body
    assert len(zipped) < len(body)
    code, again, nothing = there.ask(name, If_None_Match=found["ETag"], Accept_Encoding="gzip")
    assert (code, nothing, again["ETag"], again["Cache-Control"]) == (304, b"", found["ETag"], found["Cache-Control"])


def test_the_description_of_the_api_has_a_tag(there: Alone) -> None:
    _, found, body = there.ask("/api/v1/openapi.json", Accept_Encoding="gzip")
    assert gzip.decompress(body).startswith(b"{")
    assert there.ask("/api/v1/openapi.json", If_None_Match=found["ETag"])[0] == 304


def test_a_page_for_another_site_is_not_compressed_and_never_kept(there: Alone) -> None:
    _, found, body = there.ask("/login", Accept_Encoding="gzip", Sec_Fetch_Site="cross-site")
    assert found["Content-Encoding"] is None
    _, same, zipped = there.ask("/login", Accept_Encoding="gzip", Sec_Fetch_Site="none")
    assert (same["Content-Encoding"], same["Cache-Control"], same["ETag"]) == ("gzip", "no-store", None)
    assert gzip.decompress(zipped) == body


def test_metrics_are_on_the_port_of_the_probes_only(there: Alone) -> None:
    there.ask("/login")
    there.ask("/nodes/secret-node?q=secret-person", Authorization="Bearer secret-token")
    code, found, body = there.ask("/metrics", there.probes)
    assert (code, found["Content-Type"].partition(";")[0]) == (200, "text/plain")
    text = body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['colocation_console_answers_total{code="200"}']) >= 1
    assert float(lines["colocation_console_answer_seconds_count"]) >= 2
    asked = 'colocation_console_api_requests_total{code="0",resource="selfsubjectreviews",verb="POST"}'
    assert float(lines[asked]) >= 1
    assert lines["colocation_console_manager_up"] == "0.0"
    assert "colocation_console_report_timestamp_seconds" not in lines, "there has been none"
    assert "secret" not in text
    assert there.ask("/metrics")[0] == 404
