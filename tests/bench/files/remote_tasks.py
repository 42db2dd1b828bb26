# SPDX-License-Identifier: Apache-2.0
"""Callback: counts the tasks that ran a module on the host itself, and writes them to $REMOTE_TASKS as JSON.

A task that is done at the control machine (set_fact, assert, delegated ones) has no module result of this host.
"""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: remote_tasks
type: aggregate
short_description: counts remote tasks a host
description: For tests/bench.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Counts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "remote_tasks"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tasks: dict[str, list[str]] = collections.defaultdict(list)

    def _count(self, result: Any) -> None:
        answer, task = result.result, result.task
        if "invocation" in answer and not task.delegate_to:
            self._tasks[result.host.get_name()].append(task.get_name().strip())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._count(result)

    def v2_runner_on_failed(self, result: Any, **_how: Any) -> None:
        self._count(result)

    def v2_playbook_on_stats(self, _stats: Any) -> None:
        Path(os.environ["REMOTE_TASKS"]).write_text(json.dumps(self._tasks))
