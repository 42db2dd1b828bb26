# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Prometheus: answers `colocation assess` with the same few series for all nodes and pods.

A process of its own, so that its time is not the command's. It is no Prometheus: what is measured against it is the
command alone.
"""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from tests.bench import made
from tests.lab.apiserver import free_ports
from tests.lab.waiting import eventually

SHAPES = 16


class StandIn:
    """The process."""

    def __init__(self, nodes: int, pods_each: int) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._argv = [sys.executable, "-m", "tests.bench.standin", str(self.port), str(nodes), str(pods_each)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(["setpriv", "--pdeathsig", "SIGKILL", *self._argv])
        eventually(self.bytes_sent_or_none, 60, "the stand-in answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def bytes_sent(self) -> int:
        with urllib.request.urlopen(f"{self.url}/sent", timeout=10) as answer:
            return int(answer.read())

    def bytes_sent_or_none(self) -> bool:
        try:
            return self.bytes_sent() >= 0
        except OSError:
            return False


class Handler(BaseHTTPRequestHandler):
    """One query."""

    protocol_version = "HTTP/1.1"
    nodes: list[str]
    pods_each: int
    sent = 0
    bodies: ClassVar[dict[tuple[int, int, int, bool], list[bytes]]] = {}

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/sent":
            return self._answer(str(Handler.sent).encode())
        asked = {key: value[0] for key, value in parse_qs(url.query).items()}
        body = answer(asked, self.nodes, self.pods_each)
        Handler.sent += len(body)
        return self._answer(body)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def answer(asked: dict[str, str], nodes: list[str], pods_each: int) -> bytes:
    """What Prometheus would say, by the form of the query."""
    query = asked["query"]
    if query == "time()":
        return json.dumps({"status": "success", "data": {"result": [time.time(), str(time.time())]}}).encode()
    if query.startswith("group by"):
        return vector([{"node": name} for name in nodes], "1")
    if "start" not in asked:
        value = "60" if "count_over_time" in query else "1"
        empty = "sum_rate5m" in query or "kube_pod" in query
        return vector([] if empty else [{}], value)
    start, end, every = (int(asked[key]) for key in ("start", "end", "step"))
    memory = "memory" in query
    values = shapes(start, end, every, memory=memory)
    found = re.search(r'node=~"([^"]*)"', query)
    if found is None:
        return matrix([(b"{}", values[0])])
    names = found[1].replace("\\", "").split("|")
    if every == 300:
        scale = 0 if 'id="/"' in query else 1
        return matrix(
            [
                (json.dumps({"node": n}).encode(), values[SHAPES // 2 * (1 - scale) + at % 8])
                for at, n in enumerate(names)
            ]
        )
    rows = []
    for name in names:
        for pod in range(pods_each):
            labels = {"node": name, "namespace": "default", "pod": f"workload-{name[-5:]}-{pod:03d}"}
            rows.append((json.dumps(labels).encode(), values[pod % 8]))
    return matrix(rows)


def shapes(start: int, end: int, every: int, *, memory: bool) -> list[bytes]:
    """Series, ready to be sent: nodes' pods or pods in the first half, whole nodes in the second."""
    key = (start, end, every, memory)
    if key not in Handler.bodies:
        dice, answer = random.Random(1), []
        for number in range(SHAPES):
            pods = 30 if every == 300 else 1
            level = (0.2 if not memory else 1.5e9) * pods * (1.2 if number >= SHAPES // 2 else 1)
            points = []
            for at in range(start, end + 1, every):
                wave = 1 + 0.3 * math.sin(at / 13751 + number % 8) + dice.gauss(0, 0.03)
                points.append(f'[{at},"{level * wave:.4f}"]' if not memory else f'[{at},"{level * wave:.0f}"]')
            answer.append(f"[{','.join(points)}]".encode())
        Handler.bodies[key] = answer
    return Handler.bodies[key]


def matrix(rows: list[tuple[bytes, bytes]]) -> bytes:
    series = b",".join(b'{"metric":' + labels + b',"values":' + values + b"}" for labels, values in rows)
    return b'{"status":"success","data":{"resultType":"matrix","result":[' + series + b"]}}"


def vector(labels: list[dict[str, str]], value: str) -> bytes:
    now = time.time()
    result = [{"metric": one, "value": [now, value]} for one in labels]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


if __name__ == "__main__":
    Handler.nodes = [made.node_name(n) for n in range(int(sys.argv[2]))]
    Handler.pods_each = int(sys.argv[3])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
