# SPDX-License-Identifier: Apache-2.0
"""An open loop of requests: each is due at a time that no answer moves, and its latency counts from then.

It stands for clients on other machines, so it runs outside the node and in real time (SCHED_FIFO): no work on the node
keeps a request from being sent when it is due. How late it was all the same is told beside the latencies.
"""

from __future__ import annotations

import random
import select
import socket
import subprocess
import sys
import time
from collections import deque

from msgspec import Struct
from msgspec import json as wire

from tests.lab.config import CLONE
from tests.lab.network import in_netns

CONNECTIONS = 8


class Answered(Struct):
    """What one run saw: latencies in ms, each from when its request was due."""

    latencies: list[float]
    late: list[float]
    """How long after it was due each request was sent for our own fault, a connection being free."""
    cpu: float
    """CPU seconds of the generator itself."""
    seconds: float


class Load:
    """The generator as a process in a network namespace, started before what it is to disturb."""

    def __init__(self, netns: str, address: str, port: int, rate: float, seconds: float, seed: int) -> None:
        arguments = wire.encode([address, port, rate, seconds, seed]).decode()
        argv = in_netns(netns, ["chrt", "--fifo", "1", sys.executable, "-m", "tests.bench.agent.load", arguments])
        self._process = subprocess.Popen(argv, cwd=CLONE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdout is None or self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the generator did not start")

    def run(self) -> Answered:
        """Ask, and wait for the last answer."""
        result, _ = self._process.communicate(b"go\n")
        if self._process.returncode:
            raise RuntimeError(f"the generator ended with {self._process.returncode}")
        return wire.decode(result, type=Answered)


def ask(address: str, port: int, rate: float, seconds: float, seed: int) -> Answered:
    """Ask at times drawn at random with the given mean rate, the same ones for the same seed."""
    draw = random.Random(seed)
    due = []
    at = draw.expovariate(rate)
    while at < seconds:
        due.append(at)
        at += draw.expovariate(rate)
    connections = [socket.create_connection((address, port)) for _ in range(CONNECTIONS)]
    for each in connections:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    by_number = {each.fileno(): each for each in connections}
    free, asked = list(connections), dict[int, float]()
    latencies, late = [], []
    queue = deque[float]()
    coming = deque(due)
    cpu, start = time.process_time(), time.perf_counter() + 0.05
    while coming or queue or asked:
        now = time.perf_counter() - start
        while coming and coming[0] <= now:
            queue.append(coming.popleft())
            if len(queue) <= len(free):  # otherwise it waits for the service, not for us
                late.append(1000 * (now - queue[-1]))
        while queue and free:
            connection = free.pop()
            connection.send(b"go\n")
            asked[connection.fileno()] = queue.popleft()
        wait = coming[0] - (time.perf_counter() - start) if coming else 1.0
        # select, not epoll: it waits to the microsecond, the other to the millisecond.
        for number in select.select(by_number, [], [], max(0.0, wait))[0]:
            if not by_number[number].recv(64):
                raise RuntimeError("the service hung up")
            latencies.append(1000 * (time.perf_counter() - start - asked.pop(number)))
            free.append(by_number[number])
    return Answered(latencies, late, time.process_time() - cpu, time.perf_counter() - start)


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.buffer.write(wire.encode(ask(*wire.decode(sys.argv[1]))))
