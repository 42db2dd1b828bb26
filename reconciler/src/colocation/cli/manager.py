"""Recompute what every labelled node may oversell, and publish it in Node status.

Runs as a Deployment; of several, the one that holds the Lease writes, the others keep warm. Serves /healthz,
/readyz, /metrics, /v1/report and /v1/explain/NODE.
"""

from __future__ import annotations

import argparse
from typing import Final

from colocation.cli.common import CliError, add_logging, add_login, fail, login, set_up_logs
from colocation.manager.main import Options
from colocation.manager.main import run as run_manager

EXAMPLES: Final = """\
examples:
  colocation manager                              in a pod: by its ServiceAccount
  colocation manager --once --dry-run             print the patches it would send now, and end
  colocation manager --kubeconfig ~/.kube/config --listen 127.0.0.1:8080
                                                  from a workstation, beside (behind) the one in the cluster
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation manager``."""
    add = parser.add_argument
    add("--listen", default="0.0.0.0:8080", metavar="HOST:PORT", help="default: %(default)s; port 0: none")
    add(
        "--rate",
        type=float,
        default=50.0,
        metavar="N",
        help="writes a second on average, once a started manager has caught up (default: %(default)g; 0: no limit)",
    )
    add("--burst", type=float, default=100.0, metavar="N", help="writes at once (default: %(default)g)")
    add("--once", action="store_true", help="decide and write everything, then end (serves nothing)")
    add("--dry-run", action="store_true", help="print each write as a JSON line instead; needs no Lease")
    add("--identity", default="", help="name in the Lease (default: $POD_NAME, else host and process)")
    add_login(parser)
    add_logging(parser)


def run(args: argparse.Namespace) -> int:
    """Run the manager."""
    set_up_logs(args)
    host, _, port = args.listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        return fail(CliError(f"--listen {args.listen}: not HOST:PORT"))
    options = Options(
        namespace=args.namespace,
        identity=args.identity,
        host=host.strip("[]"),
        port=0 if args.once else int(port),
        rate=args.rate,
        burst=args.burst,
        once=args.once,
        dry_run=args.dry_run,
    )
    try:
        return run_manager(login(args), options)
    except CliError as error:
        return fail(error)
    except OSError as error:
        return fail(CliError(f"--listen {args.listen}: {error.strerror or error}"))
