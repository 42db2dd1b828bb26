"""Bind the roles of the chart to a person, a group or a ServiceAccount: what each 403 page of the console names.

reader: nodes, sums, explanations, history, policies, Events. operator: that, and change policies, and say which nodes
take part (that one label of a Node and nothing else of it). Needs the right to make RoleBindings, as cluster
administrators have it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import sys
from typing import Any, Final, Literal

import msgspec
import yaml

from colocation.cli.common import CliError, add_login, fail, login
from colocation.kube.resources import Resource
from colocation.kube.rest import ApiError, Rest
from colocation.text import printable

EXAMPLES: Final = """\
examples:
  colocation grant reader alice                                 a user, as the API server names her
  colocation grant operator --group batch-team                  everybody in a group
  colocation grant reader system:serviceaccount:team:viewer     a ServiceAccount
  colocation grant operator alice --dry-run                     print the bindings, for kubectl apply or Git
"""
Scope = Literal["cluster", "manager", "default"]
_ROLES: Final[dict[str, tuple[tuple[str, str, Scope], ...]]] = {
    # role: (kind and name of what is bound, where)
    "reader": (
        ("ClusterRole", "colocation-view", "cluster"),
        ("Role", "colocation-explain", "manager"),
        ("Role", "colocation-events", "default"),
    ),
    "operator": (
        ("ClusterRole", "colocation-view", "cluster"),
        ("Role", "colocation-explain", "manager"),
        ("Role", "colocation-events", "default"),
        ("ClusterRole", "colocation-operate", "cluster"),
        ("Role", "colocation-operate", "default"),
    ),
}
_GROUP: Final = "rbac.authorization.k8s.io"
_ACCOUNT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")
MANAGER: Final = "colocation-grant"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation grant``."""
    parser.add_argument("role", choices=tuple(_ROLES), help="what they may do")
    parser.add_argument("name", metavar="NAME", help="a user, as the API server names it; with --group a group")
    parser.add_argument("--group", action="store_true", help="NAME is a group")
    parser.add_argument("--dry-run", action="store_true", help="print the bindings instead")
    add_login(parser)


def run(args: argparse.Namespace) -> int:
    """Apply, or print."""
    made = bindings(args.role, args.name, args.namespace, group=args.group)
    if args.dry_run:
        sys.stdout.write(yaml.safe_dump_all(made, sort_keys=False))
        return 0
    try:
        with contextlib.closing(Rest(login(args))) as rest:
            for one in made:
                _apply(rest, one)
                sys.stdout.write(f"{one['kind']} {one['metadata']['name']}: applied\n")
    except CliError as error:
        return fail(error)
    return 0


def bindings(role: str, name: str, namespace: str, *, group: bool = False) -> list[dict[str, Any]]:
    """All that a role needs, for one subject."""
    return [_binding(kind, bound, scope, subject(name, group=group), namespace) for kind, bound, scope in _ROLES[role]]


def subject(name: str, *, group: bool = False) -> dict[str, str]:
    """As RBAC writes it."""
    account = _ACCOUNT.fullmatch(name)
    if account and not group:
        return {"kind": "ServiceAccount", "name": account[2], "namespace": account[1]}
    return {"kind": "Group" if group else "User", "name": name, "apiGroup": _GROUP}


def _binding(kind: str, bound: str, scope: Scope, who: dict[str, str], namespace: str) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "name": _name(bound, who),
        "labels": {"app.kubernetes.io/name": "colocation", "app.kubernetes.io/managed-by": MANAGER},
    }
    if scope != "cluster":
        meta["namespace"] = namespace if scope == "manager" else "default"
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ClusterRoleBinding" if scope == "cluster" else "RoleBinding",
        "metadata": meta,
        "subjects": [who],
        "roleRef": {"kind": kind, "name": bound, "apiGroup": _GROUP},
    }


def _name(bound: str, who: dict[str, str]) -> str:
    """The same each time for the same subject; names of people hold signs that names of objects may not."""
    text = msgspec.json.encode(who, order="sorted")
    plain = re.sub(r"[^a-z0-9-]+", "-", who["name"].lower()).strip("-")[:40].strip("-")
    return f"{bound}-{plain + '-' if plain else ''}{hashlib.sha256(text).hexdigest()[:8]}"


def _apply(rest: Rest, one: dict[str, Any]) -> None:
    """Raises CliError."""
    plural = "clusterrolebindings" if one["kind"] == "ClusterRoleBinding" else "rolebindings"
    meta = one["metadata"]
    path = Resource(one["apiVersion"], plural).path(meta["name"], namespace=meta.get("namespace", ""))
    try:
        rest.send(
            "PATCH",
            path,
            query={"fieldManager": MANAGER, "force": "true"},
            body=msgspec.json.encode(one),
            kind="application/apply-patch+yaml",
            label=plural,
        )
    except ApiError as error:
        what = f"{one['kind']} {meta['name']}"
        if error.code == 403:
            raise CliError(
                f"you may not make {what}: ask a cluster administrator to run the same, or give them the output of "
                f"--dry-run: {printable(error.message)}"
            ) from error
        if error.code == 404 and "namespace" in error.message:
            raise CliError(f"{what}: {error.message}; install colocation first, or give --namespace") from error
        raise CliError(f"{what}: {error.message or error}") from error
