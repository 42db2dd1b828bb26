"""The pods of a node forecast together: their peaks do not coincide, so they need less than the sum of their peaks.

Pods that come and go do not disturb what was learnt: their mean use is added to, or taken from, all that is remembered,
as a chain index does. A pod takes part after an hour: until then the manager counts its request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from colocation.model.report import ResourceForecast
from colocation.predict.forecast import Forecast, KeptForecast
from colocation.predict.histogram import Histogram
from colocation.predict.margin import KeptMargin, Margin
from colocation.predict.scores import KeptScores, Scores

JOIN_SECONDS: Final = 3600.0
_MILLION: Final = 1_000_000


class Wanted(Struct, frozen=True):
    """The policy's and the Node's values for one resource."""

    size: int = 0
    """Capacity of the node, in millicores or bytes; 0: not known, and there is no common forecast."""
    budget: float = 0.0
    """Share of time in which the peak may be above the forecast; 0: each pod's own peak counts instead."""
    fleet: tuple[int, ...] = ()
    """The scores of all nodes, as the manager gives them; empty: it gives none."""


NOTHING: Final = Wanted()


class KeptTogether(Struct, frozen=True, array_like=True):
    """As it is written to disk."""

    forecast: KeptForecast
    margin: KeptMargin
    scores: KeptScores | None = None
    """None: written by a version that had none."""


class Together:
    """One resource of all online pods."""

    def __init__(self) -> None:
        self._forecast, self._scores, self._margin = Forecast(), Scores(), Margin()
        self.members: set[str] = set()
        self.current: ResourceForecast | None = None
        """None: nothing yet."""

    def step(
        self, wanted: Wanted, now: Mapping[str, int], own: Mapping[str, int], histories: Mapping[str, Histogram]
    ) -> dict[str, int]:
        """Take a minute; answer with each member's part of the peak.

        ``now``: what online pods use, by uid; ``own``: each one's own peak; ``histories``: of all pods known.
        """
        self.current = None
        if wanted.size <= 0 or wanted.budget <= 0:
            return {}
        self._follow({uid for uid in now if uid in own and histories[uid].seconds >= JOIN_SECONDS}, histories)
        use = sum(now[uid] for uid in self.members)
        self._forecast.step(use, wanted.size)
        if wanted.fleet != self._scores.fleet:
            self._scores.follow(wanted.fleet)
        if self._forecast.score is not None:
            self._scores.add(self._forecast.score)
        margin = self._scores.multiple(wanted.budget) * self._forecast.spread
        peak = self._margin.step(use, self._forecast.centre, margin, wanted.budget)
        if not self._forecast.ready or not self.members:
            return {}
        members = sorted(self.members)
        self.current = ResourceForecast(
            usage=use,
            expected=max(0, math.ceil(self._forecast.centre)),
            peak=math.ceil(peak),
            pod_peaks=sum(own[uid] for uid in members),
            violation_budget=round(wanted.budget * _MILLION),
            violations=round(self._margin.violations * _MILLION),
        )
        return _shared(self.current.peak - use, {uid: now[uid] for uid in members}, own)

    @property
    def scores(self) -> tuple[int, ...]:
        """For the report: minutes in each bucket of scores."""
        return self._scores.counts

    def keep(self) -> KeptTogether:
        """For the disk."""
        return KeptTogether(self._forecast.keep(), self._margin.keep(), self._scores.keep())

    def restore(self, kept: KeptTogether, members: set[str]) -> None:
        """From the disk. Raises ValueError for garbage."""
        self._forecast.restore(kept.forecast)
        self._margin.restore(kept.margin)
        if kept.scores is not None:
            self._scores.restore(kept.scores)
        self.members = members

    def _follow(self, members: set[str], histories: Mapping[str, Histogram]) -> None:
        """Let pods come and go."""
        came = sum(histories[uid].mean for uid in members - self.members)
        gone = sum(histories[uid].mean for uid in self.members - members if uid in histories)
        if members != self.members:
            self._forecast.shift(came - gone)
            self._margin.shift(came - gone)
        self.members = members


def _shared(spare: int, now: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int]:
    """The forecast above present use, shared out by how far each pod's own peak is above it; rounded up."""
    rises = {uid: max(0, own[uid] - used) for uid, used in now.items()}
    total = sum(rises.values())
    if not total:
        return {uid: used - (-spare // len(now)) for uid, used in now.items()}
    return {uid: used - (-spare * rises[uid] // total) for uid, used in now.items()}
