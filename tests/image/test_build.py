"""The image of one commit: the same bytes wherever it is built, small, told apart, and what its bill says it is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from build import oci
from build.paths import version
from tests.image.conftest import Workshop, rootfs


def archives(workshop: Workshop) -> dict[str, str]:
    out = workshop.clone / "build/out"
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.iterdir()
        if path.suffix in (".tar", ".json")
    }


def test_built_in_two_folders_under_two_host_names_it_is_the_same_bytes_for_both_architectures(
    workshop: Workshop, tmp_path: Path
) -> None:
    # Also another umask, time zone and cache: the base is made anew from the fetched packages.
    other = Workshop(tmp_path, "two", workshop.clone)
    other.make("oci", "rootfs")
    one, two = archives(workshop), archives(other)
    assert one == two
    assert len(one) == 7, "index; archive, root file system and bill for each of two architectures"
    assert oci.load(workshop.clone / "build/out/image").digest == oci.load(other.clone / "build/out/image").digest


def test_a_second_make_builds_nothing(workshop: Workshop) -> None:
    assert "is up to date" in workshop.make()


@pytest.fixture(scope="module")
def image(workshop: Workshop) -> oci.Image:
    return oci.load(workshop.clone / "build/out/image")


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_it_says_where_it_comes_from_and_runs_as_nobody(
    workshop: Workshop, image: oci.Image, architecture: str
) -> None:
    manifest = image.read(image.manifests[architecture]["digest"])
    command = ["git", "log", "-1", "--format=%H", "--", "reconciler/src", "build"]
    revision = subprocess.run(command, cwd=workshop.clone, capture_output=True, text=True, check=True).stdout.strip()
    for notes in (image.read(image.digest)["annotations"], manifest["annotations"]):
        result = {key.removeprefix("org.opencontainers.image."): value for key, value in notes.items()}
        assert (result["revision"], result["version"]) == (revision, version())
        assert result["source"].startswith("https://")
        assert result["created"].endswith("Z")
    config = image.read(manifest["config"]["digest"])
    assert config["architecture"] == architecture
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Labels"]["org.opencontainers.image.revision"] == revision


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_a_node_pulls_at_most_25_mb(image: oci.Image, architecture: str) -> None:
    """All that is pulled by the manifest: layers as they are compressed, configuration, manifest; with the console."""
    layers = image.layers(architecture)
    assert all(layer["mediaType"].endswith("+gzip") for layer in layers)
    pulled = sum(layer["size"] for layer in layers)
    assert 10e6 < pulled < image.size(architecture) <= 25e6
    assert all(len(image.blob(layer["digest"])) == layer["size"] for layer in layers)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_file_of_the_package_is_in_it_also_those_of_assess(workshop: Workshop, machine: str) -> None:
    """Whatever kind of file is added: the recipe has no list of its own that could be forgotten."""
    listed = subprocess.run(
        ["git", "ls-files", "reconciler/src"], cwd=workshop.clone, capture_output=True, text=True, check=True
    ).stdout.split()
    with tarfile.open(workshop.clone / f"build/out/colocation-rootfs-{version()}-{machine}.tar") as tar:
        names = set(tar.getnames())
    wanted = {f"usr/lib/colocation/{path.removeprefix('reconciler/src/')}" for path in listed}
    assert any(path.endswith(".j2") for path in wanted)
    assert wanted - names == set()
    assert {"uPlot.iife.min.js", "uplot-LICENSE"} <= {name.rpartition("/")[2] for name in names}


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_every_blob_is_what_its_name_says_and_no_other_is_kept(image: oci.Image, architecture: str) -> None:
    names = {path.name for path in (image.layout / "blobs/sha256").iterdir()}
    assert all(
        hashlib.sha256((image.layout / "blobs/sha256" / name).read_bytes()).hexdigest() == name for name in names
    )
    reachable = {image.digest, *(digest for a in image.manifests for digest in oci.reachable(image, a))}
    assert {f"sha256:{name}" for name in names} == reachable


def test_the_amd64_root_file_system_runs_and_every_extension_module_in_it_loads(
    workshop: Workshop, tmp_path: Path
) -> None:
    root = rootfs(workshop, "x86_64", tmp_path)
    command = ["/usr/sbin/chroot", "--userspec=65532:65532", str(root), "/usr/bin/python3"]
    helped = subprocess.run(
        [*command, "-m", "colocation", "--help"], env=ENV, capture_output=True, text=True, check=False
    )
    assert "manager" in helped.stdout, helped.stderr
    script = (
        "import importlib, os\n"
        "for name in os.listdir('/usr/lib/python3.11/lib-dynload'): importlib.import_module(name.split('.')[0])"
    )
    subprocess.run([*command, "-c", script], check=True, capture_output=True)
    # Pages of the console and of assess are made in it: their templates and what these need are there.
    pages = (
        "from importlib import resources\n"
        "from colocation.assess import html\n"
        "from colocation.console import main, pages\n"
        "assert (resources.files('colocation.assess') / 'templates/report.html.j2').read_text()\n"
        "for name in pages._environment().list_templates(): pages._environment().get_template(name)\n"
        "for name in pages.FILES: assert pages.asset(name).body, name"
    )
    done = subprocess.run([*command, "-c", pages], env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ENV = {"PYTHONPATH": "/usr/lib/colocation", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_an_archive_of_one_architecture_is_an_oci_layout_and_what_docker_load_takes(
    workshop: Workshop, machine: str
) -> None:
    with tarfile.open(workshop.clone / f"build/out/colocation-{version()}-{machine}.tar") as tar:
        members = {member.name for member in tar}

        def read(name: str) -> Any:
            stream = tar.extractfile(name)
            assert stream
            return json.load(stream)

        (docker,) = read("manifest.json")
        assert {docker["Config"], *docker["Layers"]} < members
        config = read(docker["Config"])
        assert config["architecture"] == {"x86_64": "amd64", "aarch64": "arm64"}[machine]
        names = [entry["annotations"]["io.containerd.image.name"] for entry in read("index.json")["manifests"]]
        assert (
            names
            == docker["RepoTags"]
            == [
                f"localhost/openfuyao/{name}:{version()}"
                for name in ("colocation-manager", "colocation-overquota-agent")
            ]
        )
