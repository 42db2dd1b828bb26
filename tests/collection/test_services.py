"""Files of a service changed by the real modules, through ansible: what is shown of them, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .conftest import ansible

SECRET = "hunter22-of-bob"
MAIN = f"""version = 2
[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]
  password = "{SECRET}"
"""


def play(tmp_path: Path, *tasks: dict[str, object], fails: bool = False) -> str:
    """All that ansible-playbook says with -vvv and --diff."""
    file = tmp_path / "play.yml"
    file.write_text(
        yaml.safe_dump([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": list(tasks)}])
    )
    return ansible("ansible-playbook", str(file), "-vvv", "--diff", fails=fails, ANSIBLE_NOCOLOR="1")


def service(tmp_path: Path, **args: object) -> dict[str, object]:
    return {
        "openfuyao.colocation.node_service": {
            "service": "containerd",
            "path": str(tmp_path / "state"),
            "restart": False,
            **args,
        }
    }


@pytest.fixture
def main(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(MAIN)
    file.chmod(0o600)
    return file


def test_passwords_are_in_nothing_that_ansible_shows_and_the_rest_of_the_difference_is(
    tmp_path: Path, main: Path
) -> None:
    answer = play(tmp_path, service(tmp_path, files={str(main): "oom_score = -999\n" + MAIN}))
    assert main.read_text() == "oom_score = -999\n" + MAIN
    assert "oom_score = -999" in answer.replace("\\n", "\n").split("changed:")[0]
    assert SECRET not in answer


def test_the_last_change_is_undone_without_the_texts_being_given(tmp_path: Path, main: Path) -> None:
    change, undo = service(tmp_path, files={str(main): "oom_score = -999\n" + MAIN}), service(tmp_path, undo=True)
    answer = play(tmp_path, change, undo)
    assert main.read_text() == MAIN
    assert main.stat().st_mode & 0o777 == 0o600
    assert SECRET not in answer
    assert "changed=2" in answer


def test_what_containerd_config_reads_is_in_nothing_that_ansible_shows(tmp_path: Path, main: Path) -> None:
    task: dict[str, object] = {
        "openfuyao.colocation.containerd_config": {
            "state": "absent",
            "config_file": str(main),
            "path": str(tmp_path / "state"),
            "restart": False,
        }
    }
    answer = play(tmp_path, task)
    assert SECRET not in answer
    assert str(main) in answer
