# SPDX-License-Identifier: Apache-2.0
"""A service and a batch Job on one node: what the service feels, by the way in which it is protected.

A block is every arm once, between two runs of the service alone: what comes and goes on the machine meets all of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tests.bench.agent import load, pods
from tests.bench.agent.node import NODE, BenchNode, freeze, read, stolen, thaw, used
from tests.bench.figures import percentile
from tests.lab.progress import say
from tests.lab.waiting import eventually

ARMS: Final = {
    "no protection": "off",
    "kubelet's defaults": "off",
    "idle only": "idle",
    "quota only": "quota",
    "idle and quota": "auto",
}
"""Arm -> suppress.cpu.mode. Without protection the batch work runs in pods like the service's own."""
ALONE: Final = "alone"
RATE: Final = 150.0
SECONDS: Final = 12.0
SETTLE: Final = 1.5
TRIES: Final = 3
QUIET_SECONDS: Final = 60
OTHERS_MOST: Final = 0.5
"""Cores that whatever is neither node nor generator may take in a run: the control plane takes a tenth of one."""
LATE_MOST: Final = 1.0
"""ms by which the generator's own requests may be late at p99: later, and it measured itself."""
PORT: Final = 8000


class Row(Struct):
    """One arm of one block. CPU in cores, latencies in ms."""

    block: int
    arm: str
    p50: float
    p90: float
    p99: float
    p999: float
    most: float
    requests: int
    late: float
    """p99 of how late the generator itself was."""
    machine: float
    node: float
    batch: float
    online: float
    others: float
    """Whatever is neither the node nor the generator: the control plane, and what else this machine did."""
    stolen: float
    """What the hypervisor kept from this machine while it had work to do: no scheduler of ours can give it back."""
    errors: int = 0
    """Lines of kubelet's log with an error in them."""

    @property
    def disturbed(self) -> bool:
        """Something else took the machine, or the generator could not keep its times."""
        return self.others > OTHERS_MOST or self.late > LATE_MOST


class Stage:
    """The pods on the node, and the arms."""

    def __init__(self, node: BenchNode) -> None:
        self._node = node
        image = node.image()
        service = pods.service(image)
        (self._online,) = node.run(service, selector="app=service", pods=1)
        self._plain = node.run(pods.batch("plain", image, be=False), selector="app=plain", pods=pods.BATCH)
        freeze(self._plain)
        self._be = node.run(pods.batch("batch", image, be=True), selector="app=batch", pods=pods.BATCH)
        freeze(self._be)
        address = "jsonpath={.status.podIP}"
        self._address = node.kubectl("get", "pod", "-n", pods.NAMESPACE, "service", "-o", address)

    def block(self, number: int) -> list[Row]:
        """Every arm once, in an order that moves from block to block, and the service alone before and after."""
        arms = list(ARMS)
        turned = arms[number % len(arms) :] + arms[: number % len(arms)]
        return [self.arm(number, arm) for arm in (ALONE, *turned, ALONE)]

    def arm(self, number: int, arm: str) -> Row:
        """One arm; again, at most twice, if something else was at work meanwhile."""
        if arm != ALONE:
            self._protect(ARMS[arm])
        for _ in range(TRIES):
            self._wait_for_quiet()
            row = self._run(number, arm)
            times = f"p50 {row.p50:6.2f}  p99 {row.p99:7.2f} ms  batch {row.batch:4.2f}"
            say(f"  {number} {arm:20} {times}  machine {row.machine:4.2f}  others {row.others:4.2f}")
            if not row.disturbed:
                break
        return row

    def _wait_for_quiet(self) -> None:
        """A moment in which nobody else is at work, if there is one within a minute."""
        for _ in range(QUIET_SECONDS):
            began, before = time.monotonic(), used() - used(self._node.lab.hub)
            time.sleep(1)
            if (used() - used(self._node.lab.hub) - before) / (time.monotonic() - began) < OTHERS_MOST * 1e9:
                return

    def _run(self, number: int, arm: str) -> Row:
        batch = [] if arm == ALONE else self._plain if arm == "no protection" else self._be
        wall = time.time()
        asked = load.Load(self._node.lab.hub, self._address, PORT, RATE, SECONDS, seed=number)
        with self._node.alone():
            thaw(batch)
            try:
                time.sleep(SETTLE)
                row = self._measure(number, arm, batch, asked)
            finally:
                freeze(batch)
        row.errors = sum(line.startswith("E") for line in self._node.kubelet_log(wall).splitlines())
        return row

    def _protect(self, mode: str) -> None:
        self._node.mode(mode)
        idle = "1" if mode in ("auto", "idle") else "0"
        eventually(lambda: all(read("cpu", group, "cpu.idle") == idle for group in self._be), 10, mode, 0.1)
        quota = mode in ("auto", "quota")
        eventually(
            lambda: all((self._quota(group) is not None) == quota for group in self._be) or mode == "idle",
            10,
            mode,
            0.1,
        )

    def _quota(self, group: str) -> int | None:
        quota = int(read("cpu", group, "cpu.cfs_quota_us"))
        return None if quota < 0 else quota

    def _measure(self, number: int, arm: str, batch: Sequence[str], asked: load.Load) -> Row:
        began, before, kept = time.monotonic(), self._use(batch), stolen()
        result = asked.run()
        seconds, after = (time.monotonic() - began) * 1e9, self._use(batch)
        kept = (stolen() - kept) / seconds
        machine, node, be, online = ((b - a) / seconds for a, b in zip(before, after, strict=True))
        ranked = result.latencies
        p50, p90, p99, p999 = (percentile(ranked, percent) for percent in (50, 90, 99, 99.9))
        return Row(
            block=number, arm=arm, p50=p50, p90=p90, p99=p99, p999=p999, most=max(ranked), requests=len(ranked),
            late=percentile(result.late, 99), machine=machine, node=node, batch=be, online=online,
            others=machine - node - result.cpu * 1e9 / seconds, stolen=kept,
        )  # fmt: skip

    def _use(self, batch: Sequence[str]) -> tuple[int, int, int, int]:
        return used(), used(f"{self._node.lab.hub}/{NODE}"), sum(used(group) for group in batch), used(self._online)
