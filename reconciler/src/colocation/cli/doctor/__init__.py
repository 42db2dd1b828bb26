"""What is wrong with this installation, and what to do.

It looks at versions, CRDs, your rights, manager, agents, admission, policies, nodes, and best-effort pods that wait. It
only reads. What you have no right to read is reported as not looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any, Final

import msgspec

from colocation import __version__
from colocation.cli.common import CliError, add_asking, fail, login, show
from colocation.cli.doctor import installation, work
from colocation.cli.doctor.cluster import Cluster, age
from colocation.cli.doctor.finding import Finding, Level, Unread, version_of, worst
from colocation.kube.resources import NODES, PODS, POLICIES, WEBHOOKS, Resource
from colocation.kube.rest import Rest
from colocation.text import printable

SCHEMA: Final = "colocation.openfuyao.com/doctor/v1"
EXAMPLES: Final = """\
examples:
  colocation doctor                    every check, and what to do about each finding
  colocation doctor -o json            the same for programs: findings with check, level, message, remedy, objects

exit status: 0 nothing is wrong; 1 the cluster cannot be asked; 2 wrong arguments; 3 warnings, or something could not be
looked at; 4 errors
"""
_STATUS: Final = {Level.OK: 0, Level.UNKNOWN: 3, Level.WARNING: 3, Level.ERROR: 4}
_DEPLOYMENTS: Final = Resource("apps/v1", "deployments", namespaced=True)
_DAEMON_SETS: Final = Resource("apps/v1", "daemonsets", namespaced=True)
_ADMISSION: Final = Resource("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies")
_BINDINGS: Final = Resource("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings")
_COLOURS: Final = {Level.OK: "32", Level.UNKNOWN: "33", Level.WARNING: "33", Level.ERROR: "31"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation doctor``."""
    add_asking(parser)


def run(args: argparse.Namespace) -> int:
    """Look, and print; the exit status says how bad it is."""
    try:
        with contextlib.closing(Rest(login(args))) as rest:
            found = examine(Cluster(rest, args))
    except CliError as error:
        return fail(error)
    level = worst(found)
    if args.output == "table":
        sys.stdout.write(render(found, colour=sys.stdout.isatty()))
    else:
        document = {"schema": SCHEMA, "version": __version__, "result": level, "findings": found}
        sys.stdout.write(show(msgspec.to_builtins(document), args.output))
    return _STATUS[level]


def examine(cluster: Cluster) -> list[Finding]:
    """Every check, in the order in which one explains the next. Raises CliError if the API server does not answer."""
    namespace = cluster.namespace
    deployment, daemon_set = (
        cluster.one(_DEPLOYMENTS, "colocation-manager"),
        cluster.one(_DAEMON_SETS, "colocation-agent"),
    )
    version = version_of(deployment) if deployment and not isinstance(deployment, Unread) else ""
    rows, waiting = cluster.report(), cluster.all(PODS, fieldSelector="status.phase=Pending")
    ages = (
        {}
        if isinstance(waiting, Unread)
        else {_full(pod): age(pod["metadata"]["creationTimestamp"]) for pod in waiting}
    )
    return [
        *installation.kubernetes(cluster.version()),
        *installation.crds(cluster.served()),
        *installation.rights(cluster.allowed(), namespace),
        *installation.manager(deployment, cluster.pods("manager"), cluster.lease_age(), __version__, namespace),
        *installation.asked(rows),
        *installation.agents(daemon_set, cluster.pods("agent"), version, namespace),
        *installation.admission(
            cluster.all(_ADMISSION), cluster.all(_BINDINGS), cluster.one(WEBHOOKS, "colocation-pods")
        ),
        *work.policies(cluster.all(POLICIES)),
        *work.nodes(cluster.all(NODES), rows, namespace),
        *work.pending(waiting, ages),
    ]


def render(found: list[Finding], *, colour: bool = False) -> str:
    """A line for each finding, and below it what to do."""
    lines = []
    for finding in found:
        word = f"{finding.level.value:8}"
        word = f"\x1b[{_COLOURS[finding.level]}m{word}\x1b[0m" if colour else word
        lines.append(f"{word} {finding.check:10} {printable(finding.message)}\n")
        if finding.remedy and finding.level is not Level.OK:
            lines.append(f"{'':20}-> {printable(finding.remedy)}\n")
    bad = sum(f.level is Level.ERROR for f in found), sum(f.level is Level.WARNING for f in found)
    unknown = sum(f.level is Level.UNKNOWN for f in found)
    lines.append(f"\n{bad[0]} errors, {bad[1]} warnings, {unknown} not looked at\n")
    return "".join(lines)


def _full(pod: dict[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
