"""The last line of defence, on the kernel's own cgroups: nobody evicts, memory runs out, offline work dies first."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
MIB = 1 << 20
OFFLINE, ONLINE = "kubepods/besteffort/podbe/c", "kubepods/podonline/c"
KUBELETS = {OFFLINE: 1000, ONLINE: 0}
"""oom_score_adj as kubelet sets it: 1000 for BestEffort, which every best-effort pod is; less for all others."""
_EAT = """
import sys
held = []
for line in sys.stdin:
    held.append(bytearray(b"x") * (int(line) << 20))
    print("eaten", flush=True)
"""


class Eater:
    """A process in a group that takes as much memory as it is told."""

    def __init__(self, real, group, adjusted):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _EAT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        Path(f"/proc/{self.process.pid}/oom_score_adj").write_text(str(adjusted))
        real.enter(group, self.process.pid)

    def eat(self, mib):
        """False: it was killed over it."""
        try:
            self.process.stdin.write(f"{mib}\n")
            self.process.stdin.flush()
            return self.process.stdout.readline() == "eaten\n"
        except BrokenPipeError:
            return False

    @property
    def alive(self):
        return self.process.poll() is None

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def run_out(real, adjusted):
    """Online work, by far the larger, needs more than there is; (offline lives, online lives)."""
    for group in (OFFLINE, ONLINE):
        real.make(group)
    name = "memory.max" if real.version == 2 else "memory.limit_in_bytes"
    (real.dir("memory", "kubepods") / name).write_text(str(200 * MIB))
    eaters = {group: Eater(real, group, adjusted[group]) for group in (OFFLINE, ONLINE)}
    try:
        assert eaters[OFFLINE].eat(50)
        assert eaters[ONLINE].eat(100)
        survived = eaters[ONLINE].eat(60)
        end = time.monotonic() + 5
        while all(eater.alive for eater in eaters.values()) and time.monotonic() < end:
            time.sleep(0.05)
        return eaters[OFFLINE].alive, eaters[ONLINE].alive and survived
    finally:
        for eater in eaters.values():
            eater.end()


@pytest.fixture(autouse=True)
def no_swap():
    if len(Path("/proc/swaps").read_text().splitlines()) > 1:
        pytest.skip("with swap, memory does not run out so soon")


def test_a_best_effort_process_dies_before_an_online_one_that_is_three_times_its_size(real):
    assert run_out(real, KUBELETS) == (False, True)


def test_without_that_order_the_kernel_would_have_killed_the_online_one(real):
    """What the test above would miss if it could not fail."""
    assert run_out(real, dict.fromkeys(KUBELETS, 0)) == (True, False)
