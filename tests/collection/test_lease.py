"""The Lease that keeps other roll-outs out, while ansible-playbook runs, ends, fails and is killed: real runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.collection.conftest import ansible, environment
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError

pytestmark = pytest.mark.apiserver
WHERE = ("-n", "kube-system", "lease", "colocation-rollout")
TAKE = {"name": "take", "openfuyao.colocation.rollout": {"state": "taken", "duration": 30}}


@pytest.fixture(autouse=True)
def free(api: ApiServer) -> Iterator[None]:
    yield
    api.kubectl("delete", *WHERE, "--ignore-not-found")


def lease(api: ApiServer) -> dict[str, Any]:
    """Its spec; empty if nobody has it."""
    try:
        spec: dict[str, Any] = json.loads(api.kubectl("get", *WHERE, "-o", "json"))["spec"]
    except LabError:
        return {}
    return spec


def until(look: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")


def written(folder: Path, api: ApiServer, *tasks: dict[str, Any]) -> Path:
    play = {
        "name": "t",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "module_defaults": {"group/openfuyao.colocation.k8s": {"kubeconfig": str(api.kubeconfig)}},
        "tasks": list(tasks),
    }
    file = folder / "play.yml"
    file.write_text(yaml.safe_dump([play], sort_keys=False))
    return file


def begun(api: ApiServer, file: Path, *before: str) -> subprocess.Popen[bytes]:
    """A run that has the Lease and goes on for a while."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    run = subprocess.Popen(
        [*before, program, "-i", "localhost,", str(file)], cwd="/", env=environment(), stdout=subprocess.DEVNULL
    )
    until(lambda: lease(api) and (file.parent / "begun").exists(), 60, "it has the Lease, and is at work")
    return run


PAUSE = {
    "name": "work",
    "ansible.builtin.command": {"argv": ["sh", "-c", "touch begun; sleep 60"], "chdir": "{{ playbook_dir }}"},
    "changed_when": False,
}
FAIL = {"name": "fail", "ansible.builtin.fail": {"msg": "no"}}


def test_it_is_renewed_while_a_task_takes_longer_than_it_holds(tmp_path: Path, api: ApiServer) -> None:
    run = begun(api, written(tmp_path, api, TAKE, PAUSE))
    try:
        first = lease(api)
        until(lambda: lease(api)["renewTime"] != first["renewTime"], 40, "it is renewed")
        assert lease(api)["holderIdentity"] == first["holderIdentity"]
        assert lease(api)["acquireTime"] == first["acquireTime"]
    finally:
        run.kill()
        run.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_or_killed_gives_it_back(tmp_path: Path, api: ApiServer, how: signal.Signals) -> None:
    run = begun(api, written(tmp_path, api, TAKE, PAUSE))
    run.send_signal(how)
    run.wait()
    until(lambda: not lease(api), 20, "the Lease is free")


def test_a_play_that_fails_gives_it_back(tmp_path: Path, api: ApiServer) -> None:
    ansible("ansible-playbook", "-i", "localhost,", written(tmp_path, api, TAKE, FAIL), fails=True)
    until(lambda: not lease(api), 20, "the Lease is free")


def test_after_the_end_of_a_run_no_process_of_it_is_left(tmp_path: Path, api: ApiServer) -> None:
    free = {"name": "free", "openfuyao.colocation.rollout": {"state": "released"}}
    ansible("ansible-playbook", "-i", "localhost,", written(tmp_path, api, TAKE, free))

    def left() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += [entry.parent.name] if str(tmp_path) in entry.read_text() else []
            except OSError:
                continue
        return found

    until(lambda: not left(), 10, f"processes {left()} end")


@pytest.mark.skipif(os.geteuid() != 0, reason="PID namespaces need root")
def test_two_runs_with_one_host_name_in_two_pid_namespaces_keep_each_other_out(tmp_path: Path, api: ApiServer) -> None:
    """As two containers of one image: the process of the one is nobody, or somebody else, for the other."""
    run = begun(api, written(tmp_path, api, TAKE, PAUSE), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    try:
        holder = lease(api)["holderIdentity"]
        (tmp_path / "other").mkdir()
        answer = ansible("ansible-playbook", "-i", "localhost,", written(tmp_path / "other", api, TAKE), fails=True)
        assert "Another rollout is at work" in answer
        assert lease(api)["holderIdentity"] == holder
    finally:
        run.kill()
        run.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="PID namespaces need root")
def test_a_killed_container_keeps_others_out_no_longer_than_the_lease_holds(tmp_path: Path, api: ApiServer) -> None:
    """With the namespace every process of the run is gone, so that none can give it back."""
    run = begun(api, written(tmp_path, api, TAKE, PAUSE), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    run.kill()
    run.wait()
    assert lease(api)["leaseDurationSeconds"] == 30
    (tmp_path / "other").mkdir()
    file = written(
        tmp_path / "other", api, TAKE, {"name": "free", "openfuyao.colocation.rollout": {"state": "released"}}
    )
    program = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(file)]
    until(
        lambda: not subprocess.run(program, cwd="/", env=environment(), capture_output=True, check=False).returncode,
        60,
        "it is free",
    )
