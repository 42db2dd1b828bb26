"""Hostile archives, really made: each must be refused by its rule, and leave nothing outside of the folder."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _archive, _folder, _write
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._archive import Limits
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Refused


def tgz(*entries, encoding="utf-8", compress=gzip.compress):
    """Entries are TarInfo, or (name, data)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT, encoding=encoding) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return compress(raw.getvalue())


def special(name, kind, linkname=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def zipped(*entries, **how):
    """Entries are (name or ZipInfo, data)."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", how.get("compression", zipfile.ZIP_DEFLATED)) as archive:
        for name, data in entries:
            archive.NameToInfo.clear()  # it would warn of what is done on purpose: two of one name
            archive.writestr(name, data)
    return raw.getvalue()


def unix(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def called(value):
    """The name of a case without its archive, which holds the second it was made in: two workers of pytest-xdist
    would collect two names for one case."""
    return value if isinstance(value, str) else "archive"


def unpacked(tmp_path, data, name, limits=None):
    archive, target = tmp_path / name, tmp_path / "target"
    archive.write_bytes(data)
    target.mkdir()
    _folder.unpack(str(archive), str(target), limits)
    return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}


def refusal(tmp_path, data, name, limits=None):
    with pytest.raises(Refused) as caught:
        unpacked(tmp_path, data, name, limits)
    everything = {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*")}
    assert everything == {name, "target"}, "something was written outside of the target"
    return caught.value.finding


@pytest.mark.parametrize(
    ("rule", "name", "data"),
    [
        ("archive-path", "a.tgz", tgz(("../evil", b"x"))),
        ("archive-path", "a.tgz", tgz(("a/../../evil", b"x"))),
        ("archive-path", "a.tgz", tgz(("/tmp/evil", b"x"))),
        ("archive-path", "a.tgz", tgz(("a//b", b"x"))),
        ("archive-path", "a.tgz", tgz(("a\nb", b"x"))),
        ("archive-path", "a.tgz", tgz(("x" * 300, b"x"))),
        ("archive-path", "a.zip", zipped(("../evil", b"x"))),
        ("archive-path", "a.zip", zipped(("/tmp/evil", b"x"))),
        ("archive-path", "a.zip", zipped(("..\\evil", b"x"))),
        ("archive-path", "a.zip", zipped(("C:/evil", b"x"))),
        ("archive-link", "a.tgz", tgz(special("a", tarfile.SYMTYPE, "/etc"), ("a/passwd", b"x"))),
        ("archive-link", "a.tgz", tgz(("a", b"x"), special("b", tarfile.LNKTYPE, "a"))),
        ("archive-link", "a.zip", zipped((unix("a", stat.S_IFLNK | 0o777), b"/etc"))),
        ("archive-special", "a.tgz", tgz(special("a", tarfile.CHRTYPE))),
        ("archive-special", "a.tgz", tgz(special("a", tarfile.BLKTYPE))),
        ("archive-special", "a.tgz", tgz(special("a", tarfile.FIFOTYPE))),
        ("archive-special", "a.zip", zipped((unix("a", stat.S_IFCHR | 0o666), b""))),
        ("archive-special", "a.zip", zipped(("a", b"x" * 100), compression=zipfile.ZIP_BZIP2)),
        ("archive-special", "a.zip", zipped(("a", b"x" * 100), compression=zipfile.ZIP_LZMA)),
        ("archive-duplicate", "a.tgz", tgz(("a", b"good"), ("a", b"evil"))),
        ("archive-duplicate", "a.tgz", tgz(("./a", b"good"), ("a", b"evil"))),
        ("archive-duplicate", "a.tgz", tgz(("Chart.yaml", b"good"), ("chart.yaml", b"evil"))),
        ("archive-duplicate", "a.tgz", tgz(("caf\u00e9", b"good"), ("cafe\u0301", b"evil"))),
        ("archive-duplicate", "a.tgz", tgz(("a", b"file"), ("a/b", b"below it"))),
        ("archive-duplicate", "a.zip", zipped(("a", b"good"), ("a", b"evil"))),
        ("archive-duplicate", "a.zip", zipped(("a/b", b"below it"), ("A", b"file"))),
        ("encoding", "a.tgz", tgz(("gr\u00f6\u00dfe", b"x"), encoding="latin-1")),
        ("archive-damaged", "a.tgz", tgz(("a", os.urandom(4000)))[:-500]),
        ("archive-damaged", "a.tgz", b"no gzip at all"),
        ("archive-damaged", "a.tgz", gzip.compress(b"no tar at all" * 100)),
        ("archive-damaged", "a.zip", b"no zip at all"),
        ("archive-damaged", "a.zip", zipped(("a", os.urandom(4000)))[:-40]),
        ("archive-damaged", "a.zip", b"#!/bin/sh\nevil\n" + zipped(("a", b"x"))),
        ("archive-format", "a.rar", b""),
    ],
    ids=called,
)
def test_a_hostile_archive_is_refused_by_its_rule(tmp_path, rule, name, data):
    assert refusal(tmp_path, data, name).rule == rule


def test_a_zip_whose_names_are_of_no_said_encoding_is_refused(tmp_path):
    data = zipped(("gr\u00f6\u00dfe", b"x")).replace("gr\u00f6\u00dfe".encode(), b"gr\x94\xe1e__")
    # The two flags that say UTF-8 off, as old tools write it.
    data = data.replace(b"PK\x03\x04\x14\x00\x00\x08", b"PK\x03\x04\x14\x00\x00\x00")
    data = data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x08", b"PK\x01\x02\x14\x03\x14\x00\x00\x00")
    assert refusal(tmp_path, data, "a.zip").rule == "encoding"


def test_a_zip_that_says_utf_8_and_is_not_is_refused(tmp_path):
    data = zipped(("gr\u00f6\u00dfe", b"x")).replace("gr\u00f6\u00dfe".encode(), b"gr\xf6\xdfe\xff\xff")
    assert refusal(tmp_path, data, "a.zip").rule == "encoding"


def test_an_encrypted_zip_is_refused(tmp_path):
    data = zipped(("a", b"x"))
    data = data.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
    data = data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    assert refusal(tmp_path, data, "a.zip").rule == "archive-special"


def test_a_zip_whose_file_is_called_otherwise_inside_is_refused(tmp_path):
    data = bytearray(zipped(("good.txt", b"x")))
    at = data.find(b"good.txt")  # the local header; the directory at the end keeps the other name
    data[at : at + 8] = b"evil.txt"
    assert refusal(tmp_path, bytes(data), "a.zip").rule == "archive-damaged"


def test_a_zip_with_data_that_does_not_fit_its_checksum_is_refused(tmp_path):
    data = bytearray(zipped(("a", b"x" * 64), compression=zipfile.ZIP_STORED))
    data[data.find(b"xxx")] = ord("y")
    assert refusal(tmp_path, bytes(data), "a.zip").rule == "archive-damaged"


def test_a_zip_of_overlapping_entries_is_refused(tmp_path):
    """Many entries of the directory over one piece of data: the bomb that needs no nesting."""
    data = zipped(("a0", os.urandom(5000)))
    start = data.index(b"PK\x01\x02")
    entry = data[start : data.index(b"PK\x05\x06")]
    copies = [entry.replace(b"a0", b"a%d" % n) for n in range(10)]
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, len(entry) * 10, start, 0)
    assert refusal(tmp_path, data[:start] + b"".join(copies) + end, "a.zip").rule == "archive-bomb"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tgz", tgz(("zeros", bytes(8 << 20)))),
        ("a.zip", zipped(("zeros", bytes(8 << 20)))),
        ("a.tgz", tgz(*((f"zeros{n}", bytes(1 << 20)) for n in range(8)))),
    ],
    ids=called,
)
def test_a_bomb_by_ratio_is_refused_before_it_is_all_unpacked(tmp_path, name, data):
    assert refusal(tmp_path, data, name).rule == "archive-bomb"
    written = sum(p.stat().st_size for p in (tmp_path / "target").rglob("*") if p.is_file())
    assert written < 4 << 20


def test_a_bomb_by_size_or_by_number_is_refused(tmp_path):
    many = tgz(*((f"f{n}", b"") for n in range(50)))
    for limits, data in ((Limits(entries=40), many), (Limits(total=1 << 16), tgz(("a", os.urandom(1 << 17))))):
        with pytest.raises(Refused, match="archive-bomb"):
            for _entry, pieces in _archive.read(io.BytesIO(data), "a.tgz", "a.tgz", limits):
                for _piece in pieces:
                    pass


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 600 << 20
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as packed:
        packed.write(header.tobuf(tarfile.USTAR_FORMAT))
        packed.write(bytes(4 << 20))
    assert refusal(tmp_path, raw.getvalue(), "a.tgz").rule == "archive-bomb"


def test_an_entry_that_says_it_is_smaller_than_it_is_gives_no_more_than_it_says(tmp_path):
    data = zipped(("a", bytes(1 << 20)))
    lied = data.replace(struct.pack("<L", 1 << 20), struct.pack("<L", 16))
    assert refusal(tmp_path, lied, "a.zip").rule == "archive-damaged"


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.tar.gz"])
def test_a_good_archive_is_unpacked_as_it_is(tmp_path, name):
    files = {"a/b.txt": b"text", "a/\u4e2d\u6587.txt": b"", "a/big.bin": os.urandom(300_000), "a/run": b"#!"}
    data = _write.pack(_archive.suffix_of(name), files, {"a/run"})
    assert unpacked(tmp_path, data, name) == files
    assert stat.S_IMODE((tmp_path / "target/a/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "target/a/b.txt").stat().st_mode) == 0o644


def test_archives_as_other_tools_make_them_are_read(tmp_path):
    folder = tarfile.TarInfo("./a")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    dot = tarfile.TarInfo("./")
    dot.type = tarfile.DIRTYPE
    assert unpacked(tmp_path, tgz(dot, folder, ("./a/b", b"x")), "a.tgz") == {"a/b": b"x"}
    assert [entry.name for entry, pieces in _archive.read(io.BytesIO(zipped(("a/", b""), ("a/b", b"x"))), "a.zip", "a.zip")] == ["a/b"]


@pytest.mark.parametrize("suffix", [".zip", ".tgz", ".tar.gz"])
def test_the_same_files_make_the_same_archive_whatever_their_order_times_and_owners(tmp_path, suffix):
    made = []
    for order in ([1, 2, 3], [3, 1, 2]):
        folder = tmp_path / str(order[0])
        folder.mkdir()
        for n in order:
            (folder / f"f{n}").write_bytes(b"%d" % n * 1000)
            os.utime(folder / f"f{n}", (n * 10**8 + order[0], n * 10**8))
        made.append(_write.pack(suffix, {f"x/f{n}": str(folder / f"f{n}") for n in order}))
    assert made[0] == made[1]


def test_a_folder_with_a_link_or_a_pipe_is_no_package(tmp_path):
    (tmp_path / "a").mkdir()
    os.symlink("/etc/passwd", tmp_path / "a" / "link")
    with pytest.raises(Refused, match="archive-link"):
        _folder.listing(str(tmp_path / "a"), "a")
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / "pipe")
    with pytest.raises(Refused, match="archive-special"):
        _folder.contents(str(tmp_path / "b"), "b")


@pytest.mark.parametrize("data", ["caf\u00e9: 1".encode("latin-1"), "a: 1".encode("utf-16"), b"a: \xff"])
def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path, data):
    (tmp_path / "values.yaml").write_bytes(b"a: 1\n" + data)
    with pytest.raises(Refused) as caught:
        _folder.contents(str(tmp_path), "chart")
    assert (caught.value.finding.rule, caught.value.finding.line) == ("encoding", 2)
