"""A made node on which nothing has happened yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made_node import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)
