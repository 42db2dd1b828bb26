"""Rules that tell a node's coming peak from its pods' use so far: ours, the peers', and the oracle's.

A rule sees one value a pod and step, and answers with one peak for each margin of its sweep. What a margin means is
the rule's own: a part of the node's size, of what it found, or a number of standard deviations.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from colocation.predict.forecast import Forecast
from colocation.predict.histogram import Histogram, Scale
from colocation.predict.margin import BUDGETS, Margin
from colocation.predict.peak import MARGIN_PERCENT
from colocation.predict.scores import PRIOR, Scores, quantile
from colocation.replay.shape import STEP_SECONDS

PARTS: Final = (-0.5, -0.4, -0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0)
"""A sweep for a margin that is a part of what was found."""
DAY: Final = round(24 * 3600 / STEP_SECONDS)
"""Steps."""


class ReplayedNode:
    """One node as the rules see it."""

    def __init__(self, pods: int, size: float, scale: Scale, percent: float, horizon: int = 12) -> None:
        """``size``: the sum of the requests; ``percent``: the percentile that the product takes of this resource."""
        self.pods, self.size, self.scale, self.percent, self.horizon = pods, size, scale, percent, horizon


class Rule(Protocol):
    """One rule at one node."""

    @property
    def sweep(self) -> tuple[float, ...]:
        """The margins that are tried."""

    @property
    def usual(self) -> float:
        """The margin it is run with."""

    def step(self, use: Sequence[float], coming: float, /) -> list[float]:
        """The predicted peaks, one a margin, after this use. ``coming``: the true peak, for the oracle only."""


class UsageNow:
    """What is used now, and a fixed part of the node on top."""

    sweep = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
    usual = 0.1

    def __init__(self, node: ReplayedNode) -> None:
        self._size = node.size

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        now = sum(use)
        return [now + margin * self._size for margin in self.sweep]


class Borg:
    """A part of what was asked for."""

    sweep = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    usual = 0.9

    def __init__(self, node: ReplayedNode) -> None:
        self._size = node.size

    def step(self, _use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        return [margin * self._size for margin in self.sweep]


class NodePercentile:
    """The node's own p95 so far."""

    sweep = PARTS
    usual = 0.0

    def __init__(self, _node: ReplayedNode) -> None:
        self._seen: list[float] = []

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        insort(self._seen, sum(use))
        peak = _rank(self._seen, 95)
        return [peak * (1 + margin) for margin in self.sweep]


class NodeMaxDay:
    """The node's largest use of the last 24 hours."""

    sweep = PARTS
    usual = 0.0

    def __init__(self, _node: ReplayedNode) -> None:
        self._at = 0
        self._falling: deque[tuple[int, float]] = deque()
        """Uses of the last day that no later one has reached, by step."""

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        now = sum(use)
        while self._falling and self._falling[-1][1] <= now:
            self._falling.pop()
        self._falling.append((self._at, now))
        if self._falling[0][0] <= self._at - DAY:
            self._falling.popleft()
        self._at += 1
        return [self._falling[0][1] * (1 + margin) for margin in self.sweep]


class Moments:
    """Mean and standard deviation so far."""

    def __init__(self) -> None:
        self._count = 0
        self.mean = self._squares = 0.0

    def add(self, value: float) -> None:
        """Welford's way: no difference of large sums."""
        self._count += 1
        away = value - self.mean
        self.mean += away / self._count
        self._squares += away * (value - self.mean)

    @property
    def deviation(self) -> float:
        """Standard deviation of the population."""
        return math.sqrt(self._squares / self._count)


class Sigma:
    """Mean plus a number of standard deviations of the node's use."""

    sweep = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    usual = 5.0

    def __init__(self, node: ReplayedNode) -> None:
        self._size, self._moments = node.size, Moments()

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        self._moments.add(sum(use))
        return [self._moments.mean + margin * self._moments.deviation for margin in self.sweep]


class SigmaDay(Sigma):
    """Mean and a number of standard deviations of the node's use in the last 24 hours."""

    def __init__(self, node: ReplayedNode) -> None:
        super().__init__(node)
        self._recent: deque[float] = deque(maxlen=DAY)
        self._sum = self._squares = 0.0

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        now = sum(use) / self._size
        if len(self._recent) == DAY:
            self._sum -= self._recent[0]
            self._squares -= self._recent[0] ** 2
        self._recent.append(now)
        self._sum += now
        self._squares += now * now
        mean = self._sum / len(self._recent)
        deviation = math.sqrt(max(0.0, self._squares / len(self._recent) - mean * mean))
        return [(mean + margin * deviation) * self._size for margin in self.sweep]


class SigmaOrPercentile:
    """The larger of five sigma and the sum of the pods' p99."""

    sweep = PARTS
    usual = 0.0

    def __init__(self, node: ReplayedNode) -> None:
        self._moments = Moments()
        self._seen: list[list[float]] = [[] for _ in range(node.pods)]

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        self._moments.add(sum(use))
        for seen, value in zip(self._seen, use, strict=True):
            insort(seen, value)
        peaks = sum(_rank(seen, 99) for seen in self._seen)
        peak = max(self._moments.mean + 5 * self._moments.deviation, peaks)
        return [peak * (1 + margin) for margin in self.sweep]


class PodPercentile:
    """The sum of the pods' decaying p95."""

    sweep = PARTS
    usual = 0.1

    def __init__(self, node: ReplayedNode, percent: float = 95.0) -> None:
        self._percent = percent
        self._pods = [Histogram(node.scale) for _ in range(node.pods)]
        self._at = 0.0

    def percentiles(self, use: Sequence[float]) -> list[int]:
        """Each pod's percentile."""
        self._at += STEP_SECONDS
        for pod, value in zip(self._pods, use, strict=True):
            pod.add(self._at, value)
        return [pod.percentile(self._percent) or 0 for pod in self._pods]

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        peak = sum(self.percentiles(use))
        return [peak * (1 + margin) for margin in self.sweep]


class OwnPeaks(PodPercentile):
    """Each pod's decaying percentile with the margin, never below its use now: ours before the common forecast."""

    usual = MARGIN_PERCENT / 100

    def __init__(self, node: ReplayedNode) -> None:
        super().__init__(node, node.percent)

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        pairs = list(zip(self.percentiles(use), use, strict=True))
        return [sum(max(now, peak * (1 + margin)) for peak, now in pairs) for margin in self.sweep]


class Predicted:
    """Our rule with a fixed margin, in spreads: usual is the start value at 1 %, before a node has shown more."""

    usual = round(quantile(PRIOR, 0.01), 2)
    sweep = (
        -1.0,
        -0.5,
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
        1.25,
        1.5,
        1.75,
        2.0,
        2.25,
        2.5,
        2.75,
        3.0,
        usual,
        4.0,
        5.0,
        7.0,
        10.0,
    )

    def __init__(self, node: ReplayedNode) -> None:
        self._size, self._forecast = node.size, Forecast(node.horizon, STEP_SECONDS)

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        now = sum(use)
        self._forecast.step(now, self._size)
        return [max(now, self._forecast.centre + margin * self._forecast.spread) for margin in self.sweep]


class Budgeted:
    """Ours as it is run on one node by itself; with the scores of a fleet (`follow`), as it is run on that fleet.

    The margin spends a violation budget, which is the "margin" of the sweep.
    """

    usual = 0.01
    sweep = BUDGETS[::-1]

    def __init__(self, node: ReplayedNode) -> None:
        self._size, self._forecast = node.size, Forecast(node.horizon, STEP_SECONDS)
        self._scores = Scores(STEP_SECONDS)
        self._margins = [Margin(node.horizon, STEP_SECONDS) for _ in self.sweep]

    @property
    def scores(self) -> tuple[int, ...]:
        """What the node reports."""
        return self._scores.counts

    def follow(self, fleet: Sequence[int]) -> None:
        """Take the fleet's table."""
        self._scores.follow(fleet)

    def shift(self, by: float) -> None:
        """Pods that came or went use this much."""
        self._forecast.shift(by)
        for margin in self._margins:
            margin.shift(by)

    def step(self, use: Sequence[float], _coming: float, /) -> list[float]:
        """See Rule."""
        now = sum(use)
        self._forecast.step(now, self._size)
        if self._forecast.score is not None:
            self._scores.add(self._forecast.score)
        centre, spread = self._forecast.centre, self._forecast.spread
        multiples = self._scores.multiples(self.sweep)
        return [
            margin.step(now, centre, multiple * spread, budget)
            for margin, multiple, budget in zip(self._margins, multiples, self.sweep, strict=True)
        ]


class Oracle:
    """Knows the future."""

    sweep = (0.0,)
    usual = 0.0

    def __init__(self, _node: ReplayedNode) -> None:
        """Nothing to remember."""

    def step(self, _use: Sequence[float], coming: float, /) -> list[float]:
        """See Rule."""
        return [coming]


RULES: Final[dict[str, Callable[[ReplayedNode], Rule]]] = {
    "predicted": Predicted,
    "own peaks": OwnPeaks,
    "usage now + margin": UsageNow,
    "node p95": NodePercentile,
    "borg 0.9": Borg,
    "node max 24h": NodeMaxDay,
    "n-sigma": Sigma,
    "n-sigma 24h": SigmaDay,
    "max(n-sigma, p99)": SigmaOrPercentile,
    "pod p95 x 1.1": PodPercentile,
    "oracle": Oracle,
}


BUDGETED: Final = "predicted, budget"


def _rank(ordered: Sequence[float], percent: int) -> float:
    """Nearest rank."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
