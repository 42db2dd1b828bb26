"""What manager and agent export, by Prometheus' own tool: names, units and help."""

from __future__ import annotations

import re
import subprocess

import pytest
from prometheus_client import generate_latest

from colocation.manager.metrics import Metrics
from tests.lab import binaries
from tests.lab.config import CLONE

DOCS = CLONE / "docs/monitoring.md"
ODD = re.compile(r"millicores|percent|milliseconds|_ms\b|mib|gib", re.IGNORECASE)


def lint(text: bytes) -> str:
    binaries.ensure("promtool")
    done = subprocess.run([binaries.path("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


def test_promtool_finds_nothing_to_complain_of_in_the_managers_metrics() -> None:
    assert lint(generate_latest(Metrics().registry)) == ""


@pytest.mark.parametrize("file", ["manager/metrics.py", "agent/server.py"])
def test_no_name_carries_a_unit_that_is_no_base_unit(file: str) -> None:
    text = (CLONE / "reconciler/src/colocation" / file).read_text()
    names = re.findall(r'"((?:colocation|node|pods|be|online)_[a-z_]+)"', text)
    assert names
    assert not [name for name in names if ODD.search(name)]


def test_the_tool_sees_a_metric_without_help() -> None:
    assert "help" in lint(b"# TYPE colocation_x gauge\ncolocation_x 1\n")
