"""Best-effort work that takes everything: what it meets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from colocation.assess.batch import Load
from colocation.assess.recommend import base_policy
from colocation.model.facts import NodeFacts

GI = 2**30
NODE = NodeFacts("n", "n", "", {}, 16_000, 16_000, 64 * GI, 64 * GI)


def load() -> Load:
    return Load(NODE, base_policy())


def test_on_a_calm_node_it_meets_nothing() -> None:
    work = load()
    for _ in range(100):
        work.step(4000, 16 * GI, 2000, 8 * GI)
    assert (work.tally.steps, work.tally.shrunk, work.tally.closed) == (100, 0, 0)
    assert (work.tally.evicted_cpu, work.tally.evicted_memory) == (0, 0)


def test_a_node_with_less_headroom_than_is_allocated_closes_until_jobs_have_ended() -> None:
    work = load()
    work.step(4000, 16 * GI, 0, 0)
    for _ in range(20):
        work.step(2000, 16 * GI, 0, 0)
    assert work.tally.closed == 11  # an hour, but for the step at which the job ends
    assert work.tally.shrunk == 1


def test_memory_above_the_high_mark_evicts_down_to_the_low_mark() -> None:
    work = load()
    work.step(0, 32 * GI, 0, 16 * GI)
    assert work.tally.evicted_memory == 0
    work.step(0, 32 * GI, 0, 30 * GI)  # 62 of 64 GiB
    assert work.tally.evicted_memory == 1
    work.step(0, 0, 0, 30 * GI)
    assert work.tally.evicted_memory == 1


def test_cpu_that_a_job_does_not_get_for_long_evicts_it() -> None:
    work = load()
    work.step(8000, 0, 0, 0)
    for _ in range(2):
        work.step(0, 0, 10_400, 0)  # all of the target: nothing is left
    assert work.tally.evicted_cpu == 1


@given(st.lists(st.tuples(st.integers(0, 16_000), st.integers(0, 64), st.integers(0, 16_000), st.integers(0, 64))))
def test_counts_never_exceed_steps(steps: list[tuple[int, int, int, int]]) -> None:
    work = load()
    for cpu, memory, used_cpu, used_memory in steps:
        work.step(cpu, memory * GI, used_cpu, used_memory * GI)
    tally = work.tally
    assert tally.steps == len(steps)
    assert max(tally.shrunk, tally.closed, tally.evicted_cpu, tally.evicted_memory) <= tally.steps
    assert work._cpu == sum(job[1] for job in work._jobs)
    assert work._memory == sum(job[2] for job in work._jobs)
