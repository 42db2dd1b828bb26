"""What the Tab key is answered, by the protocol of argcomplete and by kubectl's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

KUBECTL = "from colocation.cli.completion import kubectl; raise SystemExit(kubectl())"


def completed(line: str) -> list[str]:
    env = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    command = [sys.executable, "-m", "colocation"]
    done = subprocess.run(
        command, env={**env, "_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout"}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("colocation expl", ["explain"]),
        ("colocation explain --hi", ["--history"]),
        ("colocation report -o c", ["csv"]),
        ("colocation completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_commands_options_and_values_are_completed(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


def test_kubectl_gets_one_completion_a_line_and_a_directive() -> None:
    done = subprocess.run([sys.executable, "-c", KUBECTL, "doc"], capture_output=True, text=True, check=True)
    first, *_, last = done.stdout.splitlines()
    assert (first.split("\t")[0].strip(), last) == ("doctor", ":4")
