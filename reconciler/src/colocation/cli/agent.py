"""Measure a node, report it, and keep best-effort work out of the way of online work.

Runs as a DaemonSet; writes to the pod-level cgroups of BE pods (and what a policy's protect asks for), and notes each
value that it changes in a journal, from which --restore puts everything back.
"""

from __future__ import annotations

import argparse
from typing import Final

from colocation.agent.main import add_arguments as add_agent_arguments
from colocation.agent.main import run as run_agent
from colocation.cli.common import add_logging, set_up_logs

EXAMPLES: Final = """\
examples:
  colocation agent --node worker-1         in a pod: by its ServiceAccount
  colocation agent --once                  one report of this machine, as JSON; writes nothing
  colocation agent --restore               put back every cgroup value that was changed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation agent``."""
    add_agent_arguments(parser)
    add_logging(parser)


def run(args: argparse.Namespace) -> int:
    """Run the agent."""
    set_up_logs(args)
    return run_agent(args)
