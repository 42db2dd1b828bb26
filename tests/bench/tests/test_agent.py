# SPDX-License-Identifier: Apache-2.0
"""What the agent's bench makes of its measurements: pairs, intervals, reactions; and an open loop that is one."""

import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from msgspec import json as wire

from tests.bench.agent import load
from tests.bench.agent.interference import ALONE, ARMS, OTHERS_MOST, Row
from tests.bench.agent.reaction import judge
from tests.bench.agent.report import Pairs, interference, table
from tests.bench.agent.statistics import interval
from tests.bench.figures import figure
from tests.lab.config import CLONE


def row(block: int, arm: str, p99: float, others: float = 0.1, machine: float = 1.9, batch: float = 1.2) -> Row:
    return Row(
        block=block, arm=arm, p50=1, p90=2, p99=p99, p999=9, most=10, requests=100, late=0.1,
        machine=machine, node=1, batch=batch, online=0.4, others=others, stolen=0.01,
    )  # fmt: skip


def block(number: int, *, others: float = 0.1) -> list[Row]:
    arms = [row(number, arm, 20.0 + n) for n, arm in enumerate(ARMS)]
    first, last = row(number, ALONE, 8, machine=0.6), row(number, ALONE, 12, others=others, machine=0.6)
    return [first, *arms, last]


def test_an_arm_stands_against_the_mean_of_the_two_runs_alone_of_its_block() -> None:
    pairs = Pairs(block(0) + block(1))
    assert pairs.ratios("no protection") == [2.0, 2.0]
    assert pairs.noise() == [1.5, 1.5]
    assert pairs.idle_used("idle and quota") == pytest.approx([100 * 1.2 / 1.4] * 2)


def test_a_block_with_a_disturbed_run_is_left_out_and_counted() -> None:
    pairs = Pairs(block(0) + block(1, others=OTHERS_MOST + 0.01))
    assert (pairs.count, pairs.left_out) == (1, 1)


def test_every_arm_stands_in_the_table_and_among_the_figures() -> None:
    pairs = Pairs(block(0))
    assert all(f"| {arm} |" in table(pairs) for arm in (ALONE, *ARMS))
    figures = {each.name: each for each in interference(pairs)}
    assert figures["p99-both"].met is False
    assert figures["batch-both"].met is True


def test_at_least_is_a_goal_too() -> None:
    missed = figure("x", 80, "%", least=85)
    assert (missed.goal, missed.met) == (">= 85 %", False)
    assert missed.part_of_goal == pytest.approx(85 / 80)


def test_the_interval_of_a_median_holds_it_and_narrows_with_more_of_the_same() -> None:
    low, high = interval([1.0, 1.1, 1.2, 1.3, 2.0])
    assert low <= 1.2 <= high
    again, more = interval([1.0, 1.1, 1.2, 1.3, 2.0] * 20)
    assert more - again < high - low


def test_a_reaction_is_told_from_the_first_step_and_from_the_whole_fall() -> None:
    result = judge(1000, [(0.1, 1000), (0.4, 800), (0.9, 520), (1.4, 500)])
    assert (result.first, result.whole, result.after) == (0.4, 0.9, 500)


def test_quotas_that_never_fall_are_no_reaction() -> None:
    result = judge(1000, [(0.1, 1000), (2.0, 990)])
    assert result.first == result.whole == float("inf")


@pytest.fixture
def stalled() -> Iterator[int]:
    """A service that answers nothing for half a second after its first request, then everything at once."""
    opened: list[float] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for _ in self.rfile:
                opened.append(time.monotonic())
                time.sleep(max(0.0, opened[0] + 0.5 - time.monotonic()))
                self.wfile.write(b"ok\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_stalled_service_is_not_flattered_by_requests_that_were_never_sent(stalled: int) -> None:
    arguments = wire.encode(["127.0.0.1", stalled, 200, 0.6, 1]).decode()
    argv = [sys.executable, "-m", "tests.bench.agent.load", arguments]
    done = subprocess.run(argv, cwd=CLONE, input=b"go\n", capture_output=True, timeout=60, check=True)
    result = wire.decode(done.stdout.removeprefix(b"ready\n"), type=load.Answered)
    # More were due in the stall than there are connections, and all of them waited for it.
    assert sum(each > 100 for each in result.latencies) > 2 * load.CONNECTIONS
