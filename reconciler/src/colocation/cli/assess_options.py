"""Options of `colocation assess`."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from colocation.assess.recommend import Price
from colocation.cli.common import CliError
from colocation.model.policy import BUDGET_PATTERN, part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation assess``."""
    _cluster(parser)
    _prometheus(parser)
    _traces(parser)
    _report(parser)


def _cluster(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("cluster").add_argument
    add("--kubeconfig", metavar="FILE", help="default: the pod's ServiceAccount, $KUBECONFIG, ~/.kube/config")
    add("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    add("--pool-label", metavar="KEY", help="Node label that names pools (default: those of the usual providers)")
    add("--cluster-role", action="store_true", help="print the ClusterRole that reading a cluster needs, and stop")


def _prometheus(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("Prometheus").add_argument
    add("--prometheus", metavar="URL", help="default: looked for through the API server")
    add("--prometheus-token-file", type=Path, metavar="FILE", help="bearer token")
    add("--prometheus-user", metavar="NAME", help="for basic authentication")
    add("--prometheus-password-file", type=Path, metavar="FILE")
    add("--prometheus-ca", type=Path, metavar="FILE", help="certificates to trust")
    add("--prometheus-cert", type=Path, metavar="FILE", help="client certificate, with --prometheus-key")
    add("--prometheus-key", type=Path, metavar="FILE")
    add("--prometheus-insecure", action="store_true", help="trust any certificate")
    add(
        "--prometheus-header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="such as a tenant's; repeatable",
    )
    add("--days", type=_days, default=14.0, metavar="N", help="how far to look back (default: 14, or what there is)")
    add(
        "--metrics-server", action="store_true",
        help="without Prometheus: sample metrics.k8s.io until Ctrl-C (then assess), or for --hours; it may be resumed",
    )  # fmt: skip
    add("--hours", type=float, metavar="N", help="with --metrics-server: how long to sample; 0: only assess")
    add("--no-cache", action="store_true", help="keep no answers on disk; a stopped run starts again")


def _traces(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("recorded use").add_argument
    add("--record", type=Path, metavar="FILE", help="write the use to a file, and assess nothing")
    add("--anonymous", action="store_true", help="with --record: replace all names")
    add("--trace", type=Path, metavar="FILE", help="assess such a file; no cluster is asked")


def _report(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("report").add_argument
    add("--risk", default="1%", metavar="PERCENT", help="share of node-time in which an hour's peak may exceed the "
        "forecast, 0.1%% to 20%% (default: 1%%)")  # fmt: skip
    add("--since", metavar="DATE", help="after the roll-out: foretold from use before DATE, beside what happened since")
    add("--price", metavar="cpu=N,memory=N[,currency=X]", help="of a core and of a GiB for an hour")
    add(
        "-o", "--output", choices=("table", "json", "yaml", "csv", "policies"), default="table",
        help="csv: one row per node; policies: ready for kubectl apply (default: table)",
    )  # fmt: skip
    add("--html", type=Path, metavar="FILE", help="also write a page with plots; it needs nothing but itself")
    add("--lang", choices=("en", "zh"), default="en", help="of the page (default: en)")


def risk(text: str) -> float:
    """A part of one. Raises CliError."""
    if text == "0%" or not re.fullmatch(BUDGET_PATTERN, text):
        raise CliError(
            f"--risk {text}: write it as a percentage from 0.1% to 20%, with two decimals at most, such as 1%"
        )
    return part(text)


def price(text: str) -> Price:
    """Raises CliError."""
    given = dict(pair.partition("=")[::2] for pair in text.split(","))
    try:
        answer = Price(float(given.pop("cpu")), float(given.pop("memory")), given.pop("currency", ""))
    except (KeyError, ValueError):
        answer = None
    if answer is None or given or min(answer.cpu, answer.memory) < 0:
        raise CliError(f"--price {text}: write it as cpu=0.03,memory=0.004,currency=EUR, per core or GiB and hour")
    return answer


def folder() -> Path:
    """Where answers of Prometheus are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colocation/assess"


def _days(text: str) -> float:
    value = float(text)
    if not 0 < value <= 365:
        raise argparse.ArgumentTypeError("must be above 0 and at most 365")
    return value
