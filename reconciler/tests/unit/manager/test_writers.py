"""The threads that write: none begins once leadership is over, and no fault ends them."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from colocation.kube.rest import ApiError
from colocation.manager.patches import Job, Urgency
from colocation.manager.publisher import Done, Writers

JOB = Job(("node", "n"), Urgency.GROW, "PATCH", "/api/v1/nodes/n/status", b"{}", "nodes/status")


class FakeRest:
    """NOT an API server: counts what is sent, and fails as it is told."""

    def __init__(self) -> None:
        self.sent = 0
        self.fault: Exception | None = None

    def send(self, *_: object, **__: object) -> bytes:
        self.sent += 1
        if self.fault is not None:
            raise self.fault
        return b"{}"


class Desk:
    """One writer, its leadership and its answers."""

    def __init__(self) -> None:
        self.rest, self.leads = FakeRest(), True
        self.told: queue.SimpleQueue[Done] = queue.SimpleQueue()
        rest: Any = self.rest
        self.writers = Writers(rest, lambda: self.leads, self.told.put, count=1)

    def ask(self) -> Done:
        self.writers.submit(JOB)
        return self.told.get(timeout=5)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    made.writers.start()
    yield made
    made.writers.stop(1)


def test_a_write_that_waited_past_the_lease_is_never_sent(desk: Desk) -> None:
    desk.leads = False
    assert desk.ask().skipped
    assert desk.rest.sent == 0
    desk.leads = True
    assert desk.ask().answer == b"{}"


def test_a_refusal_is_told_with_its_code(desk: Desk) -> None:
    desk.rest.fault = ApiError(429, "TooManyRequests", "", 3)
    error = desk.ask().error
    assert error is not None
    assert (error.code, error.retry_after) == (429, 3)


def test_a_fault_of_ours_costs_that_write_alone(desk: Desk) -> None:
    desk.rest.fault = KeyError("broken")
    error = desk.ask().error
    assert error is not None
    assert error.code == 500
    desk.rest.fault = None
    assert desk.ask().error is None
