"""Policies from a file: read, checked, and what the live cluster would carry under them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import yaml

from colocation.cli.common import CliError, ask_manager, table
from colocation.decoding import convert
from colocation.model import form
from colocation.model.quantity import human_bytes, human_millicores
from colocation.model.wire import ColocationPolicy


def read_policies(path: Path) -> list[dict[str, Any]]:
    """The ColocationPolicies of a file, checked as far as ranges and names go. Raises CliError, OSError."""
    text = sys.stdin.read() if str(path) == "-" else path.read_text()
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise CliError(f"{path}: neither YAML nor JSON: {error}") from error
    items: list[Any] = []
    for document in documents:
        items += document.get("items", [document]) if isinstance(document, dict) else [document]
    for number, item in enumerate(items, 1):
        where = f"{path}: document {number}"
        if not isinstance(item, dict) or item.get("kind") != "ColocationPolicy":
            raise CliError(f"{where}: not a ColocationPolicy")
        if not (item.get("metadata") or {}).get("name"):
            raise CliError(f"{where}: it has no metadata.name")
        if mistakes := form.wrong(item.get("spec") or {}):
            raise CliError("; ".join(f"{where}: spec.{one.path}: {one.message}" for one in mistakes))
        try:
            convert(item, ColocationPolicy)
        except msgspec.ValidationError as error:
            raise CliError(f"{where}: {error}") from error
    if not items:
        raise CliError(f"{path}: there is no ColocationPolicy in it")
    return items


def ask_what_if(args: argparse.Namespace, policies: list[dict[str, Any]], gone: list[str]) -> Any:
    """The manager's answer. Raises CliError."""
    wanted = [{"metadata": {"name": p["metadata"]["name"]}, "spec": p.get("spec") or {}} for p in policies]
    query = {"policies": msgspec.json.encode(wanted).decode(), "delete": gone}
    return ask_manager(args, f"/v1/simulate?{urlencode(query, doseq=True)}")


def render_what_if(result: dict[str, Any]) -> str:
    """The table for people: what would change, then the sums."""
    rows = [["NODE", "POLICY", "BE-CPU", "WOULD BE", "BE-MEMORY", "WOULD BE", "OPEN", "WOULD BE", "WHY"]]
    same = 0
    for node in result["nodes"]:
        now, then = node["now"], node["then"]
        if now == then:
            same += 1
            continue
        policy = then["policy"] or "none"
        rows.append(
            [
                node["node"],
                policy if now["policy"] in (then["policy"], None) else f"{now['policy']} -> {policy}",
                *(_say(item["cpu"], human_millicores) for item in (now, then)),
                *(_say(item["memory"], human_bytes) for item in (now, then)),
                *("yes" if item["open"] else "no" for item in (now, then)),
                node["reason"],
            ]
        )
    total = [
        "all", "",
        *(human_millicores(_sum(result, when, "cpu")) for when in ("now", "then")),
        *(human_bytes(_sum(result, when, "memory")) for when in ("now", "then")),
        *(f"{sum(n[when]['open'] for n in result['nodes'])}/{len(result['nodes'])}" for when in ("now", "then")), "",
    ]  # fmt: skip
    note = f"{same} nodes would stay as they are. Nothing was written.\n"
    return table([*rows, total], frozenset(range(2, 6))) + note


def _say(value: int | None, render: Callable[[int], str]) -> str:
    return "none" if value is None else render(value)


def _sum(result: dict[str, Any], when: str, key: str) -> int:
    return sum(node[when][key] or 0 for node in result["nodes"])
