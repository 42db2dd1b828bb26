"""What the manager answers over HTTP, with its loop running as it does in production."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from colocation.budget import Candidate
from colocation.manager import server as served
from colocation.manager import views
from colocation.manager.loop import Stop
from colocation.manager.server import MOST_POLICIES, SLICE, Inside, serve
from colocation.model.answers import REPORT_SCHEMA
from colocation.model.policy import PolicySpec
from colocation.serving import Limits

from .bench import Bench


class Running:
    """A server in front of a loop that turns."""

    def __init__(self, limits: Limits = served.LIMITS, *, synced: bool = True) -> None:
        self.bench = Bench()
        if synced:
            self.bench.publish()
        loop = self.bench.loop
        inside = Inside(loop, loop._metrics, lambda: self.bench.now, lambda: "me")
        self.server = serve("::1", 0, inside, lambda _: None, limits)
        self.server.start()
        self._thread = threading.Thread(target=loop.run)

    def turn(self) -> None:
        self._thread.start()

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("::1", self.server.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if answer.getheader("Content-Type") == "application/json" else text

    def end(self) -> None:
        self.server.stop()
        if self._thread.is_alive():
            self.bench.loop.inbox.put(Stop())
            self._thread.join()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.end()


def query(count: int, **more: Any) -> str:
    policies = [{"metadata": {"name": f"p{n}"}, "spec": {}} for n in range(count)]
    return urlencode({"policies": json.dumps(policies), **more}, doseq=True)


def test_health_readiness_and_metrics(running: Running) -> None:
    assert running.get("/healthz") == (200, {"loopAgeSeconds": 0.0})
    assert running.get("/readyz") == (200, {"synced": True, "leader": True, "holder": "me"})
    running.bench.now += 31
    assert running.get("/healthz")[0] == 503
    code, text = running.get("/metrics")
    assert code == 200
    assert b"colocation_" in text


def test_report_explanation_and_simulation(running: Running) -> None:
    running.turn()
    code, report = running.get("/v1/report")
    assert (code, report["schema"], report["leader"]) == (200, REPORT_SCHEMA, True)
    assert [row["node"] for row in report["nodes"]] == ["n"]
    assert report["nodes"][0]["cpu"]["capacity"] == 10_000
    code, result = running.get("/v1/explain/n")
    assert (code, result["node"], result["leader"]) == (200, "n", True)
    assert running.get("/v1/explain/x%2Fy") == (404, {"error": "no node 'x/y' with a known capacity"})
    code, given = running.get(f"/v1/simulate?{query(1)}")
    assert (code, [row["node"] for row in given["nodes"]]) == (200, ["n"])


def test_at_most_so_many_policies_are_simulated_at_once(running: Running) -> None:
    running.turn()
    assert MOST_POLICIES == 64
    assert running.get(f"/v1/simulate?{query(64)}")[0] == 200
    code, given = running.get(f"/v1/simulate?{query(65)}")
    assert (code, given) == (400, {"error": "65 policies; at most 64 can be simulated at once"})
    assert running.get(f"/v1/simulate?{query(60, delete=['a'] * 5)}")[0] == 400
    assert running.get("/v1/simulate?policies=nonsense")[0] == 400


def test_a_manager_that_has_not_read_the_cluster_says_so() -> None:
    running = Running(synced=False)
    try:
        assert running.get("/readyz")[0] == 503
        assert running.get("/v1/report") == (503, {"error": "still reading the cluster; try again in a moment"})
    finally:
        running.end()


def test_one_deadline_is_for_the_whole_question_and_what_timed_out_is_skipped() -> None:
    """The loop stands still: every question waits for it, in slices that share one time limit."""
    running = Running(Limits(answer_seconds=0.3))
    try:
        began = time.monotonic()
        assert running.get("/v1/report")[0] == 503
        assert running.get("/v1/explain/n")[0] == 503
        assert time.monotonic() - began < 2
        carried_out: list[str] = []
        running.bench.loop.state.nodes.clear()
        while not running.bench.loop.inbox.empty():
            message = running.bench.loop.inbox.get()
            carried_out += [] if message.cancelled else ["carried out"]
        assert carried_out == []
    finally:
        running.end()


def test_sixty_four_policies_take_the_loop_no_longer_than_a_moment_for_each_slice(running: Running) -> None:
    """What one question costs the loop, for as many nodes as it is about."""
    bench = running.bench
    for number in range(SLICE):
        bench.node(f"n{number}")
        bench.report(f"n{number}")
    bench.step()
    wanted = [Candidate(f"p{n}", 1, PolicySpec(priority=n)) for n in range(MOST_POLICIES)]
    names = views.names_of(bench.loop, bench.now)[:SLICE]
    began = time.thread_time()
    assert len(views.simulate(bench.loop, bench.now, wanted, (), names)) == SLICE
    assert time.thread_time() - began < 0.2
