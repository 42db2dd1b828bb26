"""Nodes of a fleet replayed side by side, with the scores that they share, as the predictor is run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from colocation.predict.fleet import differs, merge
from colocation.predict.margin import BUDGETS
from colocation.replay.rules import DAY, Budgeted, ReplayedNode
from colocation.replay.shape import STEP_SECONDS

WARM_UP: Final = round(2 * 3600 / STEP_SECONDS)
"""Steps before anything counts: until then the product counts requests."""
_LOOK: Final = round(3600 / STEP_SECONDS)
"""Steps between two looks at the fleet's scores."""


class Run(Struct, frozen=True):
    """What one budget's own run did on one node. All but ``budget`` are parts of one."""

    budget: float
    violations: float
    savings: float
    first_day: float
    """Violations of the first 24 hours."""


def run(
    node: ReplayedNode,
    sums: Sequence[Sequence[float]],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    share: bool = True,
) -> list[list[Run]]:
    """For each node, of which ``sums`` has the use at each step, a run for each of BUDGETS, the smallest budget first.

    ``share``: False: each node by itself.
    """
    rules = [Budgeted(node) for _ in sums]
    steps = min(len(series) for series in sums) - node.horizon
    wrong = [[0] * len(BUDGETS) for _ in sums]
    first = [[0] * len(BUDGETS) for _ in sums]
    saved = [[0.0] * len(BUDGETS) for _ in sums]
    table: tuple[int, ...] = ()
    since = 0
    for at in range(steps):
        if share and at % _LOOK == 0:
            found = merge(rule.scores for rule in rules)
            if at - since >= DAY or differs(found, table):
                table, since = found, at
                for rule in rules:
                    rule.follow(table)
            progress(at, steps)
        for number, (rule, series) in enumerate(zip(rules, sums, strict=True)):
            coming = max(series[at + 1 : at + 1 + node.horizon])
            predicted = rule.step(series[at : at + 1], coming)
            if at < WARM_UP:
                continue
            for place, peak in enumerate(reversed(predicted)):
                amount = min(peak, node.size)
                saved[number][place] += 1 - amount / node.size
                if amount < coming * (1 - 1e-9):
                    wrong[number][place] += 1
                    first[number][place] += at < DAY
    counted = max(1, steps - WARM_UP)
    return [
        [
            Run(budget, wrong[n][b] / counted, saved[n][b] / counted, first[n][b] / (min(steps, DAY) - WARM_UP))
            for b, budget in enumerate(BUDGETS)
        ]
        for n in range(len(sums))
    ]
