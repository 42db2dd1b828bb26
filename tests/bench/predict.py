# SPDX-License-Identifier: Apache-2.0
"""What the predictor saves and spends as it is run, on weeks that nothing was tuned on, beside rules in hindsight.

Ours is the violation budget's own run on a fleet that shares its scores (`colocation.replay.fleet`): no margin is
swept. Each other rule gets, in hindsight, the margin that spends on these very nodes what ours spent. `churn` has the
pods that come and go.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, quantiles
from typing import Final

from msgspec import Struct

from colocation.predict.histogram import CPU, MEMORY
from colocation.predict.peak import CPU_PERCENT, MEMORY_PERCENT
from colocation.replay import fleet
from colocation.replay.rules import RULES, ReplayedNode
from colocation.replay.score import Point, RuleScore, score
from colocation.replay.shape import STEP_SECONDS, Pod
from tests.bench import churn, plot, weeks
from tests.bench.figures import Figure, Report, figure
from tests.lab.progress import say, step

PODS: Final = (5, 20)
HORIZON: Final = 12
ENOUGH: Final = 240
"""Node-days: with a true ratio of 1.0, 24 of them measure between 0.0 and 2.2 times 0.5 %."""
MOST_NODES: Final = 60
DRAWS: Final = 200
OURS: Final = {"predicted", "own peaks", "oracle"}
OTHERS: Final = {name: rule for name, rule in RULES.items() if name not in OURS}
WORDS: Final = """
Judging sets only: {sets}. Nothing in `predict/` was chosen on them; the tuning sets (made weeks of the seeds
{tuning}, and of each trace in `TRACES` the files whose name has an even CRC) are not replayed here. Files of one name
in several folders are one machine on several days: they are joined end to end, and the jump at a seam is spread over
the day that follows. `JUDGE=PATH:PATH` adds traces that are judged whole. What is longer than two weeks counts as
several pods.

Saves: what the budget's own run leaves to publish, in percent of the requests. Gain: that less what the best other
rule saves with the margin that, in hindsight, spends on these nodes just what ours spent, in points. Spent: violations
as a multiple of the budget, mean of the fleet; 95 %: the interval that holds so much of {draws} draws of the nodes,
with replacement. A goal counts as missed only where {enough} node-days were replayed, or the whole interval misses it.
Nine in ten: what nine of ten nodes stay below. First day: of the same fleet, all new.
""".strip()
HEAD: Final = (
    "| set | resource | pods | node-days | budget | saves | gain | best other rule "
    "| spent | 95 % | nine in ten | first day |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)
_GOALS: Final = {0.005: (0.5, 1.5)}
_GOAL: Final = (0.7, 1.3)


class Cell(Struct, frozen=True):
    """One resource of one set at one number of pods a node."""

    name: str
    resource: str
    pods: int
    days: float
    runs: list[list[fleet.Run]]
    """By node, then by budget."""
    others: list[list[RuleScore]]
    """By node, then by rule."""


class Verdict(Struct, frozen=True):
    """One budget of a cell. All but ``budget`` and points are multiples of the budget."""

    budget: float
    saves: float
    gain: float | None
    """Points; None: no other rule can spend so little."""
    best: str
    spent: float
    low: float
    high: float
    nine_in_ten: float
    first_day: float


def run(*, full: bool) -> Report:
    """Replay the made weeks, and the judging halves of the traces named in TRACES."""
    cells: list[Cell] = []
    sets: dict[str, Callable[[int], list[list[Pod]]]] = {
        "made": lambda pods: weeks.nodes(pods, _count(pods, full=full))
    }
    for variable, whole in (("TRACES", False), ("JUDGE", True)):
        for path in (Path(part) for part in os.environ.get(variable, "").split(":") if part):
            sets[path.name.split(".")[0]] = _reader(path, whole=whole, full=full)
    for name, make in sets.items():
        for pods in PODS:
            with step(f"{name}: {pods} pods a node", "minutes"):
                cells += replay(name, make(pods))
    figures, rows = [], [HEAD]
    for cell in cells:
        dice = random.Random(1)
        for verdict in judge(cell, dice):
            rows.append(_row(cell, verdict))
            figures += _figures(cell, verdict)
    came_and_went = churn.run()
    for one in came_and_went:
        figures.append(figure(f"churn-{one.resource}-behind", one.still - one.known, "points", most=2.0))
    gains = [f for f in figures if f.name.endswith("-gain")]
    ahead = sum(f.value >= 0 for f in gains)
    figures.append(figure("ahead", ahead / max(1, len(gains)), "of cells", least=2 / 3))
    figures.append(figure("gain-mean", fmean([f.value for f in gains]) if gains else 0.0, "points"))
    missed = [f.name for f in figures if f.met is False]
    verdicts = f"Missed, {len(missed)} of {len(figures)}: {', '.join(missed)}." if missed else "Every goal is met."
    say(verdicts)
    words = WORDS.format(sets=", ".join(sets), tuning=", ".join(map(str, weeks.TUNING)), draws=DRAWS, enough=ENOUGH)
    text = "\n".join([words, "", *rows, "", churn.words(came_and_went), "", verdicts])
    curves = {f"{c.name} {c.resource} {c.pods}": [*pooled(c.others), ours(c)] for c in cells if c.pods == PODS[-1]}
    return Report("Predict", text, figures, lambda to: plot.curves(to, curves), rows=False)


def replay(name: str, nodes: list[list[Pod]]) -> list[Cell]:
    """Both resources, where the set has both."""
    cells = []
    for column, resource in enumerate(("cpu", "memory")[: min(len(pod) for node in nodes for pod in node)]):
        pods = len(nodes[0])
        scale, percent = (CPU, CPU_PERCENT) if resource == "cpu" else (MEMORY, MEMORY_PERCENT)
        unit = 40.0 if resource == "cpu" else 16 * 2**30 / 100  # of a pod that requests 4 CPUs and 16 GiB
        node = ReplayedNode(pods, 100 * unit * pods, scale, percent, HORIZON)
        use = [[[unit * value for value in pod[column]] for pod in one] for one in nodes]
        sums = [[sum(values) for values in zip(*one, strict=False)] for one in use]
        cells.append(
            Cell(
                name,
                resource,
                pods,
                sum(map(len, sums)) * STEP_SECONDS / 86400,
                fleet.run(node, sums),
                [score([(node, one)], OTHERS, warm_up=fleet.WARM_UP, horizon=HORIZON) for one in use],
            )
        )
    return cells


def judge(cell: Cell, dice: random.Random) -> list[Verdict]:
    """Each budget's own run, against the best of the other rules at what it spent."""
    whole = pooled(cell.others)
    found = []
    for place, budget in enumerate(run.budget for run in cell.runs[0]):
        runs = [node[place] for node in cell.runs]
        spent, saves = fmean(one.violations for one in runs), fmean(one.savings for one in runs)
        ranked = sorted((saved, one.rule) for one in whole if (saved := one.savings_at(spent)) is not None)
        again = sorted(fmean(one.violations for one in dice.choices(runs, k=len(runs))) / budget for _ in range(DRAWS))
        cut = int(DRAWS * 0.025)
        found.append(
            Verdict(
                budget,
                saves,
                100 * (saves - ranked[-1][0]) if ranked else None,
                ranked[-1][1] if ranked else "",
                spent / budget,
                again[cut],
                again[-1 - cut],
                quantiles([one.violations / budget for one in runs], n=10, method="inclusive")[-1]
                if len(runs) > 1
                else spent / budget,
                fmean(one.first_day for one in runs) / budget,
            )
        )
    return found


def pooled(nodes: Sequence[Sequence[RuleScore]]) -> list[RuleScore]:
    """The nodes' outcomes as one; all have as many steps."""
    return [
        RuleScore(
            rule=rules[0].rule,
            usual=_mean([one.usual for one in rules]),
            curve=tuple(_mean(points) for points in zip(*(one.curve for one in rules), strict=True)),
        )
        for rules in zip(*nodes, strict=True)
    ]


def ours(cell: Cell) -> RuleScore:
    """The budgets' own runs, as a curve to draw."""
    points = tuple(
        Point(
            margin=runs[0].budget,
            violations=fmean(one.violations for one in runs),
            severity=0.0,
            savings=fmean(one.savings for one in runs),
        )
        for runs in zip(*cell.runs, strict=True)
    )
    return RuleScore(rule="predicted, as run", usual=points[1], curve=points)


def _mean(points: Sequence[Point]) -> Point:
    count, wrong = len(points), sum(p.violations for p in points)
    return Point(
        margin=points[0].margin,
        violations=wrong / count,
        severity=sum(p.severity * p.violations for p in points) / wrong if wrong else 0.0,
        savings=sum(p.savings for p in points) / count,
    )


def _count(pods: int, *, full: bool) -> int:
    """Nodes of made weeks: enough node-days, and for the first day of a fleet the 60 of its goal."""
    return MOST_NODES if full else max(ENOUGH // weeks.DAYS + 1, 20 if pods <= 5 else 18)


def _reader(path: Path, *, whole: bool, full: bool) -> Callable[[int], list[list[Pod]]]:
    """Nodes of a trace's judging half, or of all of it."""
    return lambda pods: weeks.recorded(path, pods, MOST_NODES if full else 2 * _count(pods, full=False), whole=whole)


def _row(cell: Cell, v: Verdict) -> str:
    gain = "-" if v.gain is None else f"{v.gain:+.2f}"
    return (
        f"| {cell.name} | {cell.resource} | {cell.pods} | {cell.days:.0f} | {100 * v.budget:g} % "
        f"| {100 * v.saves:.2f} % "
        f"| {gain} | {v.best} | {v.spent:.2f} | {v.low:.2f} to {v.high:.2f} | {v.nine_in_ten:.2f} | {v.first_day:.2f} |"
    )


def _figures(cell: Cell, v: Verdict) -> list[Figure]:
    start = f"{cell.name}-{cell.resource}-{cell.pods}pods-{100 * v.budget:g}pc"
    low, high = _GOALS.get(v.budget, _GOAL)
    spent = figure(f"{start}-spent", v.spent, "x", note=f"{v.low:.2f} to {v.high:.2f}")
    outside = not low <= v.spent <= high
    clearly = v.high < low or v.low > high
    spent.goal, spent.met = f"{low} to {high} x", not (clearly or (outside and cell.days >= ENOUGH))
    found = [spent, figure(f"{start}-nine-in-ten", v.nine_in_ten, "x", most=2.0)]
    found.append(figure(f"{start}-first-day", v.first_day, "x", most=2.0 if len(cell.runs) >= MOST_NODES else None))
    if v.gain is not None:
        found.append(figure(f"{start}-gain", v.gain, "points", note=v.best))
    return found
