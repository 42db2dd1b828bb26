# SPDX-License-Identifier: Apache-2.0
"""The console with 10,000 nodes and 50 people who look, before a real API server.

The manager is NOT a real one: it answers `/v1/report` with rows that were made, each time with other ages and uses, so
that its own cost is not in these figures (see manager.md for it), and counts how often it is asked.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from build import npm
from colocation.cli.grant import bindings
from colocation.kube.login import kubeconfig
from colocation.kube.resources import ACCOUNTS
from colocation.kube.rest import Rest
from colocation.model.answers import Amounts, Report, Row
from colocation.serving import Answer, Limits, Request, Route, Server
from tests.bench import console_pages
from tests.bench.figures import Figure, figure, percentile
from tests.bench.figures import Report as Bench
from tests.bench.process import ended_too, resident_mib
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.progress import say, step
from tests.lab.waiting import eventually

NODES, VIEWERS, SECONDS, TIMES = 10_000, 50, 60.0, 20
NAMESPACE = "openfuyao-colocation"
GROUP = "colocation.openfuyao.com"

FILTERED = "/api/v1/nodes?q=0042&state=open&sort=cpu.gain&order=desc"
CHART = Path(__file__).parents[2] / "charts/colocation-package/templates"
MB = 2**20 / 1e6
GI = 2**30


class Made:
    """NOT a manager: rows that were made, some of them different each time."""

    def __init__(self) -> None:
        self.asked = self.turn = 0
        report = Route(path="/v1/report", handle=self._report)
        self.server = Server("127.0.0.1", 0, [report], limits=Limits(answer_seconds=30))
        self.server.start()

    def _report(self, _request: Request) -> Answer:
        self.asked += 1
        self.turn += 1
        rows = tuple(_row(number, self.turn if number % 20 == self.turn % 20 else 0) for number in range(NODES))
        return Answer(200, msgspec.json.encode(Report(nodes=rows, leader=True, holder="made")), "application/json")


def _row(number: int, shift: int) -> Row:
    used = 20_000 + (number * 37 + shift * 400) % 30_000

    def amounts(unit: int) -> Amounts:
        return Amounts(
            capacity=64_000 * unit,
            online_requested=45_000 * unit,
            used=used * unit,
            published=(48_000 - used) * unit,
            allocated=6_000 * unit,
            used_by_be=4_000 * unit,
        )

    return Row(
        node=f"node-{number:05d}",
        policy=f"policy-{number % 4}",
        open=number % 10 != 0,
        withdrawn="no report for 180 s: the agent is silent" if number % 100 == 0 else None,
        withdrawal="StaleReport" if number % 100 == 0 else None,
        report_age_seconds=float(number % 60),
        online_pods=20,
        be_pods=6,
        cpu=amounts(1),
        memory=amounts(4 * 2**20),
        reason=f"cpu: {48_000 - used:,}m of 64,000m left beside online use {used:,}m; memory: 90Gi of 256Gi left",
        pressure_cpu=number % 40 / 1.5,
        pressure_memory=0.5,
        throttled_pods=number % 3,
        cpu_quota=2_000 + number % 8_000,
        engine="quota",
        kernel="6.6.0-72.0.0.76.oe2403",
        cgroup_version=2,
    )


class Running:
    """A console as a process, and tokens of as many readers."""

    def __init__(self, folder: Path, api: ApiServer, manager: Made) -> None:
        self.port, token = free_ports(1)[0], folder / "token"
        token.write_text("made")
        argv = [sys.executable, "-m", "colocation", "console", f"--api-server={api.url}", f"--api-ca={api.ca_cert}"]
        argv += [f"--listen=127.0.0.1:{self.port}", "--probes=127.0.0.1:0", f"--manager-token={token}"]
        argv += [f"--manager=http://127.0.0.1:{manager.server.port}", "--log-format=text"]
        with (folder / "console.log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        self.tokens = _tokens(api)
        eventually(lambda: self.ask("/api/v1/nodes")[0] == 200, 60, "the console answers")

    def ask(self, path: str, token: str = "") -> tuple[int, int, float]:
        """Code, bytes and seconds of one answer."""
        one = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        began = time.perf_counter()
        with contextlib.closing(one):
            one.request("GET", path, headers={"Authorization": f"Bearer {token or self.tokens[0]}"})
            answer = one.getresponse()
            size = len(answer.read())
        return answer.status, size, time.perf_counter() - began

    def page(self, name: str, path: str, most: float, note: str) -> list[Figure]:
        """Of one page: median time, and the CPU that the console takes for it."""
        before = ended_too(self.process.pid)
        taken = self.milliseconds(path)
        cpu = (ended_too(self.process.pid) - before) / TIMES * 1000
        load = f" Load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores."
        return [
            figure(f"page-{name}", taken, "ms", most=most, note=f"{note} Median.{load}"),
            figure(f"page-{name}-cpu", cpu, "ms", most=most, note="CPU of the console, mean."),
        ]

    def milliseconds(self, path: str) -> float:
        """Median, from the first byte sent to the last one read."""
        taken = []
        for _ in range(TIMES):
            code, _, seconds = self.ask(path)
            assert code == 200, (path, code)
            taken.append(seconds)
        return percentile(taken, 50) * 1000


def run(*, full: bool) -> Bench:
    """Every figure of the console's server; ``full`` changes nothing: it is 10,000 nodes anyway."""
    del full
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-console-") as folder:
        with step("API server"):
            api = ApiServer(Path(folder) / "api")
        with api:
            _rights(api)
            manager = Made()
            npm.place()
            with step(f"console with {NODES:,} nodes"):
                console = Running(Path(folder), api, manager)
            try:
                figures += _alone(console)
                figures += console_pages.figures(f"http://127.0.0.1:{console.port}", console.tokens[0])
                figures += _watched(console, manager)
            finally:
                console.process.terminate()
                console.process.wait(20)
                manager.server.stop()
    words = (
        f"{NODES:,} nodes whose rows were made, {VIEWERS} people with a token and an open stream of events each, a "
        "real API server; console, API server and bench share the cores. The report is decoded, counted, kept and "
        "compared once in ten seconds. Pages in a browser: Debian's Chromium, headless, on the same cores."
    )
    return Bench("Console", words, figures)


def _alone(console: Running) -> list[Figure]:
    with step("answers, one after another"):
        return [
            *console.page("overview", "/", 150, "The whole page."),
            *console.page("nodes", "/nodes", 60, "The first 50 of all, as HTML."),
            figure("summary", console.milliseconds("/api/v1/summary"), "ms", note="The sums as JSON."),
            figure("nodes", console.milliseconds("/api/v1/nodes?limit=50"), "ms", note="50 of all, as JSON."),
            figure(
                "nodes-filtered", console.milliseconds(FILTERED), "ms",
                note="Filtered by name and state, sorted by gain.",
            ),
            figure("csv", console.milliseconds("/api/v1/nodes.csv"), "ms", note="All of them as CSV."),
            figure("series", console.milliseconds("/api/v1/series?chart=cpu"), "ms", note="A chart from memory."),
            figure("resident", resident_mib(console.process.pid) * MB, "MB", most=160,
                   note="With all rows, and the memory of six hours of each node."),
        ]  # fmt: skip


def _watched(console: Running, manager: Made) -> list[Figure]:
    with step(f"{VIEWERS} people look for {SECONDS:.0f} s"), _streams(console) as heard:
        time.sleep(12)  # what begins a stream is not what it costs
        before, asked, began = ended_too(console.process.pid), manager.asked, time.monotonic()
        time.sleep(SECONDS)
        lasted = time.monotonic() - began
        cpu = (ended_too(console.process.pid) - before) / lasted
        questions = (manager.asked - asked) / lasted * 10
        resident = resident_mib(console.process.pid) * MB
        messages = sum(heard)
        say(f"{messages} lines heard")
        assert messages > VIEWERS
    return [
        figure("cpu-watched", cpu * 100, "% of a core", most=5, note="The reports included, one each ten seconds."),
        figure("manager-asked", questions, "in 10 s", most=1.1, note="Whoever looks."),
        figure("resident-watched", resident, "MB", most=200, note=f"With {VIEWERS} streams open."),
    ]


@contextlib.contextmanager
def _streams(console: Running) -> Iterator[list[int]]:
    """One for each person; how many lines each heard."""
    heard = [0] * VIEWERS
    open_ones: list[http.client.HTTPConnection] = []

    def listen(number: int, answer: http.client.HTTPResponse) -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            while answer.readline():
                heard[number] += 1

    for number, token in enumerate(console.tokens):
        one = http.client.HTTPConnection("127.0.0.1", console.port, timeout=120)
        one.request("GET", "/api/v1/stream", headers={"Authorization": f"Bearer {token}"})
        answer = one.getresponse()
        assert answer.status == 200, answer.read()
        open_ones.append(one)
        threading.Thread(target=listen, args=(number, answer), daemon=True).start()
    try:
        yield heard
    finally:
        for one in open_ones:
            if one.sock is not None:
                one.sock.shutdown(2)
            one.close()


def _rights(api: ApiServer) -> None:
    for path in sorted((CHART / "crds").glob("*.yaml")):
        lines = [line for line in path.read_text().splitlines() if "{{" not in line]
        api.kubectl("apply", "-f", "-", stdin="\n".join(lines))
    api.kubectl("create", "namespace", NAMESPACE)
    for name in ("colocation-reader", "viewer"):
        api.kubectl("create", "serviceaccount", name, f"--namespace={NAMESPACE}")
    made = bindings("reader", f"system:serviceaccount:{NAMESPACE}:viewer", NAMESPACE)
    roles = [
        _role("ClusterRole", "colocation-view", "", GROUP, ["colocationpolicies"], ["get", "list"]),
        _role("Role", "colocation-explain", NAMESPACE, "", ["serviceaccounts/token"], ["create"]),
        _role("Role", "colocation-events", "default", "events.k8s.io", ["events"], ["list"]),
    ]
    api.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([*roles, *made]))


def _role(kind: str, name: str, namespace: str, group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    rule: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta, "rules": [rule]}


def _tokens(api: ApiServer) -> list[str]:
    """Fifty of one account: to the console they are fifty people."""
    rest = Rest(kubeconfig(str(api.kubeconfig)))
    path = ACCOUNTS.path("viewer", namespace=NAMESPACE, sub="token")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    found = []
    for number in range(VIEWERS):
        spec = {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600 + number}
        found.append(str(json.loads(rest.create(path, {**body, "spec": spec}))["status"]["token"]))
    assert len(set(found)) == VIEWERS
    return found
