"""Serve the web console and its REST API: nodes, policies, history; what people may see and do is what RBAC gives them.

It has no credential for the API server: every request there carries the token of the person who asks. The report it
gets from the manager, with a token that is worth nothing elsewhere.
"""

from __future__ import annotations

import argparse
import os
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from colocation.cli.common import CliError, add_logging, fail, set_up_logs
from colocation.console import people
from colocation.console.main import Running
from colocation.console.main import run as run_console
from colocation.console.place import Options
from colocation.console.prometheus import Source
from colocation.model import names
from colocation.serving import address

EXAMPLES: Final = """\
examples:
  colocation console                              in its Deployment: options and files as the chart gives them
  colocation console --api-server https://10.0.0.1:6443 --api-ca ca.crt --manager http://127.0.0.1:8080 \\
      --manager-token token --listen 127.0.0.1:8443
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation console``."""
    add = parser.add_argument
    add("--listen", default="[::]:8443", metavar="HOST:PORT", help="for people (default: %(default)s)")
    add(
        "--probes",
        default="[::]:9103",
        metavar="HOST:PORT",
        help="healthz, readyz, metrics (%(default)s; port 0: none)",
    )
    add(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", names.NAMESPACE),
        help="where the manager is (%(default)s)",
    )
    add("--api-server", default=_in_pod(), metavar="URL", help="default: the pod's cluster")
    add("--api-ca", metavar="FILE", help="its certificate authority")
    add("--manager", default="", metavar="URL", help="default: http://colocation-manager.NAMESPACE.svc:8080")
    add("--manager-token", type=Path, metavar="FILE", help="token of the audience colocation, renewed by kubelet")
    add("--session-key", type=Path, metavar="FILE", help="32 bytes; default: made at the start, for one replica")
    add("--tls", type=Path, metavar="FOLDER", help="serve https with its tls.crt and tls.key (default: http)")
    add("--cluster", default="", metavar="NAME", help="how pages name this cluster")
    add("--base-path", default="", metavar="PATH", help="the path below which a browser sees it: /colocation")
    history = parser.add_argument_group("history from Prometheus (default: what the console remembers)")
    history.add_argument("--prometheus", default="", metavar="URL")
    history.add_argument("--prometheus-token", type=Path, metavar="FILE")
    history.add_argument("--prometheus-ca", metavar="FILE")
    group = parser.add_argument_group("signing in")
    group.add_argument("--auth-mode", choices=("token", "proxy"), default="token", help="default: %(default)s")
    group.add_argument(
        "--auth-header", action="append", metavar="NAME", help=f"mode proxy (repeatable): {', '.join(people.HEADERS)}"
    )
    group.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="CIDR",
        help="whose X-Forwarded-* counts (repeatable)",
    )
    add_logging(parser)


def run(args: argparse.Namespace) -> int:
    """Run the console."""
    set_up_logs(args)
    try:
        return run_console(_running(args))
    except CliError as error:
        return fail(error)
    except (OSError, ValueError) as error:
        return fail(CliError(str(error)))


def _running(args: argparse.Namespace) -> Running:
    if not args.api_server:
        raise CliError("not in a pod: give --api-server URL")
    try:
        host, port = address(args.listen)
        probes_host, probes_port = address(args.probes)
        networks = tuple(ip_network(one) for one in args.trusted_proxy)
    except ValueError as error:
        raise CliError(str(error)) from error
    base = args.base_path.rstrip("/")
    if base and not base.startswith("/"):
        raise CliError(f"--base-path {args.base_path}: it begins with /")
    return Running(
        options=Options(
            namespace=args.namespace,
            mode=args.auth_mode,
            headers=tuple(args.auth_header or people.HEADERS),
            base_path=base,
            trusted_proxies=networks,
            cluster=args.cluster,
        ),
        host=host,
        port=port,
        probes_host=probes_host,
        probes_port=probes_port,
        api_server=args.api_server,
        api_ca=args.api_ca,
        manager=args.manager or f"http://colocation-manager.{args.namespace}.svc:8080",
        manager_token=args.manager_token,
        session_key=args.session_key,
        tls=args.tls,
        prometheus=Source(url=args.prometheus, token=args.prometheus_token, ca=args.prometheus_ca)
        if args.prometheus
        else None,
    )


def _in_pod() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://{f'[{host}]' if ':' in host else host}:{port}" if host else ""
