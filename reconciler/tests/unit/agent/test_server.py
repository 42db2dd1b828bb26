"""The agent's server: whether it lives, whether it is ready, its metrics and their cost."""

from __future__ import annotations

import errno
import http.client
import os
import time
from pathlib import Path

import pytest

from colocation.agent.server import serve, unready
from colocation.model.report import BePod, NodeColocationSpec
from colocation.node import apply

from .made_node import SPEC, Reports, enforced, running, upsert


def test_health_and_metrics(node):
    node.specs.emit(upsert())
    for group, percent in (("podonline1", "40.50"), ("besteffort/podbe1", "99.00")):
        text = f"some avg10={percent} avg60=0.00 avg300=0.00 total=1\n"
        (node.root / "kubepods" / group / "cpu.pressure").write_text(text)
    node.rounds()
    server = serve("127.0.0.1:0", node.loop, node.sampler, node.applier, None)
    try:

        def get(path):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        assert get("/healthz")[0] == 200
        node.loop.beat = time.monotonic() - 60
        assert get("/healthz")[0] == 503
        assert get("/readyz")[0] == 200
        node.loop.enforced_at = None
        assert get("/readyz")[0] == 503
        code, text = get("/metrics")
        assert code == 200
        assert "colocation_agent_writes_total 3.0" in text
        assert "colocation_agent_be_pods 1.0" in text
        assert "colocation_agent_be_cpu_cores 0.0" in text
        assert "colocation_agent_be_memory_bytes 4096.0" in text
        assert 'colocation_agent_be_pressure_ratio{resource="cpu"} 0.99' in text, "the load of offline work that waits"
        assert "colocation_agent_be_cpu_requested_cores 0.5" in text
        assert 'colocation_agent_online_pressure_ratio{resource="cpu"} 0.405' in text, "the BE pod's 99 is not online"
        assert 'online_pressure_ratio{resource="io"}' not in text, "unknown is absent, not 0"
        assert "colocation_agent_node_memory_unavailable_bytes 4000.0" in text
        assert get("/secret")[0] == 404
    finally:
        server.stop()


def test_an_agent_is_ready_once_it_has_reported_and_enforces(node):
    reports = Reports(sent=0, error="503 ServiceUnavailable: away")
    node.loop = node.make(reports)
    assert "503" in unready(node.loop, node.applier, reports)
    node.specs.emit(upsert())
    node.rounds()
    assert "no report has arrived yet" in unready(node.loop, node.applier, reports), "it enforces, and has not reported"
    reports.sent = 1
    assert unready(node.loop, node.applier, reports) == ""
    reports.error = "0 Unreachable: refused"
    assert unready(node.loop, node.applier, reports) == "", "the API server may be away for a day"


def test_an_agent_that_was_told_nothing_is_not_ready(node):
    node.rounds()
    assert "no spec" in unready(node.loop, node.applier, Reports())


def test_an_agent_whose_rounds_fail_is_not_ready(node, monkeypatch):
    node.specs.emit(upsert())
    node.rounds()
    assert unready(node.loop, node.applier, Reports()) == ""
    monkeypatch.setattr(node.applier, "apply", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        node.rounds(1)
    node.loop.beat = time.monotonic()  # its loop goes on: it is alive, and protects nobody
    node.loop.enforced_at -= 15
    assert "last enforced" in unready(node.loop, node.applier, Reports())


def test_an_agent_none_of_whose_values_can_be_written_is_not_ready_and_one_with_some_is(node, monkeypatch):
    refused = {"cpu.max", "cpu.idle", "memory.max"}
    write = apply.write_value

    def refusing(path, value, kind):
        """NOT the kernel: refuses some files."""
        if Path(path).name in refused:
            raise OSError(errno.EINVAL, "Invalid argument")
        write(path, value, kind)

    monkeypatch.setattr(apply, "write_value", refusing)
    node.specs.emit(upsert())
    node.rounds(3)
    assert node.applier.refused
    assert "can be written" in unready(node.loop, node.applier, Reports())
    refused.discard("cpu.max")
    node.loop = node.make(Reports())
    node.specs.emit(upsert())
    node.rounds(4)
    assert node.applier.refused
    assert unready(node.loop, node.applier, Reports()) == "", "one value that a kernel lacks stops no update"


def test_an_agent_with_nothing_to_limit_is_ready(node):
    node.specs.emit(upsert(NodeColocationSpec()))
    node.rounds()
    assert unready(node.loop, node.applier, Reports()) == ""


def test_its_own_cost_is_in_the_metrics(node):
    """CPU and memory of this very process, as /proc has them."""
    server = serve("127.0.0.1:0", node.loop, node.sampler, node.applier, None)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        before = sum(os.times()[:2])
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        rows = dict(line.split(" ") for line in text.splitlines() if line.startswith("process_"))
        assert before - 0.1 <= float(rows["process_cpu_seconds_total"]) <= sum(os.times()[:2]) + 0.1
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert float(rows["process_resident_memory_bytes"]) == pytest.approx(resident, rel=0.2)
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "127.0.0.1:x"])
def test_a_bad_address(node, address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        serve(address, node.loop, node.sampler, node.applier, None)


def test_an_agent_that_finds_none_of_the_pods_that_run_here_is_not_ready_from_its_start_on(node):
    node.specs.emit(upsert(running(BePod(uid="ghost"), BePod(uid="other"))))
    node.rounds()
    assert unready(node.loop, node.applier, Reports()) == "none of the 2 best-effort pods that run here is found"
    node.specs.emit(upsert(running(BePod(uid="ghost"), *SPEC.pods)))
    node.rounds(60)
    assert enforced(node)[1] == "PodsNotFound"
    assert unready(node.loop, node.applier, Reports()) == "", "one pod that is not found stops no update"


def test_an_agent_that_found_pods_before_is_ready_until_none_was_found_for_half_a_minute(node):
    node.specs.emit(upsert(running(*SPEC.pods)))
    node.rounds()
    node.specs.emit(upsert(running(BePod(uid="ghost"))))
    node.rounds(29)
    assert unready(node.loop, node.applier, Reports()) == "", "status and group do not come together"
    node.rounds(3)
    assert "none of the 1" in unready(node.loop, node.applier, Reports())
    node.specs.emit(upsert(running()))
    node.rounds(1)
    assert unready(node.loop, node.applier, Reports()) == "", "nothing is to be limited"
