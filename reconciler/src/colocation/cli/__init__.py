"""Command line: one file per subcommand, each imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from colocation import __version__

COMMANDS: Final = {
    "manager": "compute and publish how much each node offers (one per cluster, leader-elected)",
    "agent": "measure a node and protect its online work (one per node)",
    "rubik": "restart rubik when the policy gives it another config (runs in rubik's pod)",
    "console": "serve the web console and its REST API (one per cluster)",
    "grant": "let somebody read what the console and the commands show, or change policies",
    "explain": "why a node has the number it has",
    "report": "the cluster in one table",
    "doctor": "what is wrong with this installation, and what to do",
    "assess": "what colocation would bring on this cluster, from its Prometheus; needs nothing installed",
    "simulate": "the effect of a policy on the live cluster or on recorded usage; the errors of predictors",
    "completion": "the script that completes commands, options and nodes in bash, zsh or fish",
}
_EXAMPLES: Final = """\
examples:
  colocation doctor                           what is wrong with this installation, and what to do
  colocation assess                           how much is idle, what could be offered, which policy to use
  colocation report                           what every node publishes, and how much of it is used
  colocation explain worker-1                 the sum behind one node's number
  colocation simulate policy.yaml             what every node would publish under it; writes nothing
  colocation manager --once --dry-run         what a manager would write now; writes nothing

`colocation COMMAND --help` shows the options of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 done, 1 failed, 2 asked wrongly."""
    completing = "_ARGCOMPLETE" in os.environ
    given = os.environ["COMP_LINE"].split()[1:] if completing else list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in given if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="kubectl colocation" if Path(sys.argv[0]).name == "kubectl-colocation" else "colocation",
        description=(sys.modules["colocation"].__doc__ or "").strip(),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"colocation {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        sub = commands.add_parser(name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == chosen:
            # The agent must not pay for what only the manager imports, and the other way round.
            module = importlib.import_module(f"colocation.cli.{name}")
            sub.description, sub.epilog = module.__doc__, module.EXAMPLES
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    if completing:
        importlib.import_module("colocation.cli.completion").answer(parser)
    args = parser.parse_args(given)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # `colocation report | head`: not worth a word
        return 141
