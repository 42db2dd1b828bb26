"""The playbook `assess` runs the installed command, and says in a sentence where it is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from colocation.assess.files import Recording
from colocation.assess.shape import VERSION, Header
from tests.assess.synthetic import synthesize, traces
from tests.collection.conftest import ansible
from tests.lab.config import CLONE

PLAYBOOK = CLONE / "playbooks/assess.yml"


def test_it_writes_the_report_and_policies_that_site_takes(tmp_path: Path) -> None:
    cluster = synthesize(1_700_000_000 // 3600 * 3600, 9, nodes=1, pods=2)
    header = Header(version=VERSION, source="test", start=cluster.start, steps=cluster.steps, nodes=1)
    with Recording(tmp_path / "use.gz", header) as recording:
        for node in traces(cluster, cluster.start, cluster.steps):
            recording.write(node)
    command = tmp_path / "colocation"
    source = CLONE / "reconciler/src"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m colocation "$@"\n')
    command.chmod(0o755)
    more = {"colocation_command": str(command), "colocation_trace": str(tmp_path / "use.gz")}
    ansible("ansible-playbook", PLAYBOOK, "-e", json.dumps({**more, "colocation_report": str(tmp_path / "out")}))
    written = json.loads((tmp_path / "out/assess.json").read_text())
    policies = yaml.safe_load((tmp_path / "out/policies.yml").read_text())["colocation_policies"]
    assert [one["spec"] for one in policies] == [pool["policy"]["spec"] for pool in written["pools"]]
    assert "<svg" in (tmp_path / "out/assess.html").read_text()


def test_a_missing_command_is_said() -> None:
    said = ansible("ansible-playbook", PLAYBOOK, "-e", "colocation_command=colocation-that-is-not-here", fails=True)
    assert "pip install 'colocation[assess]'" in said
