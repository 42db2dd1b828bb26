"""Kernel arguments and resctrl: what is decided for every distribution, also those that cannot be run here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _boot

ROLES = Path(__file__).resolve().parents[5] / "roles"


@pytest.mark.parametrize(
    "cmdline, wanted, inactive",
    [
        ("root=/dev/vda1 psi=1 quiet", ["psi=1"], []),
        ("root=/dev/vda1", ["psi=1"], ["psi=1"]),
        ("psi=1 psi=0", ["psi=1"], ["psi=1"]),
        ("quiet", ["quiet", "psi"], ["psi"]),
    ],
)
def test_an_argument_counts_if_the_running_kernel_has_it_last(cmdline, wanted, inactive):
    assert _boot.inactive(cmdline, wanted) == inactive


@pytest.mark.parametrize("bad", ["", "a b", 'x"; rm', "$(x)", "a'b", "`x`"])
def test_what_could_end_the_assignment_is_no_argument(bad):
    assert _boot.problems([bad]) == [bad]


@pytest.mark.parametrize("good", ["psi=1", "systemd.unified_cgroup_hierarchy=1", "isolcpus=2-3,5", "rdt=cmt,!l3cat"])
def test_arguments_of_the_kernel_are(good):
    assert _boot.problems([good]) == []


def test_grub_gets_a_file_that_adds_to_what_is_there():
    assert 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT psi=1 a=b"\n' in _boot.grub_text(["psi=1", "a=b"])


def test_grubby_says_what_every_kernel_has():
    info = 'index=0\nargs="ro psi=1 quiet"\nroot="/dev/x"\nindex=1\nargs="ro psi=1"\n'
    assert _boot.grubby_arguments(info) == ["ro", "psi=1"]
    assert _boot.grubby_arguments("") == []


def test_a_mount_is_told_by_its_place():
    assert _boot.mounted("resctrl /sys/fs/resctrl resctrl rw 0 0\n")
    assert not _boot.mounted("x /sys/fs/resctrl2 resctrl rw 0 0\n")


@pytest.mark.parametrize("distribution", ["debian", "ubuntu", "openEuler", "rhel"])
def test_every_supported_distribution_has_a_known_boot_loader(distribution):
    known = yaml.safe_load((ROLES / "colocation_node/vars/main.yml").read_text())["__colocation_node_boot_loaders"]
    assert known[distribution] in _boot.LOADERS
