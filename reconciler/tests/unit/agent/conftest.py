"""A made node on which nothing has happened yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from colocation.agent import engine
from colocation.node import notes

from .made_node import Node


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that writes to a healthy disk is waited for, however busy the machine is that runs the tests."""
    monkeypatch.setattr(notes, "PATIENCE_SECONDS", 20.0)
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 20.0)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)
