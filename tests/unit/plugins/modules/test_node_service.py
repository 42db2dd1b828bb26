"""Before a restart containerd itself is asked (a real one): where it would not do what was asked for, nothing is restarted.

systemctl is a script that notes its calls: a machine that is booted is claimed here, since no test may restart a service.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node
from ansible_collections.openfuyao.colocation.plugins.modules import node_service

CACHE = Path(os.environ.get("COLOCATION_CACHE") or Path.home() / ".cache/openfuyao-colocation")
PROGRAMS = [*glob.glob(str(CACHE / "base-*/usr/bin/containerd")), *glob.glob(str(CACHE / "bin/containerd-*/containerd"))]
every = pytest.mark.parametrize("program", PROGRAMS or [pytest.param("", marks=pytest.mark.skip(reason="no containerd on this machine"))])


class Stop(Exception):
    pass


class Module:
    check_mode = False
    no_log_values = frozenset()

    def __init__(self, **params):
        self.params = params

    def run_command(self, argv):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def fail_json(self, msg, **result):
        raise Stop(msg, result)


@pytest.fixture
def change(tmp_path, monkeypatch):
    """Changes the main file through the module's work; "calls" has what systemctl was asked to do."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(_node, "booted", lambda *_root: True)
    main = tmp_path / "config.toml"
    main.write_text("version = 2\n")

    def run(program, text, in_force=()):
        (tmp_path / "bin/containerd").unlink(missing_ok=True)
        (tmp_path / "bin/containerd").symlink_to(program)
        script = tmp_path / "bin/systemctl"
        script.write_text(f'#!/bin/sh\n[ "$1" = show ] && {{ echo MainPID=0; exit 0; }}\necho "$*" >> {tmp_path}/calls\nexit 1\n')
        script.chmod(0o755)
        monkeypatch.setattr(node_service._containerd, "PLACES", str(tmp_path / "bin"))
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        given = {"service": "containerd", "files": {str(main): text}, "stale": [], "restart": True, "forget": False, "undo": False}
        given |= {"health_url": "", "settle": 0, "timeout": 0, "path": str(tmp_path / "state"), "config_file": str(main)}
        node_service.NodeService(Module(in_force=list(in_force), **given)).apply()

    run.main, run.calls, run.note = main, tmp_path / "calls", tmp_path / "state/before/node.json"
    return run


WRONG = [
    ('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n', [], "can start no pod"),
    ("version = [", [], "cannot read it"),
    ("version = 2\n# changed\n", [{"path": ["plugins", "none", "value"], "value": "true"}], "was to become true"),
]


@every
@pytest.mark.parametrize("text, in_force, answer", WRONG)
def test_what_containerd_itself_would_not_load_is_put_back_and_nothing_is_restarted(change, program, text, in_force, answer):
    with pytest.raises(Stop, match=answer) as stopped:
        change(program, text, in_force)
    assert change.main.read_text() == "version = 2\n"
    assert not change.calls.exists()
    assert not json.loads(change.note.read_text())["containerd"].get("files")
    assert not stopped.value.args[1]["changed"]


@every
def test_what_containerd_takes_is_restarted(change, program):
    with pytest.raises(Stop, match="did not come back"):  # the script refuses the restart
        change(program, "version = 2\noom_score = -999\n")
    assert "restart containerd" in change.calls.read_text()
    assert change.main.read_text() == "version = 2\n", "and the files of before are back"
