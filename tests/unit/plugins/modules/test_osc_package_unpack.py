from __future__ import annotations

import io
import os
import tarfile

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _module, _write
from ansible_collections.openfuyao.colocation.plugins.modules import osc_package_unpack

FILES = {"etcd/package/etcd-1.0.0.tgz": b"chart", "etcd/images/mapping.yaml": b"instance: []\n"}


class Ended(Exception):
    """The module's end, with what it returned."""


class Module:
    """As much of AnsibleModule as is used."""

    def __init__(self, tmp_path, check_mode=False, **params):
        self.params = {"force": False, "max_unpacked_mib": 64, **params}
        self.check_mode = check_mode
        self.tmpdir = str(tmp_path)

    def exit_json(self, **result):
        raise Ended({"failed": False, **result})

    def fail_json(self, **result):
        raise Ended({"failed": True, "changed": False, **result})


def run(tmp_path, data=None, **how):
    archive = tmp_path / "etcd-1.0.0.zip"
    if data is not None:
        archive = tmp_path / "etcd-1.0.0.tgz"
    archive.write_bytes(data if data is not None else _write.pack(".zip", FILES))
    module = Module(tmp_path, src=str(archive), dest=str(tmp_path / "etcd"), **how)
    with pytest.raises(Ended) as ended:
        _module.guarded(module, lambda: osc_package_unpack.run(module))
    return ended.value.args[0]


def test_a_package_is_unpacked_once_and_its_parts_are_told(tmp_path):
    result = run(tmp_path)
    assert result["changed"]
    assert result["parts"] == {
        "package": str(tmp_path / "etcd/package/etcd-1.0.0.tgz"),
        "images": [],
        "mapping": str(tmp_path / "etcd/images/mapping.yaml"),
    }
    assert (tmp_path / "etcd/images/mapping.yaml").read_bytes() == b"instance: []\n"
    assert not run(tmp_path)["changed"]
    assert sorted(os.listdir(tmp_path)) == ["etcd", "etcd-1.0.0.zip"]


def test_check_mode_tells_the_difference_and_leaves_no_trace(tmp_path):
    result = run(tmp_path, check_mode=True)
    assert result["changed"]
    assert result["diff"]["before"] == {}
    assert sorted(result["diff"]["after"]) == ["images/mapping.yaml", "package/etcd-1.0.0.tgz"]
    assert os.listdir(tmp_path) == ["etcd-1.0.0.zip"]


def test_a_file_that_was_changed_is_put_back(tmp_path):
    run(tmp_path)
    (tmp_path / "etcd/images/mapping.yaml").write_text("evil")
    assert run(tmp_path)["changed"]
    assert (tmp_path / "etcd/images/mapping.yaml").read_bytes() == b"instance: []\n"


def test_files_of_others_are_kept_unless_forced(tmp_path):
    (tmp_path / "etcd").mkdir()
    (tmp_path / "etcd/mine.txt").write_text("mine")
    result = run(tmp_path)
    assert result["failed"]
    assert "mine.txt" in result["msg"]
    assert os.listdir(tmp_path / "etcd") == ["mine.txt"]
    assert run(tmp_path, force=True)["changed"]
    assert sorted(os.listdir(tmp_path / "etcd")) == ["images", "package"]


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "etcd").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path)["failed"]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_hostile_archive_leaves_what_was_there_and_nothing_else(tmp_path):
    run(tmp_path)
    before = (tmp_path / "etcd/images/mapping.yaml").stat().st_mtime_ns
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("etcd/good.txt"))
        archive.addfile(tarfile.TarInfo("../evil.txt"))
    result = run(tmp_path, data=raw.getvalue())
    assert result["failed"]
    assert result["finding"]["rule"] == "archive-path"
    assert sorted(os.listdir(tmp_path)) == ["etcd", "etcd-1.0.0.tgz", "etcd-1.0.0.zip"]
    assert (tmp_path / "etcd/images/mapping.yaml").stat().st_mtime_ns == before


def test_a_missing_archive_is_told(tmp_path):
    module = Module(tmp_path, src=str(tmp_path / "none.zip"), dest=str(tmp_path / "etcd"))
    with pytest.raises(Ended) as ended:
        _module.guarded(module, lambda: osc_package_unpack.run(module))
    assert "none.zip" in ended.value.args[0]["msg"]
    assert os.listdir(tmp_path) == []
