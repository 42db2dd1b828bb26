"""Leader election by our own clock, against a store in memory that stands in for the API server."""
# ruff: noqa: ARG002 (the store has the signatures of what it stands in for)

from __future__ import annotations

from typing import Any

import msgspec

from colocation.kube.lease import Elector
from colocation.kube.rest import ApiError, Rest


class FakeLeases(Rest):
    """NOT an API server: one Lease in memory, with resourceVersions, and a switch that makes it unreachable."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.away = False
        self.slow = lambda: None

    def get(self, path: str, kind: Any, *, label: str = "") -> Any:
        self._reach()
        if self.stored is None:
            raise ApiError(404, "NotFound", "")
        return msgspec.convert(self.stored, kind)

    def create(self, path: str, body: object, *, label: str = "") -> bytes:
        self._reach()
        if self.stored is not None:
            raise ApiError(409, "AlreadyExists", "")
        return self._store(body)

    def replace(self, path: str, body: Any, *, label: str = "", read_seconds: float = 0) -> bytes:
        self._reach()
        if body.metadata.resource_version != str(self.version):
            raise ApiError(409, "Conflict", "")
        return self._store(body)

    def _reach(self) -> None:
        self.slow()
        if self.away:
            raise ApiError(0, "Unreachable", "")

    def _store(self, body: object) -> bytes:
        self.version += 1
        self.stored = msgspec.to_builtins(body)
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return b""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def two() -> tuple[FakeLeases, Clock, Elector, Elector]:
    leases, clock = FakeLeases(), Clock()
    a, b = (Elector(leases, "ns", "l", name, clock=clock) for name in "ab")
    return leases, clock, a, b


def test_the_first_leads_and_the_second_waits() -> None:
    _, clock, a, b = two()
    a.step()
    b.step()
    assert (a.may_write(), b.may_write(), b.holder) == (True, False, "a")
    for _ in range(20):
        clock.now += 2
        a.step()
        b.step()
        assert (a.may_write(), b.may_write()) == (True, False)


def test_never_do_two_may_write_whatever_fails() -> None:
    leases, clock, a, b = two()
    a.step()
    for _ in range(12):
        clock.now += 1
        b.step()
        assert not (a.may_write() and b.may_write())
    assert not a.may_write()  # 10 s without a renewal
    assert not b.may_write()  # 15 s have not passed since it saw the lease
    clock.now += 4
    b.step()
    assert b.may_write()
    a.step()
    assert not a.may_write()
    assert leases.stored is not None
    assert leases.stored["spec"]["leaseTransitions"] == 1


def test_the_lease_counts_from_when_the_renewal_was_sent() -> None:
    """An answer that took 8 s leaves 2 s."""
    leases, clock, a, _ = two()
    a.step()

    def slow() -> None:
        clock.now += 4

    leases.slow = slow
    a.step()
    leases.slow = lambda: None
    assert a.may_write()
    clock.now += 2
    assert not a.may_write()


def test_release_hands_over_at_once() -> None:
    _, clock, a, b = two()
    a.step()
    b.step()
    a.release()
    assert not a.may_write()
    clock.now += 2
    b.step()
    assert b.may_write()


def test_who_lost_the_lease_does_not_release_it() -> None:
    leases, clock, a, b = two()
    a.step()
    b.step()
    clock.now += 16
    b.step()
    a.release()
    assert leases.stored is not None
    assert leases.stored["spec"]["holderIdentity"] == "b"


def test_a_server_that_is_away_ends_leadership_by_our_own_clock() -> None:
    leases, clock, a, _ = two()
    result: list[bool] = []
    a._changed = result.append
    a.step()
    leases.away = True
    for _ in range(5):
        clock.now += 2
        a.step()
    assert result == [True, False]
    leases.away = False
    a.step()
    assert a.may_write()


def test_the_other_machines_clock_does_not_matter() -> None:
    """renewTime is far in the past and in the future: only when *we* saw it change counts."""
    leases, clock, a, b = two()
    a.step()
    assert leases.stored is not None
    for stamp in ("1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"):
        leases.stored["spec"]["renewTime"] = stamp
        clock.now += 1
        b.step()
        assert not b.may_write()
