"""What one test does to the process must not reach the next."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A machine that has other work too is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """`logs.setup` takes the root logger's handlers, pytest's own among them."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
