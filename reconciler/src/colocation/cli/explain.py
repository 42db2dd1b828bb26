"""Why a node has the number it has: every term of the sum, and where it comes from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from colocation.cli.common import CliError, add_asking, ask_manager, fail, login, show, table
from colocation.cli.completion import nodes
from colocation.decoding import decode
from colocation.kube.resources import Resource
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.model.quantity import human_bytes, human_millicores
from colocation.text import printable

EXAMPLES: Final = """\
examples:
  colocation explain worker-1                     the sum as a table
  colocation explain worker-1 -o json             the same, every term, for programs (docs/explain.schema.json)
  colocation explain worker-1 --history           when it moved by more than 10 %, and why
  colocation explain worker-1 --manager http://127.0.0.1:8080
"""
_EVENTS: Final = Resource("v1", "namespaces/default/events")
"""As core/v1, which can be selected by the object that they are about."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation explain``."""
    node = parser.add_argument("node", metavar="NODE", help="name of a Node")
    node.completer = nodes  # type: ignore[attr-defined] # as argcomplete wants it
    parser.add_argument(
        "--history",
        action="store_true",
        help="the history instead, from the manager's Events (kept for an hour or so)",
    )
    add_asking(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, and print."""
    try:
        if args.history:
            rows = _history(args)
            sys.stdout.write(_past(rows, args.node) if args.output == "table" else show(rows, args.output))
            return 0
        answer = ask_manager(args, f"/v1/explain/{quote(args.node, safe='')}")
    except CliError as error:
        return fail(error)
    sys.stdout.write(render(answer) if args.output == "table" else show(answer, args.output))
    return 0


def _history(args: argparse.Namespace) -> list[dict[str, str]]:
    """The manager's Events about a node, oldest first. Raises CliError."""
    if args.manager:
        raise CliError("--history is asked of the API server, not of the manager: leave --manager out")
    rest = Rest(login(args))
    query = {"fieldSelector": f"involvedObject.kind=Node,involvedObject.name={args.node}"}
    try:
        items = [decode(raw, dict) for page in rest.pages(_EVENTS, query) for raw in page.items or ()]
    except ApiError as error:
        raise CliError(f"Events cannot be read (you need `list` on events in default): {error.message}") from error
    finally:
        rest.close()
    ours = [item for item in items if item.get("reportingComponent") == names.REPORTER]
    rows = [{"time": str(i.get("eventTime")), "reason": i["reason"], "note": i.get("message", "")} for i in ours]
    return sorted(rows, key=lambda row: row["time"])


def _past(rows: list[dict[str, str]], node: str) -> str:
    if not rows:
        return f"No Event says that {node} moved by more than 10 %; the manager's log goes back further.\n"
    parts = []
    for row in rows:
        lines = "".join(f"    {printable(part)}\n" for part in row["note"].split("; "))
        parts.append(f"{printable(row['time'][:19])}Z  {printable(row['reason'])}\n{lines}")
    return "\n".join(parts)


def render(answer: dict[str, Any]) -> str:
    """The explanation for people."""
    policy, report, gate = answer["policy"], answer["report"], answer["gate"]
    version = f" (generation {policy['generation']})" if policy["name"] else ""
    head = [
        ["node", answer["node"]],
        ["summary", answer["reason"]],
        ["policy", f"{policy['name'] or 'none'}{version}: {policy['reason']}"],
        *([["also match", ", ".join(policy["others"])]] if policy["others"] else []),
        ["report", _report(report)],
        *(["", f"suspect: {suspicion}"] for suspicion in report.get("suspicions", ())),
        *(["no limits", sentence] for sentence in answer.get("leftOut", ())),
        [
            "new BE pods",
            f"accepted, up to {gate['maxPods']}" if gate["open"] else "; ".join(gate["closedReasons"]) or "none",
        ],
    ]
    parts = [table(head)]
    for key, name, say in (("cpu", names.BE_CPU, human_millicores), ("memory", names.BE_MEMORY, human_bytes)):
        if answer[key] is not None:
            parts.append(_resource(answer[key], name, say))
    if answer.get("evictions"):
        rows = [["TO LEAVE", "BECAUSE", "STATE"]]
        rows += [[e["pod"], e["message"], _state(e)] for e in answer["evictions"]]
        parts.append(table(rows))
    if answer["topPods"]:
        rows = [["ONLINE PODS", "QOS", "CPU", "MEMORY", "BY"]]
        rows += [
            [p["name"], p["qos"], human_millicores(p["cpu"]), human_bytes(p["memory"]), _rules(p)]
            for p in answer["topPods"]
        ]
        parts.append(table(rows, frozenset({2, 3})))
    if answer["wouldChange"]:
        levers = "".join(f"  {printable(sentence)}\n" for sentence in answer["wouldChange"])
        parts.append(f"What would change it:\n{levers}")
    return "\n".join(parts)


def _resource(budget: dict[str, Any], name: str, say: Callable[[int], str]) -> str:
    rows = [[f"  {term['name']}", say(term["value"]), term["source"]] for term in budget["terms"]]
    rows.append(["= free", say(budget["free"]), "the sum"])
    rows.append(["= result", say(budget["result"]), _result(budget, say)])
    rises = budget["risesInSeconds"]
    later = f"; rises in {rises:g} s if nothing changes" if rises is not None else ""
    rows.append(["= headroom", say(budget["headroom"]), f"the smallest result of the grow window{later}"])
    running = say(budget["allocatedRunning"])
    rows.append(["  allocated", say(budget["allocated"]), f"to bound BE pods, {running} of it to running ones"])
    published = "none" if budget["published"] is None else say(budget["published"])
    on_node = "none" if budget["onNode"] is None else say(budget["onNode"])
    note = name if budget["published"] == budget["onNode"] else f"{name}; the Node still says {on_node}"
    rows.append(["= published", published, note])
    return table(rows, frozenset({1}))


def _result(budget: dict[str, Any], say: Callable[[int], str]) -> str:
    if budget["problem"]:
        return f"nothing, because {budget['problem']}"
    return f"within 0 and {say(budget['ceiling'])}, down to a multiple of {say(budget['quantum'])}"


def _report(report: dict[str, Any]) -> str:
    if report["problem"]:
        return f"cannot be used: {report['problem']}"
    if report["ageSeconds"] is None or not report["observedAt"]:
        return "none has arrived"
    since = "" if report["sinceManagerStart"] else ", from before the manager started"
    return f"{report['ageSeconds']:g} s old (observed {report['observedAt']} by the node's clock{since})"


def _state(eviction: dict[str, Any]) -> str:
    refused = f"refused: {eviction['refused']}" if eviction["refused"] else ""
    stays = f"stays: {eviction['stays']}" if eviction.get("stays") else ""  # an older manager does not say it
    return "; ".join(part for part in ("next" if eviction["next"] else "", refused, stays) if part)


def _rules(pod: dict[str, Any]) -> str:
    cpu, memory = str(pod["cpuRule"]), str(pod["memoryRule"])
    return cpu if cpu == memory else f"cpu: {cpu}; memory: {memory}"
