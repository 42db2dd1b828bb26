"""What several subcommands share: options, login, the way to the manager, output forms."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
import yaml
from msgspec import Struct

from colocation import logs
from colocation.decoding import decode
from colocation.kube.login import Login, LoginError, find
from colocation.kube.resources import ACCOUNTS
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.text import printable

SERVICE: Final = "http:colocation-manager:8080"


PROOF_SECONDS: Final = 600


class _TokenStatus(Struct):
    token: str


class _Token(Struct):
    status: _TokenStatus


class CliError(Exception):
    """What went wrong, and what to do about it; exit status 1."""


def add_login(parser: argparse.ArgumentParser) -> None:
    """--kubeconfig, --context, --namespace."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig", metavar="FILE", help="default: the pod's ServiceAccount, $KUBECONFIG, ~/.kube/config"
    )
    group.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    group.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", names.NAMESPACE),
        help="where the manager and its Lease are (default: $POD_NAMESPACE, else %(default)s)",
    )


def add_logging(parser: argparse.ArgumentParser) -> None:
    """--log-level, --log-format."""
    group = parser.add_argument_group("logging (to stderr)")
    group.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    group.add_argument("--log-format", choices=("json", "text"), default="json", help="json: one object per line")


def add_asking(parser: argparse.ArgumentParser, *forms: str) -> None:
    """Options of commands that ask the manager; ``forms``: of output, beside the usual ones."""
    parser.add_argument(
        "-o", "--output", choices=("table", "json", "yaml", *forms), default="table", help="default: table"
    )
    add_login(parser)
    parser.add_argument(
        "--manager",
        metavar="URL",
        help="query this manager directly (a port-forward); the API server only issues the proof",
    )


def login(args: argparse.Namespace) -> Login:
    """Log in as the options say. Raises CliError."""
    try:
        return find(args.kubeconfig, args.context)
    except LoginError as error:
        raise CliError(str(error)) from error


def set_up_logs(args: argparse.Namespace) -> None:
    """Apply the logging options."""
    logs.setup(args.log_level, args.log_format)


def ask_manager(args: argparse.Namespace, path: str) -> Any:
    """GET a JSON answer of the manager's, with proof of the right to read it. Raises CliError with the remedy."""
    if args.manager and urlsplit(args.manager).scheme not in ("http", "https"):
        raise CliError(f"--manager {args.manager}: not a URL; try --manager http://127.0.0.1:8080")
    ours = login(args)
    with contextlib.closing(Rest(ours)) as api:
        proof = {names.TOKEN_HEADER: _proof(api, args)}
    if args.manager:
        way, proxy = Login(args.manager.rstrip("/"), lambda: proof, _nothing), ""
    else:
        way = msgspec.structs.replace(ours, headers=lambda: {**ours.headers(), **proof})
        proxy = f"/api/v1/namespaces/{quote(args.namespace)}/services/{SERVICE}/proxy"
    with contextlib.closing(Rest(way)) as rest:
        try:
            return msgspec.json.decode(rest.text(proxy + path))
        except ApiError as error:
            raise CliError(_remedy(error, args)) from error
        except msgspec.DecodeError as error:
            raise CliError(f"the answer is not from a colocation manager: {error}") from error


def _proof(api: Rest, args: argparse.Namespace) -> str:
    """A token that only those may mint who may read what the manager knows. Raises CliError."""
    path = ACCOUNTS.path(names.READER, namespace=args.namespace, sub="token")
    spec = {"audiences": [names.AUDIENCE], "expirationSeconds": PROOF_SECONDS}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    try:
        return decode(api.create(path, body), _Token).status.token
    except ApiError as error:
        raise CliError(_no_proof(error, args)) from error
    except msgspec.DecodeError as error:
        raise CliError(f"the answer is not from an API server: {error}") from error


def show(document: Any, form: str) -> str:
    """As JSON or YAML, in ASCII: a terminal obeys some of what is not."""
    if form == "json":
        return json.dumps(document, indent=2) + "\n"
    return str(yaml.safe_dump(document, sort_keys=False))


def fail(error: Exception) -> int:
    """Say it, on stderr; exit status 1. A message may have several lines."""
    sys.stderr.write("colocation: " + "\n".join(printable(line) for line in str(error).split("\n")) + "\n")
    return 1


def table(rows: list[list[str]], right: frozenset[int] = frozenset()) -> str:
    """Columns as wide as needed, two spaces apart; ``right``: columns of numbers. Control characters are escaped."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def _no_proof(error: ApiError, args: argparse.Namespace) -> str:
    if error.code == 0:
        return f"the API server does not answer: {error.message}"
    if error.code == 404:
        return (
            f"no manager in namespace {args.namespace}: ServiceAccount {names.READER} is not there. "
            "Install it (playbooks/site.yml, or the chart), or give --namespace"
        )
    if error.code == 403:
        return f"not allowed to ask the manager: {_role(args)} has `create` on serviceaccounts/token: {error.message}"
    return error.message or str(error)


def _remedy(error: ApiError, args: argparse.Namespace) -> str:
    if error.code == 0:
        where = args.manager or "the API server"
        return f"{where} does not answer: {error.message}"
    if error.code == 404 and "services" in error.message:
        return (
            f"no manager in namespace {args.namespace}: Service colocation-manager is not there. "
            "Install it (playbooks/site.yml, or the chart), or give --namespace"
        )
    if error.code == 503 and "endpoints" in error.message:
        return (
            f"the manager is not ready: kubectl -n {args.namespace} get pods shows why "
            "(Service colocation-manager has no endpoint)"
        )
    if error.code == 403:
        return f"not allowed to ask the manager: {_role(args)} has `get` on services/proxy: {error.message}"
    return error.message or str(error)


def _role(args: argparse.Namespace) -> str:
    return f"Role colocation-explain in {args.namespace}, to be bound to you,"


def _nothing() -> None:
    return None
