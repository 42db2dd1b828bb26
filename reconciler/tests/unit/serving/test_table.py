"""Places and bytes, whatever clients do in whatever order."""

from __future__ import annotations

import socket
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from colocation.serving.table import Connection, Limits, Phase, Table

LIMITS = Limits(connections=6, per_address=3, held_bytes=100)
STEPS = st.lists(st.tuples(st.sampled_from(["enter", "leave", "hold", "answered", "phase"]), st.integers(0, 30)))


def connection(address: str) -> Connection:
    return Connection(socket.socket(), address)


@given(STEPS)
def test_the_limits_hold_and_everything_is_given_back(steps: list[tuple[str, int]]) -> None:
    table, seen = Table(LIMITS), list[Connection]()
    phases = list(Phase)
    for what, number in steps:
        one = seen[number % len(seen)] if seen else None
        if what == "enter":
            new = connection(f"10.0.0.{number % 5}")
            if table.enter(new):
                seen.append(new)
        elif one is not None and what == "leave":
            table.leave(one)
            one.socket.close()
            seen.remove(one)
        elif one is not None and what == "hold":
            table.hold(one, number)
        elif one is not None and what == "answered":
            table.give_back(one)
        elif one is not None:
            one.phase = phases[number % len(phases)]
        there = [c for c in seen if c.open]
        assert len(table) == len(there) <= LIMITS.connections
        assert max(Counter(c.address for c in there).values(), default=0) <= LIMITS.per_address
        assert table.held == sum(c.held for c in seen)
    for one in seen:
        table.leave(one)
    assert len(table) == table.held == table._ending == 0
    assert not table._open
    assert not table._held_by


def full() -> tuple[Table, list[Connection]]:
    table = Table(LIMITS)
    made = [connection(address) for address in ("a", "a", "a", "b", "b", "b")]
    assert all(table.enter(one) for one in made)
    return table, made


def test_a_newcomer_takes_the_place_of_the_oldest_of_the_address_with_most() -> None:
    table, made = full()
    assert table.enter(connection("c"))
    assert [one.open for one in made].count(False) == 1
    assert not made[0].open


def test_one_that_waits_for_its_next_request_goes_before_one_in_the_middle_of_it() -> None:
    table, made = full()
    made[1].phase = Phase.IDLE
    assert table.enter(connection("c"))
    assert not made[1].open


def test_one_whose_answer_is_being_made_is_never_cut() -> None:
    table, made = full()
    for one in made:
        one.phase = Phase.ANSWERING
    assert not table.enter(connection("c"))
    assert all(one.open for one in made)


def test_an_address_that_has_as_many_takes_no_place_from_another() -> None:
    table = Table(Limits(connections=4, per_address=3))
    for address in ("a", "a", "b", "b"):
        assert table.enter(connection(address))
    assert not table.enter(connection("a"))
    assert table.enter(connection("c"))
    assert not table.enter(connection("c"))


def test_one_address_may_hold_half_of_the_bytes_and_all_together_no_more_than_all() -> None:
    table, made = full()
    assert table.hold(made[0], 50)
    assert not table.hold(made[1], 1)
    table.give_back(made[1])
    assert table.hold(made[3], 50)
    extra = connection("c")
    assert table.enter(extra)
    assert not table.hold(extra, 1)
    table.give_back(made[3])
    assert table.hold(extra, 1)
