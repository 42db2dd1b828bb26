"""The command line: help that teaches, errors that say what to do, tables."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from colocation import budget, cli
from colocation.budget import Candidate, ReportView, Windows
from colocation.cli import common, explain
from colocation.cli.common import table
from colocation.kube.rest import ApiError
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import Oversell, OversellCpu, OversellMemory, PolicySpec
from colocation.model.report import NodeColocationStatus, PodUsage, Usage

GI = 2**30


def explanation(*, label: bool = True) -> dict[str, Any]:
    """What a manager would answer, made by the real budget."""
    labels = {"node.openfuyao.com/colocation": "true"} if label else {}
    node = NodeFacts("worker-1", "u", "1", labels, 10000, 9000, 100 * GI, 90 * GI)
    oversell = Oversell(cpu=OversellCpu(strategy="usage"), memory=OversellMemory(strategy="usage"))
    selection = budget.select_policy([Candidate("default", 3, PolicySpec(oversell=oversell))], labels)
    usage = Usage(cpu=800, memory=3 * GI)
    rows = (PodUsage(uid="a", cpu=500, cpu_peak=900, memory=GI, memory_peak=GI),)
    status = NodeColocationStatus(observed_at="2026-11-21T00:00:00Z", node=usage, system=usage, pods=rows)
    report = ReportView(status, None, 90.0, since_start=True)
    pods = [PodFacts("a", "a", "default/web", "worker-1", Qos.LS, True, 1000, GI)]
    windows = Windows()
    sums = budget.add_up(pods, report.status, budget.strategies(selection, report.status))
    made = budget.evaluate(node, selection, report, sums, windows, 100.0)
    result = budget.explain(node, selection, report, pods, made, windows, 100.0)
    return dict(json.loads(msgspec.json.encode(result)), leader=True)


Manager = tuple[str, dict[str, tuple[int, bytes]]]
MINT = "/api/v1/namespaces/openfuyao-colocation/serviceaccounts/colocation-reader/token"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """NOT a manager, nor an API server: answers what a test has put there; to those with a proof, which it mints."""
    answers: dict[str, tuple[int, bytes]] = {MINT: (201, b'{"status": {"token": "a.b.c"}}')}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["spec"] == {"audiences": ["colocation"], "expirationSeconds": 600}
            self._answer()

        def do_GET(self) -> None:
            assert self.headers["X-Colocation-Token"] == "a.b.c"
            assert "Authorization" not in self.headers, "what is sent to --manager is the proof and nothing else"
            self._answer()

        def _answer(self) -> None:
            code, body = answers.get(self.path, (404, b'{"error": "no node here"}'))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    named = {
        "name": "x",
        "cluster": {"server": url},
        "user": {"token": "mine"},
        "context": {"cluster": "x", "user": "x"},
    }
    config = {"clusters": [named], "users": [named], "contexts": [named], "current-context": "x"}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    # Where the Kubernetes client found it when it was imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield url, answers
    server.shutdown()
    server.server_close()


def test_explain_adds_up_in_the_table() -> None:
    result = explanation()
    text = explain.render(result)
    for words in ("worker-1", "default (generation 3)", "kubernetes.io/be-cpu", "default/web", "10 s old"):
        assert words in text
    # 10,000 - 4,000 - 1,000 (reserved is more than measured) - 500
    assert "4,500m" in text
    assert "the largest of: measured 800m outside pods; reserved 1,000m" in text


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_explain_for_programs_is_what_the_manager_said(
    form: str, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    url, answers = manager
    answers["/v1/explain/worker-1"] = (200, json.dumps(explanation()).encode())
    assert cli.main(["explain", "worker-1", "-o", form, "--manager", url]) == 0
    given = capsys.readouterr().out
    assert (json.loads(given) if form == "json" else yaml.safe_load(given)) == explanation()


def test_an_unlabelled_node_is_told_how_to_take_part() -> None:
    assert "kubectl label node worker-1 node.openfuyao.com/colocation=true" in explain.render(explanation(label=False))


def test_a_node_that_is_not_there(manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
    url, _ = manager
    assert cli.main(["explain", "nobody", "--manager", url]) == 1
    assert capsys.readouterr().err == "colocation: no node here\n"


def test_nobody_listens(manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--manager", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1 does not answer" in capsys.readouterr().err


def test_an_empty_cluster_is_told_how_to_begin(manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
    url, answers = manager
    answers["/v1/report"] = (200, b'{"nodes": []}')
    assert cli.main(["report", "--manager", url]) == 0
    assert "kubectl label node" in capsys.readouterr().out


AMOUNTS = {
    "capacity": 10000,
    "onlineRequested": 4000,
    "used": None,
    "published": 3000,
    "allocated": 500,
    "usedByBe": 700,
}
ROW = {
    "node": "n",
    "policy": "p",
    "cpu": AMOUNTS,
    "memory": AMOUNTS,
    "bePods": 2,
    "open": True,
    "reportAgeSeconds": 3.2,
    "reason": "why",
}


def test_a_report_has_all_columns_and_sums(manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
    url, answers = manager
    answers["/v1/report"] = (200, json.dumps({"nodes": [ROW, {**ROW, "node": "m", "reportAgeSeconds": None}]}).encode())
    assert cli.main(["report", "--manager", url]) == 0
    head, _, _, _, _, cpu, memory = capsys.readouterr().out.splitlines()
    assert head.split()[5:] == [
        "RESOURCE", "CAPACITY", "REQUESTED", "USED", "PUBLISHED", "ALLOCATED", "BE-USED", "GAIN", "WHY",
    ]  # fmt: skip
    assert cpu.split() == [
        "all", "2/2", "4", "cpu", "20,000m", "8,000m", "-", "6,000m", "1,000m", "1,400m", "7.0%",
    ]  # fmt: skip
    assert memory.split()[0] == "memory"


def test_a_report_as_csv_is_exact(manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
    url, answers = manager
    answers["/v1/report"] = (200, json.dumps({"nodes": [ROW]}).encode())
    assert cli.main(["report", "-o", "csv", "--manager", url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "node,policy,open,age,be_pods,resource,capacity,requested,used,published,allocated,be_used,gain,why",
        "n,p,True,3.2,2,cpu,10000,4000,,3000,500,700,7.0,why",
        "n,p,True,3.2,2,memory,10000,4000,,3000,500,700,7.0,why",
    ]


def test_a_report_that_is_watched_goes_on_through_an_outage_until_ctrl_c(
    manager: Manager,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, answers = manager
    answers["/v1/report"] = (200, json.dumps({"nodes": [ROW]}).encode())
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        answers["/v1/report"] = (503, b'{"error": "away"}') if len(waits) == 1 else (200, b'{"nodes": []}')
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("colocation.cli.report.time.sleep", wait)
    assert cli.main(["report", "--watch", "--manager", url]) == 130
    given = capsys.readouterr().out
    assert waits == [5.0] * 3
    assert given.index("10,000m") < given.index("colocation: away") < given.index("No node takes part")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ApiError(404, "NotFound", 'services "colocation-manager" not found'), "no manager in namespace ns"),
        (ApiError(503, "ServiceUnavailable", "no endpoints available for service"), "get pods"),
        (ApiError(403, "Forbidden", "nope"), "services/proxy"),
        (ApiError(0, "Unreachable", "refused"), "the API server does not answer"),
        (ApiError(500, "InternalError", "boom"), "boom"),
    ],
)
def test_refusals_say_what_to_do(error: ApiError, words: str) -> None:
    args = argparse.Namespace(namespace="ns", manager=None)
    assert words in common._remedy(error, args)


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (
            404,
            b'{"message": "serviceaccounts \\"colocation-reader\\" not found"}',
            "no manager in namespace openfuyao-colocation",
        ),
        (403, b'{"message": "nope"}', "Role colocation-explain in openfuyao-colocation"),
        (500, b'{"message": "boom"}', "boom"),
        (200, b"<html>", "not from an API server"),
    ],
)
def test_who_gets_no_proof_is_told_what_to_do(
    code: int, body: bytes, words: str, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    url, answers = manager
    answers[MINT] = (code, body)
    assert cli.main(["report", "--manager", url]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_no_command_is_an_error_that_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_a_listen_address_with_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["manager", "--listen", "x:http", "--log-level", "error"]) == 1
    assert "not HOST:PORT" in capsys.readouterr().err


def test_the_agent_does_not_load_what_only_others_need() -> None:
    sources = Path(cli.__file__).parents[2]
    code = (
        "import sys, colocation.cli.agent; print([m for m in sys.modules if m in ('kubernetes', 'colocation.manager')])"
    )
    given = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(sources)}, capture_output=True, check=True
    )
    assert given.stdout.strip() == b"[]"


@pytest.mark.parametrize("command", ["manager", "agent", "rubik"])
def test_what_runs_on_every_cluster_loads_nothing_of_the_console(command: str) -> None:
    sources = Path(cli.__file__).parents[2]
    wanted = "[m for m in sys.modules if m.startswith(('colocation.console', 'jinja2', 'markupsafe'))]"
    code = f"import sys, colocation.cli.{command}; print({wanted})"
    given = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(sources)}, capture_output=True, check=True
    )
    assert given.stdout.strip() == b"[]"


def test_columns_line_up() -> None:
    assert table([["a", "bb"], ["ccc", "d"]], frozenset({1})) == "a    bb\nccc   d\n"
