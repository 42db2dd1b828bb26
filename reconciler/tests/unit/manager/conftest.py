"""A loop to which nothing has happened yet; files that want more of it say so themselves."""

import pytest

from .bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
