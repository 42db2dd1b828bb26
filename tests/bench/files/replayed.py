# SPDX-License-Identifier: Apache-2.0
"""Connection: NOT a host. It runs each module once, here, and gives every other host that module's answer.

What is left is the work of the control machine: tasks, templates, forks, and the modules that it runs for itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from pathlib import Path
from typing import Any

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: replayed
short_description: one host's answers for all
description: For tests/bench. Answers are kept in the folder that $REPLAYED names.
extends_documentation_fragment:
  - connection_pipelining
options:
  become_success_timeout:
    description: As of the connection local.
    type: int
    default: 10
  become_strip_preamble:
    description: As of the connection local.
    type: bool
    default: true
"""
MODULE = re.compile(rb"openfuyao\.colocation\.plugins\.modules\.(\w+)")


class Connection(Local):  # type: ignore[misc]
    """Ansible's own local connection, which answers a module that ran before from what it said then."""

    transport = "replayed"

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> Any:  # noqa: FBT002 - as ansible calls it
        """Return code, standard output, standard error."""
        module = MODULE.search(in_data or b"")
        if module is None:
            return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        kept = Path(os.environ["REPLAYED"], module[1].decode())
        if not kept.exists():
            with kept.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not kept.exists():
                    code, output, errors = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
                    if code:
                        return code, output, errors
                    new = kept.with_suffix(".new")
                    new.write_text(json.dumps([output.decode(), errors.decode()]))
                    new.rename(kept)
        output, errors = json.loads(kept.read_text())
        return 0, output.encode(), errors.encode()
