"""Show what a policy would publish before it is applied: on the live cluster, or on recorded usage. Writes nothing.

POLICY_FILE: the manager decides every node with the policies of the file in place of those with the same name. It shows
what each node publishes now and what it would publish once growth has lasted (the amount falls at once). Changes in
steps (spec.rollout) are shown as if they were finished.

POLICY_FILE and --trace: recorded usage is replayed through each policy of the file: how much it publishes, how often
that is written, and how long more was published than was really free. Each node is as large as its pods' requests.

--trace alone: the trace is replayed through our predictor and other rules: violations, their severity, savings.
A violation is a moment whose peak over the coming hour was above the forecast; savings are what could be published, in
percent of the requests. Rules are compared at the same violation rate, by sweeping their margins. The lines below show
how much the predictor spends of a stated violation budget (spec.oversell.*.violationBudget), and its curve.

A trace is a folder or a tar of text files, one per pod, with a line for each step of five minutes: the CPU, or CPU and
memory, in percent of the pod's request. Pods of one folder are grouped into nodes.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
from pathlib import Path
from typing import Any, Final

import msgspec

from colocation.cli.common import CliError, add_asking, fail, show, table
from colocation.cli.policies import ask_what_if, read_policies, render_what_if
from colocation.cli.progress import progress
from colocation.decoding import convert
from colocation.model.wire import ColocationPolicy
from colocation.replay import traces
from colocation.replay.policies import replay_policies
from colocation.replay.rules import BUDGETED
from colocation.replay.score import RuleScore, by_rule
from colocation.replay.shape import Draw, Pod

EXAMPLES: Final = """\
examples:
  colocation simulate policy.yaml                         what every node would publish under it
  colocation simulate --delete default                    the effect of a deletion
  colocation simulate policy.yaml --trace usage.tar.gz    the policies of the file on recorded usage
  colocation simulate --trace usage.tar.gz                a table of all prediction rules
  colocation simulate --trace usage/ --nodes 0 -o json    every pod of the trace, and the whole curves
"""
RATES: Final = (0.005, 0.01, 0.02, 0.05)
_HEAD: Final = ("RULE", "MARGIN", "VIOLATIONS", "SEVERITY", "SAVINGS", "SAVINGS AT 0.5%", "AT 1%", "AT 2%", "AT 5%")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation simulate``."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="POLICY_FILE", help="ColocationPolicies as YAML or JSON; -: stdin"
    )
    parser.add_argument(
        "--delete", action="append", default=[], metavar="POLICY", help="as if this policy were deleted (repeatable)"
    )
    add_trace_arguments(parser)
    add_asking(parser)


def add_trace_arguments(parser: argparse.ArgumentParser) -> None:
    """Which trace, and how it is put together."""
    usual = Draw()
    add = parser.add_argument_group("recorded trace").add_argument
    add("--trace", type=Path, metavar="PATH", help="folder or tar archive of usage files")
    add("--pods-per-node", type=positive, default=usual.pods_per_node, metavar="N", help="default: %(default)s")
    add(
        "--nodes",
        type=int,
        default=usual.nodes,
        metavar="N",
        help="at most N, drawn by --seed; 0: all (default: %(default)s)",
    )
    add(
        "--warm-up",
        type=positive,
        default=usual.warm_up,
        metavar="STEPS",
        help="learn only, first (default: %(default)s)",
    )
    add(
        "--horizon",
        type=positive,
        default=usual.horizon,
        metavar="STEPS",
        help="how far a peak counts (default: %(default)s)",
    )
    add("--seed", type=int, default=usual.seed, help="which pods share a node (default: %(default)s)")


def positive(text: str) -> int:
    """For argparse: a whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def read_nodes(args: argparse.Namespace) -> list[list[Pod]]:
    """The trace's pods by node. Raises TraceError, OSError, tarfile.TarError."""
    names = ("pods_per_node", "nodes", "warm_up", "horizon", "seed")
    return traces.nodes(args.trace, Draw(**{name: getattr(args, name) for name in names}))


def run(args: argparse.Namespace) -> int:
    """Read, replay or ask, print."""
    try:
        if args.trace is None:
            return _live(args)
        return _policies(args) if args.file else _rules(args)
    except (CliError, traces.TraceError, OSError, tarfile.TarError) as error:
        return fail(error)


def _live(args: argparse.Namespace) -> int:
    if not args.file and not args.delete:
        raise CliError("name what to simulate: POLICY_FILE, --delete POLICY or --trace PATH (--help has examples)")
    answer = ask_what_if(args, read_policies(args.file) if args.file else [], args.delete)
    sys.stdout.write(render_what_if(answer) if args.output == "table" else show(answer, args.output))
    return 0


def _policies(args: argparse.Namespace) -> int:
    if args.delete:
        raise CliError("--delete is about the live cluster: leave --trace out")
    policies, nodes = read_policies(args.file), read_nodes(args)
    rows = replay_policies(
        [convert(item, ColocationPolicy) for item in policies], nodes, progress("nodes", len(policies) * len(nodes))
    )
    if args.output == "table":
        sys.stdout.write(f"{len(nodes)} nodes of {args.pods_per_node} pods\n")
        head = ["POLICY", "RESOURCE", "PUBLISHED", "LEAST", "MOST", "TOO MUCH", "WRITES A NODE AND HOUR"]
        lines = [
            [r["policy"], r["resource"], *(f"{100 * r[key]:.1f}%" for key in ("mean", "least", "most", "tooMuch")),
             f"{r['writes']:.2f}"]
            for r in rows
        ]  # fmt: skip
        sys.stdout.write(table([head, *lines], frozenset(range(2, 7))))
        sys.stdout.write("PUBLISHED in percent of capacity; TOO MUCH: part of the time in which less was free.\n")
    else:
        sys.stdout.write(show({"trace": args.trace.name, "nodes": len(nodes), "policies": rows}, args.output))
    return 0


def _rules(args: argparse.Namespace) -> int:
    nodes = read_nodes(args)
    answer: dict[str, Any] = {"trace": args.trace.name, "nodes": len(nodes), "podsPerNode": args.pods_per_node}
    for column, resource in enumerate(("cpu", "memory")[: min(len(pod) for node in nodes for pod in node)]):
        outcomes = by_rule(
            nodes, column, resource, args.warm_up, args.horizon, progress(f"nodes, {resource}", len(nodes))
        )
        answer[resource] = [
            msgspec.to_builtins(rule) | {"savingsAt": {str(rate): rule.savings_at(rate) for rate in RATES}}
            for rule in outcomes
            if rule.rule != BUDGETED
        ]
        answer.setdefault("budgets", {})[resource] = [
            {"asked": p.margin, "spent": p.violations, "severity": p.severity, "savings": p.savings}
            for rule in outcomes
            if rule.rule == BUDGETED
            for p in rule.curve
        ]
        if args.output == "table":
            sys.stdout.write(f"{resource}: {len(nodes)} nodes of {args.pods_per_node} pods\n{render(outcomes)}")
    if args.output != "table":
        sys.stdout.write(show(answer, args.output))
    return 0


def render(outcomes: list[RuleScore]) -> str:
    """The table of rules, for people."""
    rows = [list(_HEAD)]
    for row_of in outcomes:
        if row_of.rule == BUDGETED:
            continue
        point = row_of.usual
        rows.append(
            [
                row_of.rule,
                f"{point.margin:g}",
                *(f"{100 * part:.2f}%" for part in (point.violations, point.severity, point.savings)),
                *("-" if (savings := row_of.savings_at(rate)) is None else f"{100 * savings:.2f}%" for rate in RATES),
            ]
        )
    text = table(rows, frozenset(range(1, 9)))
    for head, rule, scale in (("BUDGET ASKED", BUDGETED, 100), ("PREDICTED, MARGIN", "predicted", 1)):
        sweep = [
            [f"{scale * p.margin:g}" + "%" * (scale == 100),
             *(f"{100 * part:.2f}%" for part in (p.violations, p.severity, p.savings))]
            for row_of in outcomes
            if row_of.rule == rule
            for p in row_of.curve
        ]  # fmt: skip
        text += "\n" + table([[head, "VIOLATIONS", "SEVERITY", "SAVINGS"], *sweep], frozenset(range(4)))
    return text
