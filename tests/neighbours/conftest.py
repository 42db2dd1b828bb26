"""The chart on a real API server; its fixtures are those of tests/chart."""

from tests.chart.conftest import api

__all__ = ["api"]
