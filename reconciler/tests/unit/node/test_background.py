"""Jobs beside the loop: one at a time, and whatever becomes of them the loop hears of it."""

from __future__ import annotations

import errno
import threading

import pytest

from colocation.node.background import LATE_SECONDS, BackgroundJob


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_job_that_is_done_settles_and_another_may_begin() -> None:
    beside, done = BackgroundJob("job"), []
    for number in range(3):
        beside.begin(lambda number=number: done.append(number))
        assert beside.wait(5)
        assert beside.settled()
    assert done == [0, 1, 2]


def test_what_a_job_raises_is_raised_once() -> None:
    beside = BackgroundJob("job")
    beside.begin(lambda: 1 / 0)
    beside.wait(5)
    with pytest.raises(ZeroDivisionError):
        beside.settled()
    assert beside.settled()


def test_a_job_that_hangs_is_not_waited_for_and_is_said_to_hang() -> None:
    clock, goes_on = Clock(), threading.Event()
    beside = BackgroundJob("job", clock)
    beside.begin(lambda: goes_on.wait(30) and None)
    assert not beside.wait(0.01)
    assert beside.busy
    assert not beside.settled()
    clock.now = LATE_SECONDS
    with pytest.raises(OSError, match="does not answer"):
        beside.settled()
    goes_on.set()
    assert beside.wait(5)
    assert beside.settled()


def test_a_thread_that_cannot_be_started_is_a_refusal_and_the_next_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake: the process has no more threads."""

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    beside = BackgroundJob("job")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        beside.begin(lambda: None)
    assert not beside.busy
    with pytest.raises(OSError, match="new thread") as caught:
        beside.settled()
    assert caught.value.errno == errno.EAGAIN
    beside.begin(lambda: None)
    assert beside.wait(5)
    assert beside.settled()
