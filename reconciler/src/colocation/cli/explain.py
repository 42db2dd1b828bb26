"""Why a node has the number it has: every term of the sum, and where it comes from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from colocation.cli.common import CliError, add_asking, ask_manager, fail, show, table
from colocation.model import names
from colocation.model.quantity import human_bytes, human_millicores
from colocation.text import printable

EXAMPLES: Final = """\
examples:
  colocation explain worker-1                     the sum as a table
  colocation explain worker-1 -o json             the same, every term, for programs (docs/explain.schema.json)
  colocation explain worker-1 --manager http://127.0.0.1:8080
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation explain``."""
    parser.add_argument("node", metavar="NODE", help="name of a Node")
    add_asking(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, and print."""
    try:
        told = ask_manager(args, f"/v1/explain/{quote(args.node, safe='')}")
    except CliError as error:
        return fail(error)
    if args.output == "table":
        sys.stdout.write(render(told))
    else:
        show(told, args.output)
    return 0


def render(told: dict[str, Any]) -> str:
    """The explanation for people."""
    policy, report, gate = told["policy"], told["report"], told["gate"]
    version = f" (generation {policy['generation']})" if policy["name"] else ""
    head = [
        ["node", told["node"]],
        ["in short", told["reason"]],
        ["policy", f"{policy['name'] or 'none'}{version}: {policy['reason']}"],
        ["report", _report(report)],
        *(["", f"doubtful: {doubt}"] for doubt in report.get("doubts", ())),
        [
            "new BE pods",
            f"welcome, up to {gate['maxPods']}" if gate["open"] else "; ".join(gate["closedBecause"]) or "none",
        ],
    ]
    parts = [table(head)]
    for key, name, say in (("cpu", names.BE_CPU, human_millicores), ("memory", names.BE_MEMORY, human_bytes)):
        if told[key] is not None:
            parts.append(_resource(told[key], name, say))
    if told["topPods"]:
        rows = [["ONLINE PODS", "QOS", "CPU", "MEMORY", "BY"]]
        rows += [
            [p["name"], p["qos"], human_millicores(p["cpu"]), human_bytes(p["memory"]), _rules(p)]
            for p in told["topPods"]
        ]
        parts.append(table(rows, frozenset({2, 3})))
    if (told["withdrawn"] or "").startswith("the node is not labelled"):
        parts.append(f"To take it in: kubectl label node {printable(told['node'])} {names.NODE_LABEL}=true\n")
    return "\n".join(parts)


def _resource(one: dict[str, Any], name: str, say: Callable[[int], str]) -> str:
    rows = [[f"  {term['name']}", say(term["value"]), term["source"]] for term in one["terms"]]
    rows.append(["= free", say(one["free"]), "the sum"])
    rows.append(["= result", say(one["result"]), _result(one, say)])
    rises = one["risesInSeconds"]
    later = f"; rises in {rises:g} s if nothing changes" if rises is not None else ""
    rows.append(["= room", say(one["room"]), f"the smallest result of the grow window{later}"])
    running = say(one["promisedRunning"])
    rows.append(["  promised", say(one["promised"]), f"to bound BE pods, {running} of it to running ones"])
    published = "none" if one["published"] is None else say(one["published"])
    on_node = "none" if one["onNode"] is None else say(one["onNode"])
    note = name if one["published"] == one["onNode"] else f"{name}; the Node still says {on_node}"
    rows.append(["= published", published, note])
    return table(rows, frozenset({1}))


def _result(one: dict[str, Any], say: Callable[[int], str]) -> str:
    if one["problem"]:
        return f"nothing, because {one['problem']}"
    return f"within 0 and {say(one['ceiling'])}, down to a multiple of {say(one['quantum'])}"


def _report(report: dict[str, Any]) -> str:
    if report["problem"]:
        return f"cannot be used: {report['problem']}"
    if report["ageSeconds"] is None or not report["observedAt"]:
        return "none has arrived"
    since = "" if report["sinceManagerStart"] else ", from before the manager started"
    return f"{report['ageSeconds']:g} s old (observed {report['observedAt']} by the node's clock{since})"


def _rules(pod: dict[str, Any]) -> str:
    cpu, memory = str(pod["cpuRule"]), str(pod["memoryRule"])
    return cpu if cpu == memory else f"cpu: {cpu}; memory: {memory}"
