from __future__ import annotations

import io
import json
import tarfile

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node

GIB = 1 << 30


def found(**kw):
    works = {"available": True, "reason": "written and read back"}
    base = {"system": "Linux", "cgroup_version": 2, "features": {"cpu.quota": works, "memory.limit": works}}
    base |= {"pods": 5, "pods_with_containers": 4}
    return {**base, "memory_bytes": 8 * GIB, "disk_free_bytes": GIB, **kw}


@pytest.mark.parametrize(
    "answer, wanted",
    [
        (found(), None),
        (found(system="FreeBSD"), "only Linux"),
        (found(cgroup_version=0, features={}), "no cgroup hierarchy"),
        (
            found(
                features={"cpu.quota": {"available": False, "reason": "EACCES"}, "memory.limit": {"available": True}}
            ),
            "EACCES",
        ),
        (found(pods=0, pods_with_containers=0), None),
        (found(pods_with_containers=0), "none of its 5 pods' control groups holds a container"),
        (found(memory_bytes=GIB // 2), "512 MiB of memory, 1024 are needed"),
        (found(disk_free_bytes=1 << 20), "1 MiB are free"),
    ],
)
def test_why_a_node_cannot_take_part(answer, wanted):
    problems = _node.capability_problems(answer, GIB, 256 << 20)
    assert (problems == []) if wanted is None else (len(problems) == 1 and wanted in problems[0])


@pytest.mark.parametrize(
    "note, present, wanted",
    [
        (None, {}, True),
        ({"sha256": "other", "images": {"a": "sha256:1"}}, {"a": "sha256:1"}, True),
        ({"sha256": "s", "images": {"a": "sha256:1"}}, {"a": "sha256:1", "b": "sha256:2"}, False),
        ({"sha256": "s", "images": {"a": "sha256:1"}}, {"a": "sha256:9"}, True),
        ({"sha256": "s", "images": {"a": "sha256:1"}}, {}, True),
        ({"sha256": "s", "images": {}}, {}, True),
    ],
)
def test_an_archive_is_imported_only_if_its_images_are_not_there(note, present, wanted):
    assert _node.image_plan("s", note, present) is wanted


LISTING = """REF                     TYPE  DIGEST  SIZE      PLATFORMS   LABELS
localhost/colocation:1  application/vnd.oci.image.manifest.v1+json sha256:aa 27.5 MiB linux/amd64 io.cri=managed
sha256:bb               application/vnd.oci.image.manifest.v1+json sha256:aa 27.5 MiB linux/amd64 -
"""


def test_what_ctr_lists():
    assert _node.parse_images(LISTING) == {"localhost/colocation:1": "sha256:aa", "sha256:bb": "sha256:aa"}


def test_images_of_an_import_are_the_new_ones_and_those_it_names():
    before = {"pause:3": "sha256:1", "ours:1": "sha256:2", "sha256:9": "sha256:2"}
    after = {**before, "ours:2": "sha256:3", "sha256:8": "sha256:3"}
    assert _node.imported(before, after, "unpacking ours:2 (sha256:3)...done", []) == {"ours:2": "sha256:3"}
    assert _node.imported(before, before, "", ["ours:1"]) == {"ours:1": "sha256:2"}


@pytest.mark.parametrize(
    "member, content",
    [
        ("index.json", {"manifests": [{"annotations": {"io.containerd.image.name": "x/y:1"}}, {}]}),
        ("manifest.json", [{"RepoTags": ["x/y:1"]}, {"RepoTags": None}]),
    ],
)
def test_names_in_an_archive(tmp_path, member, content):
    data = json.dumps(content).encode()
    with tarfile.open(tmp_path / "i.tar", "w") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    assert _node.archive_names(str(tmp_path / "i.tar")) == ["x/y:1"]


def test_before_keeps_the_first_note(tmp_path):
    first = _node.Before(str(tmp_path))
    first.note("sysctls", "vm.swappiness", "60")
    first.save()
    again = _node.Before(str(tmp_path))
    again.note("sysctls", "vm.swappiness", "1")
    assert again.notes == {"sysctls": {"vm.swappiness": "60"}}
    assert (tmp_path / "before" / "node.json").stat().st_mode & 0o777 == 0o600


def test_a_torn_record_is_named_not_overwritten(tmp_path):
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "node.json").write_text("{")
    with pytest.raises(ValueError, match=r"node\.json cannot be read"):
        _node.Before(str(tmp_path))


@pytest.mark.parametrize(
    "name, path",
    [
        ("vm.swappiness", "/proc/sys/vm/swappiness"),
        ("net.ipv4.conf.eth0/1.forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_where_a_kernel_parameter_lives(name, path):
    assert _node.sysctl_path(name) == path


@pytest.mark.parametrize(
    "modules, unknown",
    [([], ["vm.swapiness", "net.core"]), (["there"], ["vm.swapiness", "net.core"]), (["there", "to-come"], [])],
)
def test_parameters_that_the_kernel_lacks_unless_a_module_may_bring_them(tmp_path, modules, unknown):
    (tmp_path / "proc/sys/vm").mkdir(parents=True)
    (tmp_path / "proc/sys/net/core").mkdir(parents=True)
    (tmp_path / "proc/sys/vm/swappiness").write_text("60\n")
    (tmp_path / "sys/module/there").mkdir(parents=True)
    names = ["vm.swappiness", "vm.swapiness", "net.core"]
    assert _node.unknown_sysctls(names, modules, str(tmp_path / "proc"), str(tmp_path / "sys")) == unknown


@pytest.mark.parametrize(
    "have, want, same", [("1\t2\n", "1 2", True), ("60\n", "60", True), ("60", "1", False), (None, "1", False)]
)
def test_values_are_compared_as_the_kernel_writes_them(have, want, same):
    assert _node.same_value(have, want) is same


FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.0.0.7
        /32 host LOCAL
     |-- 10.0.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
"""


def test_addresses_without_a_fact_gathering():
    assert _node.local_ipv4(FIB) == ["10.0.0.7"]
    lines = "00000000000000000000000000000001 01 80 10 80 lo\n20010db8000000000000000000000007 02 40 00 80 eth0\n"
    assert _node.local_ipv6(lines + "fe800000000000000000000000000001 02 40 20 80 eth0\n") == ["2001:db8::7"]


def test_distribution_and_memory():
    assert _node.os_release('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n') == {
        "id": "debian",
        "version": "12",
        "name": "Debian 12",
    }
    assert _node.meminfo("MemTotal:  2048 kB\nOther: 1 kB\n") == {"MemTotal": 2 << 20}
