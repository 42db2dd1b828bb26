"""Best-effort work that takes everything it is offered: how often it would have to wait, give way or leave. Pure.

It requests all that is published, in jobs of an hour, and uses all that it requests as far as it may. No real work is
as greedy: the figures are upper bounds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct, structs

from colocation.assess.shape import STEP, STEPS_AN_HOUR
from colocation.budget.publish import Allocated, decide
from colocation.model.facts import NodeFacts, Published
from colocation.model.policy import PolicySpec

_JOB_STEPS: Final = STEPS_AN_HOUR


class Tally(Struct):
    """Counts over the steps that were looked at."""

    steps: int = 0
    shrunk: int = 0
    """Steps at which less was published than at the one before."""
    closed: int = 0
    """Steps in which the node took no new best-effort pod."""
    evicted_memory: int = 0
    """Steps with an eviction for memory."""
    evicted_cpu: int = 0
    """The same for CPU that a job did not get."""

    def add(self, other: Tally) -> None:
        """Sum up."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Load:
    """The work on one node under one policy, step by step."""

    def __init__(self, node: NodeFacts, spec: PolicySpec) -> None:
        self.tally = Tally()
        self._node, self._spec = node, spec
        self._jobs: deque[tuple[int, int, int]] = deque()
        self._cpu = self._memory = 0
        self._before = Published()
        self._at = self._starved = 0

    def step(self, headroom_cpu: int, headroom_memory: int, used_cpu: int, used_memory: int) -> None:
        """``used``: by system and online pods."""
        self._at += 1
        while self._jobs and self._jobs[0][0] <= self._at:
            self._drop(self._jobs.popleft())
        allocated = Allocated(self._cpu, self._memory, self._cpu, self._memory, len(self._jobs))
        decision = decide(self._node, headroom_cpu, headroom_memory, allocated, self._spec.oversell.max_pods, None)
        after = Published(decision.cpu, decision.memory, decision.gate)
        self.tally.steps += 1
        if (after.cpu or 0) < (self._before.cpu or 0) or (after.memory or 0) < (self._before.memory or 0):
            self.tally.shrunk += 1
        if after != self._before:
            self._before = after
            self._node = structs.replace(self._node, published=after)
        if decision.gate is None:
            self.tally.closed += 1
        else:
            self._fill((after.cpu or 0) - self._cpu, (after.memory or 0) - self._memory)
        self._give_way(used_cpu, used_memory)

    def _give_way(self, used_cpu: int, used_memory: int) -> None:
        evict, capacity = self._spec.evict, self._node.memory_capacity
        if (used_memory + self._memory) * 100 > capacity * evict.memory.high_percent and self._memory:
            self.tally.evicted_memory += 1
            while self._jobs and (used_memory + self._memory) * 100 > capacity * evict.memory.low_percent:
                self._drop(self._jobs.pop())
        allowed = max(0, self._node.cpu_capacity * self._spec.suppress.cpu.target_percent // 100 - used_cpu)
        starves = self._cpu > 0 and allowed * 100 < self._cpu * evict.cpu.satisfaction_percent
        self._starved = self._starved + STEP if starves else 0
        if self._jobs and starves and self._starved >= evict.cpu.starved_seconds:
            self.tally.evicted_cpu += 1
            self._drop(self._jobs.pop())
            self._starved = 0

    def _fill(self, cpu: int, memory: int) -> None:
        if cpu > 0 or memory > 0:
            job = (self._at + _JOB_STEPS, max(0, cpu), max(0, memory))
            self._jobs.append(job)
            self._cpu, self._memory = self._cpu + job[1], self._memory + job[2]

    def _drop(self, job: tuple[int, int, int]) -> None:
        self._cpu, self._memory = self._cpu - job[1], self._memory - job[2]
