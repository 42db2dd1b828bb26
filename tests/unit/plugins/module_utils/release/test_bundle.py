from __future__ import annotations

import io
import json
import tarfile

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _bundle
from ansible_collections.openfuyao.colocation.plugins.modules import bundle, bundle_unpack


def archive(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def layout(path, *architectures):
    """An OCI layout with one index, as buildah writes it."""
    members = {"oci-layout": {}, "index.json": {"manifests": [{"digest": "sha256:top"}]}}
    members["blobs/sha256/top"] = {"manifests": [{"digest": f"sha256:m{a}"} for a in architectures]}
    for a in architectures:
        members[f"blobs/sha256/m{a}"] = {"config": {"digest": f"sha256:c{a}"}}
        members[f"blobs/sha256/c{a}"] = {"architecture": a}
    return archive(path, members)


def docker(path, architecture):
    return archive(path, {"manifest.json": [{"Config": "c.json"}], "c.json": {"architecture": architecture}})


def make(tmp_path, **changes):
    chart = tmp_path / "colocation-package-0.2.0.tgz"
    chart.write_bytes(b"chart")
    params = {
        "dest": str(tmp_path / "out" / "b.tar"),
        "version": "0.2.0",
        "architectures": ["amd64"],
        "images": [docker(tmp_path / "image.tar", "amd64")],
        "charts": [str(chart)],
        "collections": [],
        "programs": {},
        "wheels": None,
        "debs": None,
    }
    return bundle.write({**params, **changes}, check_mode=False)


def test_architectures_are_read_from_both_kinds_of_archives(tmp_path):
    assert _bundle.image_architectures(layout(tmp_path / "o.tar", "arm64", "amd64")) == ["amd64", "arm64"]
    assert _bundle.image_architectures(docker(tmp_path / "d.tar", "arm64")) == ["arm64"]
    (tmp_path / "x.tar").write_text("no archive")
    with pytest.raises(_bundle.BundleError, match="x.tar is no image archive"):
        _bundle.image_architectures(str(tmp_path / "x.tar"))


def test_an_architecture_without_an_image_is_named(tmp_path):
    with pytest.raises(_bundle.BundleError, match="No image for arm64"):
        make(tmp_path, architectures=["amd64", "arm64"])
    assert not (tmp_path / "out").exists()


def test_the_same_content_gives_the_same_bytes_and_changes_nothing(tmp_path):
    one = make(tmp_path)
    two = make(tmp_path)
    assert (one["changed"], two["changed"]) == (True, False)
    assert one["sha256"] == two["sha256"] == _bundle.digest(str(tmp_path / "out" / "b.tar"))


def test_what_is_packed_is_unpacked_once_and_found(tmp_path):
    made = make(tmp_path)
    found = bundle_unpack.unpacked(str(tmp_path / "out" / "b.tar"), str(tmp_path / "cache"))
    assert found["version"] == "0.2.0"
    assert _bundle.digest(found["images"]["amd64"]) == made["files"]["images/image.tar"]["sha256"]
    assert bundle_unpack.unpacked(str(tmp_path / "out" / "b.tar"), str(tmp_path / "cache")) == found
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "result"),
    [("images/image.tar", "another checksum"), ("../evil", "not in the bundle's list"), (None, "not complete")],
)
def test_what_does_not_fit_the_list_is_refused_and_leaves_nothing(tmp_path, name, result):
    make(tmp_path)
    with tarfile.open(tmp_path / "out" / "b.tar") as old, tarfile.open(tmp_path / "bad.tar", "w") as new:
        for member in old:
            content = old.extractfile(member).read()
            if member.name == "images/image.tar":
                if name is None:
                    continue
                content = content if name != member.name else b"?" + content[1:]
                if name == "../evil":
                    evil = tarfile.TarInfo(name)
                    evil.size = 1
                    new.addfile(evil, io.BytesIO(b"x"))
            new.addfile(member, io.BytesIO(content))
    with pytest.raises(_bundle.BundleError, match=result):
        bundle_unpack.unpacked(str(tmp_path / "bad.tar"), str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_another_archive_is_no_bundle(tmp_path):
    with pytest.raises(_bundle.BundleError, match="is no bundle"):
        bundle_unpack.unpacked(docker(tmp_path / "image.tar", "amd64"), str(tmp_path / "cache"))


def test_an_installed_collection_becomes_an_artifact_again_without_what_its_distribution_dropped(tmp_path):
    folder = tmp_path / "installed"
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "x.py").write_text("x = 1\n")
    info = {"namespace": "a", "name": "b", "version": "1.2.3", "license": ["GPL-3.0-or-later", "Apache-2.0"]}
    manifest = {"collection_info": info, "file_manifest_file": {"chksum_sha256": "old"}}
    rows = [("plugins", "dir"), ("plugins/x.py", "file"), ("tests/gone.py", "file")]
    files = [{"name": n, "ftype": f, "chksum_sha256": "old" if f == "file" else None} for n, f in rows]
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    (folder / "FILES.json").write_text(json.dumps({"files": files, "format": 1}))
    made = _bundle.pack_collection(str(folder), str(tmp_path))
    with tarfile.open(made) as tar:
        assert set(tar.getnames()) == {"MANIFEST.json", "FILES.json", "plugins", "plugins/x.py"}
        listed = tar.extractfile("FILES.json").read()
        assert "gone" not in listed.decode()
    part = _bundle.component("collection", made, "collections/a-b-1.2.3.tar.gz", "00")
    assert (part["name"], part["version"]) == ("a.b", "1.2.3")
    with pytest.raises(_bundle.BundleError, match="no installed collection"):
        _bundle.pack_collection(str(tmp_path / "out"), str(tmp_path))
