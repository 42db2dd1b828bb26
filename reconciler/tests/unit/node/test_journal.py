"""The journal: whatever moment the agent is killed at, everything can be put back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from colocation.node import journal as journal_module
from colocation.node.journal import Entry, Journal, boot_id, group_id, restore


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "cg" / name).mkdir(parents=True)
        (tmp_path / "cg" / name / "quota").write_text(f"old-{name}")
        (tmp_path / "cg" / name / "limit").write_text(f"limit-{name}")
    return tmp_path / "cg"


def entry(root, path, old=None, **changes):
    fields = {
        "path": path,
        "old": old or (root / path).read_text(),
        "uid": "u",
        "group": group_id(str((root / path).parent)),
        "boot": boot_id(),
    }
    return Entry(**{**fields, **changes})


def test_everything_is_put_back_and_again_changes_nothing(root, tmp_path):
    journal = Journal(str(tmp_path / "s" / "journal"), str(root))
    paths = ["a/quota", "a/limit", "b/quota"]
    for path in paths:
        journal.note([entry(root, path)])
        (root / path).write_text("new")
    done = restore(journal.path, str(root))
    assert sorted(done["restored"]) == sorted(paths)
    assert (root / "a/quota").read_text() == "old-a"
    assert not Path(journal.path).exists()
    assert restore(journal.path, str(root)) == {"restored": [], "unchanged": [], "gone": [], "failed": []}


def test_the_first_old_value_is_kept(root, tmp_path):
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota")])
    journal.note([entry(root, "a/quota", old="later")])
    again = Journal(journal.path, str(root))
    again.note([entry(root, "a/quota", old="later still")])
    assert [e.old for e in again.entries] == ["old-a"]


def test_killed_at_every_byte(root, tmp_path):
    """A value is written only after its line is whole, so a torn line has nothing to put back."""
    path = tmp_path / "journal"
    journal = Journal(str(path), str(root))
    ends = []
    for name in ("a/quota", "a/limit", "b/quota"):
        journal.note([entry(root, name)])
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        # Without its line end a line may already be whole; then restoring it is harmless.
        changed = [name for name, end in zip(("a/quota", "a/limit", "b/quota"), ends, strict=True) if size >= end]
        for name in changed:
            (root / name).write_text("new")
        reopened = Journal(str(path), str(root))
        assert {e.path for e in reopened.entries} >= set(changed)
        reopened.note([entry(root, "b/limit")])  # appending behind a torn line must not lose either
        assert {e.path for e in Journal(str(path), str(root)).entries} >= {*changed, "b/limit"}
        restore(str(path), str(root))
        assert [(root / n).read_text() for n in ("a/quota", "a/limit", "b/quota")] == ["old-a", "limit-a", "old-b"]


@pytest.mark.parametrize("when", ["temporary written", "before rename"])
def test_killed_while_it_is_rewritten(root, tmp_path, monkeypatch, when):
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota"), entry(root, "b/quota")])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(journal_module.os, "fsync" if when == "temporary written" else "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.drop(["a/quota"])
    monkeypatch.undo()
    assert {e.path for e in Journal(journal.path, str(root)).entries} == {"a/quota", "b/quota"}


def test_an_append_that_failed_half_way_is_written_anew(root, tmp_path, monkeypatch):
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota")])

    def full(path, text):
        with Path(path).open("a") as file:
            file.write(text[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module, "_append", full)
    with pytest.raises(OSError):
        journal.note([entry(root, "b/quota")])
    assert journal.get("b/quota") is None
    monkeypatch.undo()
    journal.note([entry(root, "b/limit")])
    assert {e.path for e in Journal(journal.path, str(root)).entries} == {"a/quota", "b/limit"}


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_is_full_half_way_leaves_the_journal_as_it_was(root, tmp_path, monkeypatch, call):
    """The fault is injected: the kernel takes 20 bytes, and then no more. (On a real full disk: tests/survive.)"""
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota")])
    before = Path(journal.path).read_bytes()
    real, calls = getattr(os, call), []

    def full(file, *data):
        calls.append(file)
        if len(calls) == 1 and call == "write":
            return real(file, data[0][:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module.os, call, full)
    for _ in range(2 if call == "fsync" else 1):  # an append, then an attempt to write it all anew
        with pytest.raises(OSError):
            journal.note([entry(root, "b/quota")])
    monkeypatch.undo()
    assert Path(journal.path).read_bytes() == before
    assert [path.name for path in tmp_path.glob("journal*")] == ["journal"]
    journal.note([entry(root, "b/quota")])
    assert {e.path for e in Journal(journal.path, str(root)).entries} == {"a/quota", "b/quota"}


def test_groups_of_another_boot_or_made_anew_are_left_alone(root, tmp_path):
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota", boot="another"), entry(root, "b/quota", group=1), entry(root, "b/limit")])
    for name in ("a/quota", "b/quota", "b/limit"):
        (root / name).write_text("new")
    assert [e.path for e in Journal(journal.path, str(root)).entries] == ["b/limit"]
    done = restore(journal.path, str(root))
    assert (sorted(done["gone"]), done["restored"]) == (["a/quota", "b/quota"], ["b/limit"])
    assert (root / "a/quota").read_text() == "new"


def test_a_group_made_anew_is_noted_anew(root, tmp_path):
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota", group=1)])
    journal.note([entry(root, "a/quota", old="fresh")])
    assert [e.old for e in Journal(journal.path, str(root)).entries] == ["fresh"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "a/../../x"])
def test_nothing_outside_the_cgroup_root_is_ever_written(root, tmp_path, path):
    (tmp_path / "journal").write_text(
        json.dumps({"path": path, "old": "x", "uid": "", "group": 0, "boot": boot_id(), "kind": "file"}) + "\n"
    )
    assert restore(str(tmp_path / "journal"), str(root))["restored"] == []


@pytest.mark.parametrize("line", ["{}", "[]", "null", "1", '{"path": 1}', "\x00\x00", '{"a', '{"path":"a","old":[]}'])
def test_garbage_lines_are_skipped(root, tmp_path, line):
    path = tmp_path / "journal"
    path.write_text(line + "\n" + entry(root, "a/quota").line())
    (root / "a/quota").write_text("new")
    assert restore(str(path), str(root))["restored"] == ["a/quota"]


def test_what_the_kernel_refuses_stays_in_the_journal(root, tmp_path):
    journal = Journal(str(tmp_path / "journal"), str(root))
    journal.note([entry(root, "a/quota"), entry(root, "b/quota")])
    (root / "a/quota").unlink()
    (root / "a/quota").mkdir()
    (root / "b/quota").write_text("new")
    done = restore(journal.path, str(root))
    assert done["restored"] == ["b/quota"]
    assert len(done["failed"]) == 1
    assert [e.path for e in Journal(journal.path, str(root)).entries] == ["a/quota"]
