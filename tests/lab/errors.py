# SPDX-License-Identifier: Apache-2.0
"""The one exception whose text is meant for the person at the terminal."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can understand and act on; shown without a traceback."""
