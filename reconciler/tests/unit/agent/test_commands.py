"""The command `colocation agent`: --once, --restore, and what it refuses."""

from __future__ import annotations

import argparse
import json

from colocation.agent import main
from colocation.node import state
from colocation.node.state import Followed

from .made_node import FREE, SPEC, upsert


def arguments(node, *more):
    parser = argparse.ArgumentParser()
    main.add_arguments(parser)
    return parser.parse_args(["--cgroup-root", str(node.root), "--state-dir", str(node.state), *more])


def test_once_prints_a_report_and_writes_nothing(node, capsys):
    node.state.mkdir()
    state.save(node.state / "state" / "spec.json", Followed(SPEC, 1))
    before = {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}
    assert main.run(arguments(node, "--once", "--interval", "0.1")) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["uid"] for row in report["pods"]} == {"be1", "online1"}
    assert before == {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}
    assert [path.name for path in node.state.iterdir()] == ["state"]


def test_restore_command(node, capsys):
    node.specs.emit(upsert())
    node.rounds()
    assert main.run(arguments(node, "--restore")) == 0
    assert len(json.loads(capsys.readouterr().out)["restored"]) == 3
    assert node.values() == FREE


def test_no_cgroups_and_no_node_name_are_said(node, tmp_path, caplog, monkeypatch):
    args = arguments(node)
    args.cgroup_root = str(tmp_path / "nowhere")
    assert main.run(args) == 1
    args = arguments(node)
    args.node = ""
    assert main.run(args) == 2
    assert "NODE_NAME" in caplog.text
