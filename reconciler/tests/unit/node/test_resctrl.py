"""The share of cache and bandwidth. No machine here has resctrl: the tree is a fake of plain files, and says nothing of
what the kernel refuses; how the lines are made is pure, and checked for all hardware."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.model.policy import Protect, Resctrl
from colocation.node import resctrl
from colocation.node.apply import Applier
from colocation.node.cgroups import detect
from colocation.node.journal import Journal, restore
from colocation.node.probe import probe, whole_bandwidth
from colocation.protect.cache import Hardware, schemata
from colocation.protect.optin import Cache, opt_in
from colocation.protect.wanted import Knobs

BE = "be00-11"
PERCENT = {"0": 100, "1": 100}
TWO_SOCKETS = Hardware(domains={"MB": ("0", "1"), "L3": ("0", "1")}, ways=11, least_ways=2, bandwidth=PERCENT)


@pytest.mark.parametrize(
    ("cache", "lines"),
    [
        (Cache(30, 0), ("L3:0=7;1=7",)),
        (Cache(1, 0), ("L3:0=3;1=3",)),
        (Cache(100, 0), ("L3:0=7ff;1=7ff",)),
        (Cache(0, 25), ("MB:0=20;1=20",)),
        (Cache(0, 3), ("MB:0=10;1=10",)),
        (Cache(50, 50), ("MB:0=50;1=50", "L3:0=1f;1=1f")),
        (Cache(0, 0), ()),
    ],
)
def test_lines(cache, lines):
    assert schemata(cache, TWO_SOCKETS) == lines


def test_code_and_data_are_shared_out_alike():
    hardware = Hardware(domains={"L3CODE": ("0",), "L3DATA": ("0",)}, ways=20)
    assert schemata(Cache(25, 0), hardware) == ("L3CODE:0=1f", "L3DATA:0=1f")


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 32), st.integers(1, 4), st.integers(1, 20))
def test_never_none_of_it_never_more_than_there_is_and_one_run_of_ways(l3, bandwidth, ways, least, step):
    hardware = Hardware(
        domains={"L3": ("0",), "MB": ("0",)},
        ways=ways,
        least_ways=min(least, ways),
        bandwidth={"0": 100},
        bandwidth_step=step,
    )
    for line in schemata(Cache(l3, bandwidth), hardware):
        name, _, value = line.partition(":0=")
        if name == "L3":
            mask = int(value, 16)
            assert min(least, ways) <= mask.bit_count() <= ways
            assert mask & (mask + 1) == 0, "one run, from the lowest way on"
        else:
            assert 10 <= int(value) <= 100


@pytest.mark.parametrize(
    ("root", "whole"),
    [
        ("MB:0=100;1=100", {"0": 100, "1": 100}),
        ("    MB:0= 50;1=100", {"0": 100, "1": 100}),
        ("MB:0=2048;1=2048", {}),
        ("MB:0=4096", {}),
        ("MB:0=4294967295;1=4294967295", {}),
        ("MB:0=400;1=2048", {"0": 400}),
        ("MB:0=20000", {"0": 20000}),
        ("MB:0=;1=x", {}),
        ("L3:0=7ff", {}),
        ("", {}),
    ],
    ids=[
        "percent",
        "percent, root limited",
        "AMD, no limit",
        "AMD, no limit, wider",
        "MB/s, no limit",
        "AMD, one domain limited",
        "MB/s, limited",
        "garbage",
        "no MB",
        "empty",
    ],
)
def test_what_all_of_the_bandwidth_is_comes_from_the_root_group(root, whole):
    assert whole_bandwidth(f"L3:0=7ff\n{root}\n") == whole


@pytest.mark.parametrize(
    ("bandwidth", "lines"),
    [({"0": 100, "1": 100}, ("MB:0=20;1=20",)), ({"0": 400}, ("MB:0=100",)), ({"0": 20000}, ("MB:0=5000",)), ({}, ())],
)
def test_a_percentage_is_written_in_the_unit_of_the_root_groups_limit(bandwidth, lines):
    assert schemata(Cache(0, 25), Hardware(domains={"MB": ("0", "1")}, bandwidth=bandwidth)) == lines


@pytest.fixture
def made(v1, monkeypatch):
    """A fake resctrl beside the made cgroups, with a fake of how its kernel removes a group."""
    root = v1.root.parent / "resctrl"
    (root / "info" / "L3").mkdir(parents=True)
    (root / "schemata").write_text("    MB:0=100\n    L3:0=fffff\n")
    (root / "info/L3/cbm_mask").write_text("fffff\n")
    (root / "info/L3/min_cbm_bits").write_text("1\n")
    remove = os.rmdir

    def with_its_files(path):
        for file in Path(path).iterdir():
            file.unlink()
        remove(path)

    monkeypatch.setattr(os, "rmdir", with_its_files)
    group = v1.pod(BE)
    v1.write("cpu", group, {"tasks": "41\n"})
    v1.make(f"{group}/c")
    v1.write("cpu", f"{group}/c", {"tasks": "42\n43\n"})
    return root


def applier(v1, tmp_path):
    return Applier(detect(str(v1.root)), Journal(str(tmp_path / "journal"), str(v1.root)))


def test_best_effort_tasks_are_brought_in_and_all_is_taken_away_again(v1, made, tmp_path):
    holder, groups = applier(v1, tmp_path), detect(str(v1.root)).list_pods()
    holder.apply({BE: Knobs()}, groups, Cache(10, 50), [BE])
    group = made / resctrl.NAME
    assert holder.refused == {}
    assert sorted((group / "schemata").read_text().splitlines()) == ["L3:0=3", "MB:0=50"]
    assert (group / "tasks").read_text().split() == ["41", "42", "43"]
    v1.write("cpu", f"{groups[BE]}/c", {"tasks": "42\n44\n"})
    for _ in range(5):
        holder.apply({BE: Knobs()}, groups, Cache(10, 50), [BE])
    assert (group / "tasks").read_text().split() == ["41", "42", "43", "44"], "only the new one was written"
    holder.apply({BE: Knobs()}, groups, None, [BE])
    assert not group.exists()
    assert (tmp_path / "journal").read_text() == ""


def test_restore_takes_it_away_without_an_agent(v1, made, tmp_path):
    applier(v1, tmp_path).apply({}, {}, Cache(10, 0), [])
    assert (made / resctrl.NAME).is_dir()
    assert restore(str(tmp_path / "journal"), str(v1.root)) == {
        "restored": [resctrl.NAME],
        "unchanged": [],
        "gone": [],
        "failed": [],
    }
    assert not (made / resctrl.NAME).exists()


def test_tasks_of_another_pid_namespace_are_an_error_that_says_what_to_do(v1, made, tmp_path):
    v1.write("cpu", v1.pod(BE), {"tasks": "0\n"})
    holder = applier(v1, tmp_path)
    holder.apply({BE: Knobs()}, detect(str(v1.root)).list_pods(), Cache(10, 0), [BE])
    assert "hostPID" in holder.refused[resctrl.NAME].reason


@pytest.mark.parametrize("whole", [2048, 4294967295])
def test_where_bandwidth_is_not_in_percent_the_node_lacks_it_and_has_its_share_of_cache(v1, made, tmp_path, whole):
    (made / "schemata").write_text(f"    MB:0={whole}\n    L3:0=fffff\n")
    found = probe(str(v1.root))["features"]
    assert found["resctrl"]["available"]
    assert not found["resctrl.bandwidth"]["available"]
    features = [name for name, row in found.items() if row["available"]]
    asked = opt_in(Protect(resctrl=Resctrl(l3_percent=10, memory_bandwidth_percent=80)), [], [], features)
    assert asked.lacks == ("protect.resctrl.memoryBandwidthPercent: no resctrl.bandwidth here",)
    applier(v1, tmp_path).apply({}, {}, asked.cache, [])
    assert (made / resctrl.NAME / "schemata").read_text() == "L3:0=3\n"


def test_the_probe_tells_what_all_of_the_bandwidth_is(v1, made):
    assert probe(str(v1.root))["features"]["resctrl.bandwidth"]["reason"].startswith("100 % is 100 in ")
    (made / "schemata").write_text("L3:0=fffff\n")
    assert "no MB line" in probe(str(v1.root))["features"]["resctrl.bandwidth"]["reason"]


def test_the_probe_tries_and_says_where_it_looked(v1, made):
    assert probe(str(v1.root))["features"]["resctrl"]["available"]
    assert not list(made.glob("colocation-probe-*"))
    (made / "schemata").unlink()
    assert not probe(str(v1.root))["features"]["resctrl"]["available"]
