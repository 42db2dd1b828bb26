# SPDX-License-Identifier: Apache-2.0
"""The lab's pure parts: names, addresses, texts; nothing is started."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import binaries, config, preflight, process, toolchain
from tests.lab.config import Lab, cache_dir
from tests.lab.errors import LabError
from tests.lab.inventory import inventory, write_our_commands


def test_two_labs_share_neither_address_nor_name() -> None:
    first, second = Lab.from_env({}), Lab.from_env({"LAB_ID": "1"})
    for what in ("hub", "subnet", "api_address", "root_address", "veth", "state"):
        assert getattr(first, what) != getattr(second, what)
    assert not {node.netns for node in first.nodes} & {node.netns for node in second.nodes}


def test_the_defaults_are_two_nodes_of_8_gib() -> None:
    lab = Lab.from_env({})
    assert [node.name for node in lab.nodes] == ["node1", "node2"]
    assert [node.address for node in lab.nodes] == ["10.99.0.11", "10.99.0.12"]
    assert lab.mem_kb == 8 * 1024 * 1024
    assert lab.state.name == ".lab"


@pytest.mark.parametrize("env", [{"LAB_ID": "100"}, {"LAB_ID": "-1"}, {"LAB_NODES": "0"}, {"LAB_NODES": "x"}])
def test_nonsense_in_the_environment_is_named(env: dict[str, str]) -> None:
    with pytest.raises(LabError, match=next(iter(env))):
        Lab.from_env(env)


def test_an_unknown_node_gets_the_list_of_known_ones() -> None:
    with pytest.raises(LabError, match="node1, node2"):
        Lab.from_env({}).node("node3")


def test_interface_names_fit_the_kernel() -> None:
    assert len(Lab.from_env({"LAB_ID": "99"}).veth) <= 15


def test_the_cache_can_be_elsewhere() -> None:
    assert cache_dir({"COLOCATION_CACHE": "/x"}) == Path("/x")


def test_the_inventory_has_every_node_and_the_control_host() -> None:
    text = inventory(Lab.from_env({"LAB_NODES": "3"}))
    for word in (
        "node3:",
        "ansible_host: 10.99.0.13",
        "colocation_control:",
        "localhost:",
        "StrictHostKeyChecking=yes",
    ):
        assert word in text


@pytest.mark.parametrize(("name", "start"), [("kube", "1."), ("etcd", "3."), ("helm", "4.")])
def test_versions_are_read_from_go_mod(name: str, start: str) -> None:
    assert binaries.TOOLS[name].version.startswith(start)


def test_kubernetes_is_told_its_version() -> None:
    tool = binaries.TOOLS["kube"]
    assert f"gitVersion=v{tool.version}" in tool.flags
    assert "{" not in tool.flags


def test_a_changed_pin_is_another_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etcd"
    folder.mkdir()
    monkeypatch.setattr(binaries, "MODULES", tmp_path)
    seen = set()
    for version in ("3.6.16", "3.6.17"):
        (folder / "go.mod").write_text(f"require go.etcd.io/etcd/server/v3 v{version}\n")
        seen.add(binaries.TOOLS["etcd"].folder)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("text", "version"), [("go1.26.8\n", (1, 26, 8)), ("go1.26", (1, 26)), ("1.27rc1", (1, 27)), ("", ())]
)
def test_go_versions(text: str, version: tuple[int, ...]) -> None:
    assert toolchain.parse_version(text) == version


def test_missing_capabilities_are_named() -> None:
    everything = preflight.missing_capabilities("Name: x\nCapEff:\t000001ffffffffff\n")
    assert everything == []
    assert "CAP_SYS_ADMIN" in preflight.missing_capabilities("CapEff:\t00000000a80425fb\n")


def test_without_root_the_error_says_what_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="component tests"):
        preflight.check(Lab.from_env({}))


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "available_memory", lambda _text: preflight.GIB)
    monkeypatch.setattr(preflight, "_machine", lambda: iter(()))
    monkeypatch.setattr(preflight, "_names", lambda _lab: iter(()))
    with pytest.raises(LabError, match=r"memory: 1\.0 GiB available, 3 GiB needed"):
        preflight.check(Lab.from_env({}))


def test_available_memory_is_in_bytes() -> None:
    assert preflight.available_memory("MemTotal: 4 kB\nMemAvailable:   2 kB\n") == 2048


def test_a_daemon_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    daemon = process.Daemon(tmp_path / "sleep.pid")
    daemon.start([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    pid = daemon.pid
    assert pid is not None
    try:
        record = daemon.record.read_text()
        daemon.record.write_text(f"{pid} 12345\n")  # the pid was given to somebody else
        assert daemon.pid is None
        assert not daemon.signal(signal.SIGTERM)
        daemon.record.write_text(record)
    finally:
        assert daemon.stop(5)
    assert process.start_time(pid) is None


def test_a_failed_command_shows_its_last_words() -> None:
    with pytest.raises(LabError, match=r"status 3[^$]*no luck"):
        process.run(["sh", "-c", "echo no luck >&2; exit 3"])


def test_a_missing_program_is_named() -> None:
    with pytest.raises(LabError, match="no-such-program"):
        process.run(["no-such-program"])


def test_the_package_needs_no_third_party_module() -> None:
    code = "import tests.lab.__main__, tests.lab.apiserver"
    subprocess.run([sys.executable, "-S", "-E", "-c", code], cwd=config.CLONE, check=True)


def test_the_labs_path_has_our_commands_from_the_sources(tmp_path: Path) -> None:
    (tmp_path / "reconciler").symlink_to(config.CLONE / "reconciler")
    lab = dataclasses.replace(Lab.from_env({}), clone=tmp_path)
    lab.bin.mkdir(parents=True)
    write_our_commands(lab)
    for command in ("colocation", "kubectl-colocation"):
        done = subprocess.run([lab.bin / command, "report", "--help"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"usage: {command.replace('-', ' ')} report")
    assert (lab.bin / "kubectl_complete-colocation").exists()
