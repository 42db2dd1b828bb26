# SPDX-License-Identifier: Apache-2.0
"""The webhook at its socket: 200 recorded reviews a second by TLS, the server alone on one core.

``files/reviews.jsonl`` is what a real API server 1.36 asked about six kinds of pods. A request is due at a fixed time,
whether or not those before it were answered; its latency counts from then: a stall shows in all that it held up.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from colocation.admission import Settings
from colocation.webhook import certificates, server
from colocation.webhook.kept import StoredCertificates
from colocation.webhook.main import SWITCH_SECONDS
from tests.bench.figures import Figure, Report, figure, percentile
from tests.bench.process import ended_too, resident_mib
from tests.lab.progress import step

REVIEWS = Path(__file__).parent / "files/reviews.jsonl"
RATE = 200
SECONDS = 20
BUSY_SECONDS = 5
CONNECTIONS = 8
NAME = "localhost"


def run(*, full: bool) -> Report:
    """Latency with a floor, latency while the manager computes, cost; there is only one size."""
    with alone():
        return _run()


@contextmanager
def alone() -> Iterator[None]:
    """The server's core is its own: we ask from the others, and both go before whatever else this machine does."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {0} or cores)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, cores)


def _run() -> Report:
    with step("floor: the same server answers without looking"), serving("bare") as (process, port, trust):
        floor = load(port, trust)
    with step(f"{RATE} reviews a second"), serving("idle") as (process, port, trust):
        before = ended_too(process.pid)
        took = load(port, trust)
        spent = 1000 * (ended_too(process.pid) - before) / len(took)
        resident = resident_mib(process.pid)
        began = time.perf_counter()
        for _ in range(20):
            _connect(port, trust).close()
        greeting = 1000 * (time.perf_counter() - began) / 20
    with step("the same while another thread computes without a pause"), serving("busy") as (_, port, trust):
        busy = load(port, trust, BUSY_SECONDS)
    note = (
        f"{len(took)} reviews in {SECONDS} s over {CONNECTIONS} connections; "
        "the floor: the same server and bytes, without a decision."
    )
    figures: list[Figure] = [
        figure("review-p50", percentile(took, 50), "ms", floor=percentile(floor, 50), note=note),
        figure("review-p99", percentile(took, 99), "ms", floor=percentile(floor, 99), most=5, note=note),
        figure("review-max", max(took), "ms", floor=max(floor)),
        figure("review-cpu", spent, "ms", note="CPU time of the server for one review, TLS and HTTP included."),
        figure("review-p99-busy", percentile(busy, 99), "ms", floor=percentile(took, 99),
               note="While a thread of the same process computes without a pause on the same core, as the manager's "
                    "does for a moment when all nodes are decided anew. The floor: the figure without it. "
                    "Not in real time, so whatever else the machine did counts too."),
        figure("connect", greeting, "ms", note="A new connection with its handshake; the API server keeps its own."),
        figure("resident", resident, "MiB", note="The webhook alone, without the manager around it."),
    ]  # fmt: skip
    words = (
        f"The webhook by itself on one core, asked what a real API server asked ({REVIEWS.name}); both in real "
        "time (SCHED_FIFO), so that it is about them and not about what else the machine does."
    )
    return Report("Admission", words, figures)


@contextmanager
def serving(kind: str) -> Iterator[tuple[subprocess.Popen[str], int, ssl.SSLContext]]:
    """A server as a process on one core; how to reach and to trust it."""
    kept = certificates.renewed(StoredCertificates(), [NAME], datetime.now(UTC))
    argv = ["taskset", "-c", "0", sys.executable, "-m", "tests.bench.admission", kind]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("unreachable: both are pipes")
    process.stdin.write(json.dumps([kept.certificate.decode(), kept.key.decode()]) + "\n")
    process.stdin.flush()
    try:
        port = int(process.stdout.readline())
        yield process, port, ssl.create_default_context(cadata=kept.authorities.decode())
    finally:
        process.terminate()
        process.wait(10)


def load(port: int, trust: ssl.SSLContext, seconds: int = SECONDS) -> list[float]:
    """Ask at the rate; milliseconds from when each question was due to its whole answer, the first second left out."""
    rows = [json.loads(line) for line in REVIEWS.read_text().splitlines()]
    questions = [(row["path"], json.dumps(row["review"]).encode()) for row in rows]
    took: list[tuple[float, float]] = []
    begin = time.perf_counter() + 0.5

    def ask(first: int) -> None:
        connection = _connect(port, trust)
        for at in range(first, RATE * (seconds + 1), CONNECTIONS):
            due = begin + at / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            path, body = questions[at % len(questions)]
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            took.append((due - begin, 1000 * (time.perf_counter() - due)))
            if answer.status != 200 or b'"allowed":true' not in text:
                raise RuntimeError(f"{answer.status}: {text[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(took) != RATE * (seconds + 1):
        raise RuntimeError(f"{len(took)} of {RATE * (seconds + 1)} questions were answered")
    return [milliseconds for due, milliseconds in took if due >= 1]


def _connect(port: int, trust: ssl.SSLContext) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection(NAME, port, context=trust, timeout=10)
    connection.connect()
    return connection


def _serve(kind: str) -> None:
    """What `serving` starts."""
    sys.setswitchinterval(SWITCH_SECONDS)
    if kind == "bare":
        vars(server)["answer"] = lambda *_: b'{"response":{"uid":"x","allowed":true}}'
    certificate, key = json.loads(sys.stdin.readline())
    serving = server.serve("127.0.0.1", 0, Settings())
    serving.use(certificate.encode(), key.encode())
    serving.start()
    print(serving.port, flush=True)
    numbers: dict[int, Any] = {}
    if kind == "busy":  # a thread that never waits would have the core for ever
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    while kind == "busy":
        for number in range(1000):
            numbers[number] = numbers.get(number, number) + 1
    threading.Event().wait()


if __name__ == "__main__":
    _serve(sys.argv[1])
