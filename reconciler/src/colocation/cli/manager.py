"""Compute how much every labelled node may oversell, and publish it in Node status.

Runs as a Deployment; the replica that holds the Lease writes, the others are standbys with warm caches. Serves
/healthz, /readyz, /metrics, /v1/report and /v1/explain/NODE. With --webhook every replica also admits pods, for
clusters that do not serve MutatingAdmissionPolicy v1.
"""

from __future__ import annotations

import argparse
from typing import Final

from colocation.admission import Settings
from colocation.cli.common import CliError, add_logging, add_login, fail, login, set_up_logs
from colocation.manager.main import ManagerOptions
from colocation.manager.main import run as run_manager
from colocation.serving import address
from colocation.webhook.main import Webhook, WebhookOptions

EXAMPLES: Final = """\
examples:
  colocation manager                              in a pod: by its ServiceAccount
  colocation manager --once --dry-run             print the patches that it would send now, and exit
  colocation manager --kubeconfig ~/.kube/config --listen 127.0.0.1:8080
                                                  on a workstation, as a standby of the one in the cluster
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation manager``."""
    add = parser.add_argument
    add(
        "--listen",
        default="[::]:8080",
        metavar="HOST:PORT",
        help="default: %(default)s, which is every address, IPv6 and IPv4; port 0: none",
    )
    add(
        "--rate",
        type=float,
        default=50.0,
        metavar="N",
        help="writes per second on average, not limited right after a start (default: %(default)g; 0: no limit)",
    )
    add(
        "--evictions-per-minute",
        type=float,
        default=30.0,
        metavar="N",
        help="evictions of best-effort pods per minute, in the cluster (default: %(default)g; 0: no limit)",
    )
    add("--burst", type=float, default=100.0, metavar="N", help="burst of writes (default: %(default)g)")
    add("--once", action="store_true", help="decide and write everything, then exit (serves nothing)")
    add("--dry-run", action="store_true", help="print each write as a JSON line instead; needs no Lease")
    add("--identity", default="", help="name in the Lease (default: $POD_NAME, else host and process)")
    _add_webhook(parser.add_argument_group("webhook", "admission of pods where the API server has no policies for it"))
    add_login(parser)
    add_logging(parser)


def _add_webhook(group: argparse._ArgumentGroup) -> None:
    add, default = group.add_argument, WebhookOptions()
    add("--webhook", default="", metavar="HOST:PORT", help="serve the webhook here, with TLS (default: no webhook)")
    add("--webhook-secret", default=default.secret, metavar="NAME", help="Secret of the certificate (%(default)s)")
    add(
        "--webhook-secret-is-kept",
        action="store_true",
        help="another component renews that Secret (tls.crt, tls.key, ca.crt): only read it",
    )
    add(
        "--webhook-configuration",
        default=default.configuration,
        metavar="NAME",
        help="MutatingWebhookConfiguration to put the authority into (%(default)s)",
    )
    add("--webhook-service", default=default.service, metavar="NAME", help="Service for the API server (%(default)s)")
    add("--be-scheduler", default="", metavar="NAME", help="scheduler of BE pods that name none")
    add("--hls-scheduler", default="", metavar="NAME", help="scheduler of HLS pods that name none")
    add("--hls-node-affinity", action="store_true", help="schedule HLS pods only on nodes that take part")
    add(
        "--default-priority-class",
        metavar="NAME",
        help="the PriorityClass with globalDefault that admission was installed for (empty: none): a pod with it "
        "counts as having chosen none, and the manager reports a later change (default: not checked)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the manager."""
    set_up_logs(args)
    try:
        host, port = _address("--listen", args.listen)
        webhook = _webhook(args)
    except CliError as error:
        return fail(error)
    options = ManagerOptions(
        namespace=args.namespace,
        identity=args.identity,
        host=host,
        port=0 if args.once else port,
        beside=None if webhook is None else lambda rest, observe: Webhook(webhook, args.namespace, rest, observe),
        rate=args.rate,
        burst=args.burst,
        evictions_per_minute=args.evictions_per_minute,
        default_priority=args.default_priority_class,
        once=args.once,
        dry_run=args.dry_run,
    )
    try:
        return run_manager(login(args), options)
    except CliError as error:
        return fail(error)
    except OSError as error:
        asked = f"--listen {args.listen}" + (f" or --webhook {args.webhook}" if webhook else "")
        return fail(CliError(f"{asked}: {error.strerror or error}"))


def _webhook(args: argparse.Namespace) -> WebhookOptions | None:
    if not args.webhook or args.once or args.dry_run:
        return None
    host, port = _address("--webhook", args.webhook)
    return WebhookOptions(
        host=host,
        port=port,
        secret=args.webhook_secret,
        renews=not args.webhook_secret_is_kept,
        configuration=args.webhook_configuration,
        service=args.webhook_service,
        settings=Settings(
            be_scheduler=args.be_scheduler,
            hls_scheduler=args.hls_scheduler,
            hls_node_affinity=args.hls_node_affinity,
            default_priority_class=args.default_priority_class or "",
        ),
    )


def _address(option: str, given: str) -> tuple[str, int]:
    try:
        return address(given)
    except ValueError as error:
        raise CliError(f"{option}: {error}") from error
