"""Keep rubik (engine: rubik) going by what the policy says: runs beside it, in its pod.

The node's agent writes rubik's config.json. rubik reads it once, when it starts; this command waits for it (--wait, in
an init container), restarts rubik after a change, and notes for the agent that rubik runs. It needs hostPID, and no
right in the API. See docs/rubik.md.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from pathlib import Path
from typing import Final

from colocation.agent.main import STATE_DIR
from colocation.cli.common import add_logging, set_up_logs
from colocation.node.rubik import Folder, RubikRestarter

EXAMPLES: Final = """\
examples:
  colocation rubik --wait          until the agent has written config.json; then exit 0
  colocation rubik                 restart the rubik of this pod whenever config.json has changed
"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation rubik``."""
    folder = Path(STATE_DIR) / "rubik"
    parser.add_argument("--folder", type=Path, default=folder, metavar="DIR", help=f"where config.json is ({folder})")
    parser.add_argument("--wait", action="store_true", help="wait until there is a config.json, and exit")
    add_logging(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM; the exit status."""
    set_up_logs(args)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder = Folder(args.folder)
    if args.wait:
        if folder.config() is None:
            log.info("no policy with engine rubik for this node yet", extra={"folder": str(args.folder)})
        while folder.config() is None and not stop.wait(2):
            pass
        return 1 if stop.is_set() else 0
    keeper, before = RubikRestarter(folder), ""
    while not stop.is_set():
        try:
            state = keeper.step()
            if state != before:
                log.info("rubik", extra={"state": state})
            before = state
        except OSError as error:
            log.warning("rubik could not be checked", extra={"error": str(error)})
        stop.wait(2)
    return 0
