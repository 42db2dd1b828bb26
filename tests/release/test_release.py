# SPDX-License-Identifier: Apache-2.0
"""A release as a dry run: made twice from one commit, published to servers on this machine, installed from there.

There is no Galaxy here: the collection is installed from a web server's URL. All else goes the way of a real release.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from build import tools
from build.paths import CLONE, cache
from tests.lab import binaries
from tests.lab.apiserver import free_ports
from tests.lab.registry import Registry
from tests.lab.waiting import eventually
from tools.environment import environment

NUMBER = "0.9.0"
WHEEL = f"colocation-{NUMBER}-py3-none-any.whl"
ARTIFACT = f"openfuyao-colocation-{NUMBER}.tar.gz"
BUNDLE = f"colocation-bundle-{NUMBER}.tar"
IMAGES = ("openfuyao/colocation-manager", "openfuyao/colocation-overquota-agent")
CHART = "openfuyao/charts/colocation-package"
GIT = ("-c", "user.name=release", "-c", "user.email=release@example.org", "-c", "commit.gpgsign=false")
DATE = "2026-12-01T00:00:00+00:00"


@dataclass(frozen=True)
class Release:
    """A clone in which a release was made."""

    clone: Path
    keys: Path

    @property
    def folder(self) -> Path:
        return self.clone / "build/out/release" / NUMBER

    def python(self, *arguments: str, umask: int = 0o022, **env: str) -> str:
        """Run a step of the build there; its progress."""
        full = {**os.environ, "PYTHONPATH": f"{self.clone}/reconciler/src:{self.clone}", "IMAGE_TOOL": "buildah", **env}
        full |= {"COSIGN_PASSWORD": "dry", "COSIGN": str(binaries.path("cosign"))}
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command, cwd=self.clone, env=full, umask=umask, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stderr

    def cosign(self, *arguments: str | Path) -> bool:
        command: list[str | Path] = [binaries.path("cosign"), *arguments]
        return subprocess.run(command, cwd=self.keys, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        pytest.skip("images need root")
    binaries.ensure("cosign")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "another"):
        command: list[str | Path] = [binaries.path("cosign"), "generate-key-pair", "--output-key-prefix", name]
        subprocess.run(command, cwd=folder, env={**os.environ, "COSIGN_PASSWORD": "dry"}, check=True)
    return folder


def prepared(folder: Path, keys: Path) -> Release:
    """A clone of the last commit, with the commit of a release on top."""
    made = Release(folder, keys)
    subprocess.run(["git", "clone", "-q", CLONE, folder], check=True)
    made.python("build.version", NUMBER)
    dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    command = ["git", *GIT, "commit", "-aqm", f"Version {NUMBER}"]
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(command, cwd=folder, env={**os.environ, **dates}, check=True)
    return made


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Release:
    made = prepared(tmp_path_factory.mktemp("release") / "colocation", keys)
    made.python("build.release", NUMBER, COSIGN_KEY=str(keys / "ours.key"))
    return made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, release: Release) -> Iterator[Registry]:
    """With image and chart, pushed and signed."""
    with Registry(tmp_path_factory.mktemp("registry")) as server:
        release.python("build.push", server.address, PLAIN_HTTP="1", COSIGN_KEY=str(release.keys / "ours.key"))
        yield server


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, release: Release) -> Iterator[str]:
    """A package index to which twine has uploaded the wheel; its URL."""
    bin_folder = environment(CLONE / "requirements/release.txt")
    folder, (port,) = tmp_path_factory.mktemp("index"), free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [
        bin_folder / "pypi-server",
        "run",
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-P",
        ".",
        "-a",
        ".",
        folder,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            upload: list[str | Path] = [bin_folder / "twine", "upload", "--non-interactive"]
            upload += ["--repository-url", url, "-u", "x", "-p", "x", release.folder / WHEEL]
            eventually(lambda: subprocess.run(upload, check=False).returncode == 0, 60, "upload", every=1)
            yield url
        finally:
            server.terminate()


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_folder_has_everything_and_a_checksum_for_each(release: Release) -> None:
    names = set(sums(release.folder))
    assert names == {
        WHEEL, ARTIFACT, f"colocation-package-{NUMBER}.tgz", "colocation-image.tar",
        *(f"colocation-{NUMBER}-{machine}.{kind}" for machine in ("x86_64", "aarch64") for kind in ("tar", "cdx.json")),
        BUNDLE, f"{BUNDLE}.sha256", "CHANGELOG.rst", "release-notes.md", "SHA256SUMS", "SHA256SUMS.sigstore.json",
    }  # fmt: skip
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    subprocess.run(check, cwd=release.folder, check=True)
    listed = {line.split()[1] for line in (release.folder / "SHA256SUMS").read_text().splitlines()}
    assert names - listed == {"SHA256SUMS", "SHA256SUMS.sigstore.json"}
    notes = (release.folder / "release-notes.md").read_text()
    assert NUMBER in notes
    assert "sha256:" in notes


def test_checksums_are_verified_by_our_key_and_no_other_and_not_if_they_change(
    release: Release, tmp_path: Path
) -> None:
    how = ("--insecure-ignore-tlog=true", "--bundle", release.folder / "SHA256SUMS.sigstore.json")
    assert release.cosign("verify-blob", "--key", "ours.pub", *how, release.folder / "SHA256SUMS")
    assert not release.cosign("verify-blob", "--key", "another.pub", *how, release.folder / "SHA256SUMS")
    changed = tmp_path / "SHA256SUMS"
    changed.write_text((release.folder / "SHA256SUMS").read_text().replace("a", "b"))
    assert not release.cosign("verify-blob", "--key", "ours.pub", *how, changed)


def test_the_same_commit_gives_the_same_bytes(release: Release, keys: Path, tmp_path: Path) -> None:
    """Elsewhere, at another time, in another time zone, under another umask."""
    again = prepared(tmp_path / "elsewhere", keys)
    again.python("build.release", NUMBER, umask=0o077, TZ="Asia/Shanghai")
    ours, theirs = sums(release.folder), sums(again.folder)
    not_the_same = {name for name in ours if theirs.get(name) != ours[name]}
    assert not_the_same <= {BUNDLE, f"{BUNDLE}.sha256", "SHA256SUMS", "SHA256SUMS.sigstore.json"}


def test_image_and_chart_are_in_the_registry_signed(release: Release, registry: Registry) -> None:
    for name in (*IMAGES, CHART):
        digest = registry.digest(name, NUMBER)
        assert digest
        how = ("--insecure-ignore-tlog=true", "--allow-http-registry", f"{registry.address}/{name}@{digest}")
        assert release.cosign("verify", "--key", "ours.pub", *how)
        assert not release.cosign("verify", "--key", "another.pub", *how)
    notes = (release.folder / "release-notes.md").read_text()
    assert str(registry.digest(IMAGES[0], NUMBER)) in notes


def test_the_image_is_pulled_for_both_architectures(registry: Registry, tmp_path: Path) -> None:
    tools.ensure("skopeo")
    for architecture in ("amd64", "arm64"):
        source = f"docker://{registry.address}/{IMAGES[0]}:{NUMBER}"
        pull = ["skopeo", "--insecure-policy", "--override-arch", architecture, "copy", "-q", "--src-tls-verify=false"]
        subprocess.run([*pull, source, f"oci:{tmp_path / architecture}:x"], check=True)
        assert (tmp_path / architecture / "index.json").exists()


def test_helm_renders_the_chart_from_the_registry(registry: Registry, tmp_path: Path) -> None:
    binaries.ensure("helm")
    digest = registry.digest(IMAGES[0], NUMBER)
    chart = [f"oci://{registry.address}/{CHART}", "--version", NUMBER, "--plain-http"]
    values = f"image.registry={registry.address},image.digest={digest}"
    command: list[str | Path] = [
        binaries.path("helm"),
        "template",
        "colocation",
        *chart,
        "--kube-version=1.36.3",
        "--set",
        values,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"{registry.address}/{IMAGES[0]}@{digest}" in done.stdout
    assert f'app.kubernetes.io/version: "{NUMBER}"' in done.stdout


def test_pip_installs_the_wheel_from_the_index(index: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    pip: list[str | Path] = [tmp_path / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_") and key != "PYTHONPATH"}
    subprocess.run([*pip, "--index-url", f"{index}/simple/", f"colocation=={NUMBER}"], env=env, check=True)
    command: list[str | Path] = [tmp_path / "venv/bin/colocation", "--version"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"colocation {NUMBER}\n"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_ansible_galaxy_installs_the_collection_from_a_url(release: Release, tmp_path: Path) -> None:
    bin_folder = Path(sys.executable).parent
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{tmp_path}:{cache() / 'collections'}"}
    env.pop("PYTHONPATH", None)
    with served(release.folder) as url:
        install: list[str | Path] = [
            bin_folder / "ansible-galaxy",
            "collection",
            "install",
            "--no-deps",
            "-p",
            tmp_path,
        ]
        subprocess.run([*install, f"{url}/{ARTIFACT}"], cwd=tmp_path, env=env, check=True)
    verify: list[str | Path] = [
        bin_folder / "ansible-playbook",
        "--syntax-check",
        "-i",
        "localhost,",
        "openfuyao.colocation.site",
    ]
    subprocess.run(verify, cwd=tmp_path, env=env, check=True)
    chart = (
        tmp_path
        / f"ansible_collections/openfuyao/colocation/roles/colocation_manager/files/colocation-package-{NUMBER}.tgz"
    )
    assert chart.read_bytes() == (release.folder / f"colocation-package-{NUMBER}.tgz").read_bytes()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [("0.8.0", "has version 0.9.0, not 0.8.0"), ("0.9.0", "a release is of a commit"), ("1.0", "a number as 1.2.3")],
)
def test_what_is_not_that_release_is_refused(release: Release, tmp_path: Path, number: str, sentence: str) -> None:
    copy = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", release.clone, copy], check=True)
    (copy / "new.txt").write_text("not committed")
    env = {**os.environ, "PYTHONPATH": f"{copy}/reconciler/src:{copy}"}
    module = "build.version" if number == "1.0" else "build.release"
    command = [sys.executable, "-m", module, number]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert sentence in done.stderr
    shutil.rmtree(copy)
