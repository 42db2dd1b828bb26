"""Kernel arguments: a boot loader's program that fails (a script, since the fault is injected) leaves a note, and the next run calls it."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _boot, _node
from ansible_collections.openfuyao.colocation.plugins.modules import node_prepare


class Stop(Exception):
    pass


class Module:
    check_mode = False

    def __init__(self, state, loader, arguments):
        self.params = {
            "path": str(state),
            "sysctls": {},
            "modules": [],
            "boot_arguments": arguments,
            "boot_loader": loader,
            "resctrl": False,
        }

    def run_command(self, argv):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def get_bin_path(self, name, **_kw):
        return name

    def fail_json(self, msg, **_kw):
        raise Stop(msg)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Runs the module's work on files below a directory; the boot loader's program answers with an exit code."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(_boot, "GRUB_FILE", str(tmp_path / "grub.cfg"))
    for name in ("SYSCTL_FILE", "MODULES_FILE"):
        monkeypatch.setattr(_node, name, str(tmp_path / name))
    monkeypatch.setattr(_boot, "RESCTRL_UNIT", str(tmp_path / "unit"))

    def run(loader, arguments, code, info='args="ro"'):
        file = tmp_path / "bin" / ("update-grub" if loader == "grub" else "grubby")
        file.write_text(f"#!/bin/sh\n[ \"$1\" = --info=ALL ] && {{ echo '{info}'; exit 0; }}\nexit {code}\n")
        file.chmod(0o755)
        work = node_prepare.Prepare(Module(tmp_path / "state", loader, arguments))
        work.plan()
        work.apply()
        return [what for what, _step in work.todo if what]

    return run


@pytest.mark.parametrize("then", [["psi=1"], []])
def test_a_boot_menu_that_could_not_be_renewed_is_renewed_by_the_next_run(machine, then):
    machine("grub", ["psi=1"], 0)
    with pytest.raises(Stop, match="update-grub failed"):
        machine("grub", [*then, "x=1"] if then else [], 1)
    wanted = [*then, "x=1"] if then else []
    assert machine("grub", wanted, 0) == ["renewed the boot menu"]
    assert machine("grub", wanted, 0) == []


def test_arguments_that_grubby_did_not_take_out_stay_noted_until_it_has(machine):
    machine("grubby", ["psi=1"], 0)
    with pytest.raises(Stop, match="grubby"):
        machine("grubby", [], 1, info='args="ro psi=1"')
    assert machine("grubby", [], 0, info='args="ro psi=1"') == ["took out the kernel argument(s) psi=1"]
    assert machine("grubby", [], 0) == []
