"""The fleet's scores: put together from the reports, and handed to the nodes one after the other.

A table is another one after a day, or when the margin that follows from it has moved by a tenth. Nodes get it at the
lowest urgency and about one a second: ten thousand of them take three hours. It
is in each spec, so that an agent has it before it has reported, and a new manager continues with it.
"""

from __future__ import annotations

from collections import deque
from typing import Final
from zlib import crc32

from msgspec import Struct, field

from colocation.manager.node import NodeState
from colocation.manager.state import State
from colocation.model.report import Scores
from colocation.predict.fleet import differs, merge

LOOK_SECONDS: Final = 600.0
DAY_SECONDS: Final = 24 * 3600.0
A_SECOND: Final = 1.0
"""Nodes that are handed a table in a second."""
FRESH_SECONDS: Final = 3600.0
"""Only scores that have arrived this recently count."""


class Fleet(Struct):
    """The table that holds, since when, and the nodes that have yet to get it."""

    table: Scores | None = None
    since: float = 0.0
    look_at: float | None = None
    waiting: deque[tuple[float, str]] = field(default_factory=deque)

    def step(self, state: State, now: float) -> None:
        """Look at the reports now and then; hand the table to the nodes whose turn has come."""
        if self.look_at is None:  # a started manager lets the reports arrive
            self.look_at = now + LOOK_SECONDS
        if now >= self.look_at:
            self.look_at = now + LOOK_SECONDS
            self._look(state, now)
        while self.waiting and self.waiting[0][0] <= now:
            _, name = self.waiting.popleft()
            node = state.nodes.get(name)
            if node is not None and self.table is not None:
                node.fleet_scores = self.table
                state.dirty.add(name)

    def _look(self, state: State, now: float) -> None:
        found = together(list(state.nodes.values()), now)
        if self.table is None:
            self.table, self.since = _carried(state), now  # what the manager before us gave out
        if found is not None and (self.table is None or now - self.since >= DAY_SECONDS or _differs(found, self.table)):
            self.table, self.since = found, now
        if self.table is None:
            return
        without = [node.name for node in state.nodes.values() if node.colocation and _held(node) != self.table]
        over = max(1.0, len(state.nodes) / A_SECOND)
        turns = sorted((self.since + crc32(name.encode()) % over, name) for name in without)
        self.waiting.clear()
        last = now - 1 / A_SECOND
        for at, name in turns:  # of those whose turn is past, new nodes among them, one after the other too
            last = max(at, last + 1 / A_SECOND)
            self.waiting.append((last, name))


def together(nodes: list[NodeState], now: float) -> Scores | None:
    """One table of all reports that can be believed; None: there are too few."""
    rows = [scores for node in nodes if (scores := _believed(node, now)) is not None]
    found = Scores(cpu=merge(row.cpu for row in rows), memory=merge(row.memory for row in rows))
    return None if found == Scores() else found


def _believed(node: NodeState, now: float) -> Scores | None:
    report = node.report
    if report.status is None or report.arrived is None or now - report.arrived > FRESH_SECONDS or report.suspicions:
        return None
    return report.status.scores


def _held(node: NodeState) -> Scores | None:
    """What the node was given, or is being given."""
    if node.fleet_scores is not None:
        return node.fleet_scores
    return node.colocation.spec.fleet_scores if node.colocation and node.colocation.spec else None


def _carried(state: State) -> Scores | None:
    return next((held for node in state.nodes.values() if (held := _held(node)) is not None), None)


def _differs(one: Scores, other: Scores) -> bool:
    return differs(one.cpu, other.cpu) or differs(one.memory, other.memory)
