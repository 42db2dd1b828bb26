"""Putting a node back: commands that fail (scripts, since the fault is injected) are said, and tried again by the next run."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _boot, _node
from ansible_collections.openfuyao.colocation.plugins.modules import node_restore


class Module:
    check_mode = False

    def run_command(self, argv):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Programs by name, with their exit codes; each call is a line of "calls"."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def make(**codes):
        for name, code in codes.items():
            file = folder / name.replace("_", "-")
            file.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> {tmp_path}/calls\necho "no {name} today" >&2\nexit {code}\n')
            file.chmod(0o755)

    make.calls = lambda: (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    return make


def noted(tmp_path, **notes):
    file = tmp_path / "state/before/node.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(notes))
    return _node.Before(str(tmp_path / "state"))


CASES = [
    ({"boot": {"loader": "grubby", "arguments": ["psi=1"]}}, "grubby", "grubby --update-kernel=ALL --remove-args=psi=1"),
    ({"boot": {"loader": "grub", "arguments": ["psi=1"]}}, "update_grub", "update-grub "),
    ({"mounts": {"/proc": "absent"}}, "umount", "umount /proc"),
    ({"modules": {"kernel": "absent"}}, "rmmod", "rmmod kernel"),
]


@pytest.mark.parametrize("notes, program, call", CASES, ids=[case[1] for case in CASES])
def test_a_command_that_fails_is_said_and_not_done_and_the_next_run_does_it(tmp_path, monkeypatch, programs, notes, program, call):
    monkeypatch.setattr(_node, "loaded", lambda _name: True)  # the state of a kernel that a test may not change
    programs(**{program: 1})
    done, failed = node_restore.settings_back(Module(), noted(tmp_path, **notes))
    assert done == []
    assert [f"no {program} today" in one for one in failed] == [True]
    programs(**{program: 0})
    done, failed = node_restore.settings_back(Module(), noted(tmp_path, **notes))
    assert (len(done), failed) == (1, [])
    assert programs.calls() == [call, call]


def test_a_step_that_fails_keeps_no_other_one_from_being_done(tmp_path, programs):
    programs(update_grub=1)
    file = tmp_path / "90.cfg"
    file.write_text("ours")
    before = noted(tmp_path, files={str(file): None, f"{tmp_path}/dir": "text"}, boot={"loader": "grub", "arguments": []})
    (tmp_path / "dir").mkdir()
    done, failed = node_restore.settings_back(Module(), before)
    assert not file.exists()
    assert done == [f"removed {file}"]
    assert len(failed) == 2
    assert _boot.GRUB_FILE not in " ".join(done)


def test_check_mode_runs_nothing(tmp_path, programs):
    programs(grubby=1)
    module = Module()
    module.check_mode = True
    done, failed = node_restore.settings_back(module, noted(tmp_path, boot={"loader": "grubby", "arguments": ["a"]}))
    assert (len(done), failed, programs.calls()) == (1, [], [])
