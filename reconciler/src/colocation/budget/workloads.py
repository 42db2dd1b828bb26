"""What the pods of each workload need, as their nodes report it: a new pod of a known workload need not be unknown.

A pod's history begins with the pod, so that each new pod of a Deployment counts with its request until it has been
observed for long enough. Its workload's running pods have been: the largest of their predicted peaks is used instead.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from colocation.budget.sums import LEARN, Peaks, Resource
from colocation.model.report import PodUsage

KEPT_SECONDS: Final = 1800.0
"""A peak counts for this long after it was last reported, and for at most twice as long."""
NO_PEAKS: Final = Peaks()


class Workloads(Struct):
    """Peaks by workload: of the last half hour, and of the one before."""

    now: dict[str, Peaks] = {}
    before: dict[str, Peaks] = {}
    turned: float | None = None

    def saw(self, workload: str, row: PodUsage, now: float) -> None:
        """Take what a pod of this workload is reported to need, once it has been observed for long enough."""
        seen = row.predicted
        if seen is None or not workload or seen.observed_seconds < LEARN[Resource.CPU]:
            return
        if self.turned is None or now - self.turned >= KEPT_SECONDS:
            self.now, self.before, self.turned = {}, self.now, now
        memory = seen.memory if seen.observed_seconds >= LEARN[Resource.MEMORY] else 0
        known = self.now.get(workload, NO_PEAKS)
        if seen.cpu > known.cpu or memory > known.memory:
            self.now[workload] = Peaks(max(seen.cpu, known.cpu), max(memory, known.memory))

    def get(self, workload: str) -> Peaks | None:
        """The largest peaks of its pods; None: none of them has been observed for long enough."""
        now, before = self.now.get(workload), self.before.get(workload)
        if now is None or before is None:
            return now or before
        return Peaks(max(now.cpu, before.cpu), max(now.memory, before.memory))
