"""Policies from a file: read, asked about, and played through recorded usage."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import yaml
from msgspec import structs

from colocation.budget import Candidate, PodSums, Selection, add_up, replay
from colocation.cli import traces
from colocation.cli.common import CliError, ask_manager, table
from colocation.decoding import convert
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Qos
from colocation.model.policy import PolicySpec, part
from colocation.model.quantity import human_bytes, human_millicores
from colocation.model.report import NodeColocationStatus, PodUsage, Usage
from colocation.model.wire import ColocationPolicy
from colocation.predict.peak import EVERY_SECONDS, Histories
from colocation.predict.together import NOTHING, Wanted


def read_policies(path: Path) -> list[dict[str, Any]]:
    """The ColocationPolicies of a file, checked as far as ranges and names go. Raises CliError, OSError."""
    text = sys.stdin.read() if str(path) == "-" else path.read_text()
    try:
        found = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise CliError(f"{path}: neither YAML nor JSON: {error}") from error
    items = [item for one in found for item in (one.get("items", [one]) if isinstance(one, dict) else [one])]
    for number, item in enumerate(items, 1):
        where = f"{path}: document {number}"
        if not isinstance(item, dict) or item.get("kind") != "ColocationPolicy":
            raise CliError(f"{where}: not a ColocationPolicy")
        if not (item.get("metadata") or {}).get("name"):
            raise CliError(f"{where}: it has no metadata.name")
        _check(item.get("spec") or {}, PolicySpec, f"{where}: spec")
        try:
            convert(item, ColocationPolicy)
        except msgspec.ValidationError as error:
            raise CliError(f"{where}: {error}") from error
    if not items:
        raise CliError(f"{path}: there is no ColocationPolicy in it")
    return items


def _check(given: Any, kind: Any, where: str) -> None:
    """Fields that do not exist: the API server would drop them without a word."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)) or not isinstance(given, dict):
        return
    fields = {field.encode_name: field.type for field in structs.fields(kind)}
    for name, value in given.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            raise CliError(f"{where}.{name}: no such field" + (f"; did you mean {near[0]}?" if near else ""))
        inner = fields[name]
        _check(value, getattr(inner, "__origin__", inner), f"{where}.{name}")


def ask_what_if(args: argparse.Namespace, policies: list[dict[str, Any]], gone: list[str]) -> Any:
    """The manager's answer. Raises CliError."""
    wanted = [{"metadata": {"name": p["metadata"]["name"]}, "spec": p.get("spec") or {}} for p in policies]
    query = {"policies": msgspec.json.encode(wanted).decode(), "delete": gone}
    return ask_manager(args, f"/v1/simulate?{urlencode(query, doseq=True)}")


def render_what_if(told: dict[str, Any]) -> str:
    """The table for people: what would change, then the sums."""
    rows = [["NODE", "POLICY", "BE-CPU", "WOULD BE", "BE-MEMORY", "WOULD BE", "OPEN", "WOULD BE", "WHY"]]
    same = 0
    for node in told["nodes"]:
        now, then = node["now"], node["then"]
        if now == then:
            same += 1
            continue
        policy = then["policy"] or "none"
        rows.append(
            [
                node["node"],
                policy if now["policy"] in (then["policy"], None) else f"{now['policy']} -> {policy}",
                *(_say(one["cpu"], human_millicores) for one in (now, then)),
                *(_say(one["memory"], human_bytes) for one in (now, then)),
                *("yes" if one["open"] else "no" for one in (now, then)),
                node["reason"],
            ]
        )
    total = [
        "all", "",
        *(human_millicores(_sum(told, when, "cpu")) for when in ("now", "then")),
        *(human_bytes(_sum(told, when, "memory")) for when in ("now", "then")),
        *(f"{sum(n[when]['open'] for n in told['nodes'])}/{len(told['nodes'])}" for when in ("now", "then")), "",
    ]  # fmt: skip
    note = f"{same} nodes would stay as they are. Nothing was written.\n"
    return table([*rows, total], frozenset(range(2, 6))) + note


def _say(value: int | None, words: Callable[[int], str]) -> str:
    return "none" if value is None else words(value)


def _sum(told: dict[str, Any], when: str, key: str) -> int:
    return sum(node[when][key] or 0 for node in told["nodes"])


def replay_policies(
    policies: list[dict[str, Any]], nodes: list[list[traces.Pod]], told: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Each policy on each node of a trace: figures by policy and resource, parts of one."""
    rows, done = [], 0
    for item in policies:
        wire = convert(item, ColocationPolicy)
        shares: dict[str, list[float]] = {"cpu": [], "memory": []}
        over = {"cpu": 0, "memory": 0}
        writes = 0
        for pods in nodes:
            facts, online = _node(pods)
            candidate = Candidate(wire.metadata.name, 0, wire.spec)
            used = [
                (s.node.cpu or 0, s.node.memory or 0) if s.node else (0, 0) for s, _ in _reports(pods, online, None)
            ]
            steps = replay(
                facts, Selection(candidate, (), "simulated"), _reports(pods, online, wire.spec), traces.STEP_SECONDS
            )
            # What was published from one report until the next is judged by what was used then.
            for step, (cpu, memory) in zip(steps, [*used[1:], used[-1]], strict=True):
                shares["cpu"].append(step.cpu / facts.cpu_capacity)
                shares["memory"].append(step.memory / facts.memory_capacity)
                over["cpu"] += step.cpu > facts.cpu_capacity - cpu
                over["memory"] += step.memory > facts.memory_capacity - memory
                writes += step.written
            done += 1
            told(done)
        hours = len(shares["cpu"]) * traces.STEP_SECONDS / 3600
        rows += [
            {
                "policy": wire.metadata.name,
                "resource": resource,
                "mean": sum(shares[resource]) / len(shares[resource]),
                "least": min(shares[resource]),
                "most": max(shares[resource]),
                "tooMuch": over[resource] / len(shares[resource]),
                "writes": writes / hours,
            }
            for resource in ("cpu", "memory")[: min(len(pod) for node in nodes for pod in node)]
        ]
    return rows


def _node(pods: list[traces.Pod]) -> tuple[NodeFacts, list[PodFacts]]:
    cpu, memory = traces.REQUEST["cpu"], traces.REQUEST["memory"]
    size = (cpu * len(pods), memory * len(pods))
    facts = NodeFacts("node", "uid", "1", {names.NODE_LABEL: "true"}, size[0], size[0], size[1], size[1])
    return facts, [PodFacts(f"p{i}", f"p{i}", f"p{i}", "node", Qos.LS, True, cpu, memory) for i in range(len(pods))]


def _wanted(spec: PolicySpec, pods: int) -> tuple[Wanted, Wanted]:
    """What the policy would have the agent foretell."""
    return (
        Wanted(traces.REQUEST["cpu"] * pods, part(spec.oversell.cpu.violation_budget)),
        Wanted(traces.REQUEST["memory"] * pods, part(spec.oversell.memory.violation_budget)),
    )


def _reports(
    pods: list[traces.Pod], online: list[PodFacts], spec: PolicySpec | None
) -> Iterator[tuple[NodeColocationStatus, PodSums]]:
    """What the agent would have reported, prediction included, and what the pods come to under this policy."""
    by = (spec.oversell.cpu.strategy, spec.oversell.memory.strategy) if spec else None
    histories = Histories() if by and "predicted" in by else None
    wanted = _wanted(spec, len(pods)) if spec else (NOTHING, NOTHING)
    for at in range(min(len(pod[0]) for pod in pods)):
        rows = []
        for number, pod in enumerate(pods):
            percent = [min(100.0, max(0.0, column[at])) for column in pod]
            cpu = int(percent[0] * traces.REQUEST["cpu"] / 100)
            memory = int(percent[1] * traces.REQUEST["memory"] / 100) if len(percent) > 1 else 0
            rows.append(PodUsage(uid=f"p{number}", cpu=cpu, cpu_peak=cpu, memory=memory, memory_peak=memory))
        if histories is not None:
            minutes = int(traces.STEP_SECONDS / EVERY_SECONDS)
            for minute in range(minutes):  # the agent learns each minute, the trace has a value each five
                now = at * traces.STEP_SECONDS + minute * EVERY_SECONDS
                histories.learn(now, rows, [r.uid for r in rows], cpu=wanted[0], memory=wanted[1])
            rows = [histories.told(row) for row in rows]
        total = Usage(cpu=sum(r.cpu or 0 for r in rows), memory=sum(r.memory or 0 for r in rows))
        status = NodeColocationStatus(observed_at=str(at), node=total, system=Usage(cpu=0, memory=0), pods=tuple(rows))
        yield status, add_up(online, status, by)
