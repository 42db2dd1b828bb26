"""Modules for nodes, by a user without rights: they name what is missing."""

from __future__ import annotations

import os
from typing import Any

import pytest

from .conftest import ansible

PYTHON = "/usr/bin/python3"
MODULES: dict[str, dict[str, Any]] = {
    "containerd_config": {},
    "kubelet_config": {},
    "node_image": {"state": "absent"},
    "node_prepare": {},
    "node_restore": {},
    "node_service": {"service": "kubelet", "files": {}},
}


def as_nobody(module: str, args: dict[str, Any], *, fails: bool) -> str:
    """A module by nobody and the system's Python: root's may not be read."""
    become = {"ansible_python_interpreter": PYTHON, "ansible_become_flags": "-s /bin/sh"}
    extra = [part for name, value in become.items() for part in ("-e", f"{name}='{value}'")]
    argv = ["localhost", "-c", "local", "-b", "--become-method", "su", "--become-user", "nobody", *extra]
    result = " ".join(f"{name}={value}" for name, value in args.items())
    return ansible(
        "ansible", *argv, "-m", f"openfuyao.colocation.{module}", "-a", result, fails=fails, ANSIBLE_PIPELINING="1"
    )


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become nobody without a password")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_for_nodes_without_root_says_that_it_needs_root(module: str) -> None:
    answer = as_nobody(module, MODULES[module], fails=True)
    assert "This needs root on the node: set ansible_become" in answer
    assert "ermission denied" not in answer


def test_a_node_that_is_looked_at_without_root_names_root_and_nothing_else() -> None:
    answer = as_nobody("node_capabilities_info", {}, fails=False)
    problems = answer.partition('"problems": [')[2].partition("]")[0]
    assert problems.strip().strip('"').startswith("this needs root on the node")
    assert "cpu.quota" not in problems
