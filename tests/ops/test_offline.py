"""An air-gapped site: a control machine and nodes that reach nothing but each other, and two bundles.

The control machine is a network namespace with one cable into the lab, an empty home, and no cache: what it runs comes
out of the bundle, Ansible itself included.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from build.paths import cache
from tests.lab import network
from tests.lab.cluster import Cluster, confirmed
from tests.lab.process import run
from tests.ops import versions
from tests.ops.conftest import QUICK, agents, changed, manager
from tests.ops.versions import Version

pytestmark = pytest.mark.lab
NEW = "0.2.0"
OUTSIDE = "import socket; socket.create_connection(({host!r}, {port}), 4)"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def bundle_of(version: Version, folder: Path, *architectures: str) -> Path:
    """On the side with internet: the collection installed from its artifact, and its playbook `bundle`."""
    ansible = Path(sys.executable).parent
    place, bundle = folder / f"collections-{version.number}", folder / f"colocation-{version.number}.tar"
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{place}:{cache() / 'collections'}", "ANSIBLE_FORCE_COLOR": "0"}
    env.pop("PYTHONPATH", None)
    install: list[str | Path] = ["collection", "install", "--no-deps", "--force", "-p", place, version.collection]
    subprocess.run([ansible / "ansible-galaxy", *install], env=env, check=True, stdout=subprocess.DEVNULL)
    # What a user runs is to come from nowhere but the environment above.
    variables = {
        "colocation_bundle": str(bundle),
        "colocation_bundle_images": [str(version.images[a]) for a in architectures],
        "colocation_bundle_architectures": list(architectures),
        "colocation_bundle_python": PYTHON,
        "colocation_helm_binary": helm(),
    }
    command: list[str | Path] = [
        ansible / "ansible-playbook",
        "openfuyao.colocation.bundle",
        "-e",
        json.dumps(variables),
    ]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return bundle


def helm() -> str:
    from tests.lab import binaries  # noqa: PLC0415

    return str(binaries.path("helm").resolve())


@dataclass(frozen=True)
class Site:
    """The control machine without internet."""

    cluster: Cluster
    netns: str
    home: Path

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program there, with nothing of this machine's environment."""
        env = {"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "LANG": "C.UTF-8"}
        argv = network.in_netns(self.netns, [str(part) for part in command])
        done = subprocess.run(argv, cwd=self.home, env=env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout[-6000:]}{done.stderr[-3000:]}"
        return done

    def install(self, bundle: Path) -> Path:
        """What the bundle's README says: unpack, a Python environment from its wheels, its collections."""
        there = self.home / bundle.stem
        there.mkdir()
        self.run("tar", "-xf", bundle, "-C", there)
        self.run(sys.executable, "-m", "venv", there / "venv")
        self.run(
            there / "venv/bin/pip",
            "install",
            "--no-index",
            "--find-links",
            there / "wheels",
            "ansible-core",
            "kubernetes",
        )
        artifacts = sorted((there / "collections").glob("*.tar.gz"))
        galaxy: list[str | Path] = [
            there / "venv/bin/ansible-galaxy",
            "collection",
            "install",
            "--offline",
            "-p",
            there / "ansible",
        ]
        self.run(*galaxy, *artifacts)
        return there

    def play(self, there: Path, playbook: str, *extra: str, fails: bool = False) -> str:
        """Run a playbook of the collection that was installed from a bundle."""
        program: list[str | Path] = [
            "env",
            f"ANSIBLE_COLLECTIONS_PATH={there / 'ansible'}",
            there / "venv/bin/ansible-playbook",
        ]
        command = [*program, f"openfuyao.colocation.{playbook}", "-i", self.home / "inventory.yml", *QUICK, *extra]
        done = self.run(*command, check=False)
        output = done.stdout + done.stderr
        assert bool(done.returncode) == fails, f"{playbook} ended with {done.returncode}:\n{output[-8000:]}"
        return output


@pytest.fixture(scope="module")
def site(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A namespace with one cable into the lab and no route but that; what it needs to reach the machines is copied."""
    lab, netns = cluster.lab, f"{cluster.lab.hub}-control"
    home = tmp_path_factory.mktemp("control")
    run(["ip", "netns", "add", netns])
    try:
        run(["ip", "-n", lab.hub, "link", "add", "vcontrol", "type", "veth", "peer", "name", "host0", "netns", netns])
        run(["ip", "-n", lab.hub, "link", "set", "vcontrol", "master", "br0", "up"])
        for command in ("link set lo up", f"addr add 10.99.{lab.ident}.253/24 dev host0", "link set host0 up"):
            run(["ip", "-n", netns, *command.split()])
        for file in (lab.kubeconfig, lab.ssh_key, lab.known_hosts):
            shutil.copy2(file, home)
        text = lab.inventory.read_text()
        for file in (lab.kubeconfig, lab.ssh_key, lab.known_hosts):
            text = text.replace(str(file), str(home / file.name))
        # Images and helm are to come from the bundle alone.
        lines = [line for line in text.splitlines() if "image_archive" not in line and "helm_binary" not in line]
        (home / "inventory.yml").write_text("\n".join(lines) + "\n")
        yield Site(cluster, netns, home)
    finally:
        run(["ip", "netns", "del", netns], check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the side with internet works."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def first(folder: Path) -> Path:
    """A bundle of this version."""
    return bundle_of(versions.ours(), folder, "amd64", "arm64")


@pytest.fixture(scope="module")
def second(folder: Path) -> Path:
    """A bundle of a newer version."""
    return bundle_of(versions.make(NEW), folder, "amd64")


@pytest.fixture(scope="module")
def installed(site: Site, first: Path) -> Path:
    """The first bundle's own Ansible and collections at the site, and `site -e colocation_bundle=...`."""
    there = site.install(first)
    site.play(there, "site", "-e", f"colocation_bundle={first}")
    return there


def test_the_network_is_cut(site: Site, cluster: Cluster) -> None:
    routes = site.run("ip", "route").stdout.split("\n")
    assert [line.split()[0] for line in routes if line] == [cluster.lab.subnet]
    for address, at in ((cluster.lab.api_address, 6443), (cluster.lab.node("node1").address, 22)):
        site.run("python3", "-c", OUTSIDE.format(host=address, port=at))  # what it must reach
    index = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    outside = index.stdout.strip().split("/")[2].rpartition("@")[2] if "//" in index.stdout else "pypi.org"
    host, _, port = outside.partition(":")
    for where in ("control", "node1"):
        program = OUTSIDE.format(host=host, port=int(port or 443))
        if where == "control":
            assert site.run("python3", "-c", program, check=False).returncode != 0, "the control machine reaches out"
        else:
            assert "reached" not in cluster.ssh(where, f'python3 -c "{program}" && echo reached; true')


def test_a_bundle_is_the_same_bytes_when_made_again(first: Path, folder: Path) -> None:
    before = first.read_bytes()
    bundle_of(versions.ours(), folder, "amd64", "arm64")
    assert first.read_bytes() == before


def test_a_bundle_lists_what_is_in_it_with_checksums_and_a_bill_of_materials(first: Path, folder: Path) -> None:
    there = folder / "look"
    there.mkdir()
    subprocess.run(["tar", "-xf", first, "-C", there], check=True)
    listed = json.loads((there / "bundle.json").read_text())
    names = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert names == {*listed["files"], "bundle.json"}
    sums = "".join(f"{row['sha256']}  {name}\n" for name, row in listed["files"].items())
    subprocess.run(["sha256sum", "--check", "--quiet", "-"], cwd=there, input=sums, text=True, check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", f"{first.name}.sha256"], cwd=folder, check=True)
    bill = json.loads((there / "sbom.cdx.json").read_text())
    parts = {part["bom-ref"]: part for part in bill["components"]}
    assert set(parts) == {name for name, row in listed["files"].items() if row["kind"] not in ("sbom", "text")}
    purls = [part.get("purl", "") for part in parts.values()]
    assert any(purl.startswith("pkg:pypi/ansible-core@2.") for purl in purls)
    assert any(purl.startswith("pkg:helm/colocation-package@") for purl in purls)
    both = [a for row in listed["files"].values() if row["kind"] == "image" for a in row["architectures"]]
    assert sorted(both) == ["amd64", "arm64"]
    images = [part for part in parts.values() if part["type"] == "container"]
    for part in images:  # each has its own bill, of what the image is made of
        assert json.loads((there / part["externalReferences"][0]["url"]).read_text())["components"]
    kinds = {row["kind"] for row in listed["files"].values()}
    assert kinds >= {"image", "chart", "collection", "wheel", "program", "sbom"}


def test_a_bundle_that_was_damaged_or_added_to_is_refused_before_anything_is_changed(
    site: Site, first: Path, folder: Path, cluster: Cluster
) -> None:
    there = site.install(first)
    shutil.copy(first, folder / "damaged.tar")
    with (folder / "damaged.tar").open("r+b") as file:
        file.seek(first.stat().st_size // 2)
        file.write(b"?" * 1000)
    shutil.copy(first, folder / "more.tar")
    subprocess.run(["tar", "--append", "-f", folder / "more.tar", "-C", "/etc", "hostname"], check=True)
    for name, result in (
        ("damaged", "has another checksum"),
        ("more", "is not in the bundle's list"),
        ("no", "no bundle"),
    ):
        output = site.play(there, "site", "-e", f"colocation_bundle={folder / name}.tar", fails=True)
        assert result in " ".join(output.split()), output
        assert "Nothing was changed." in output
    assert not cluster.kubectl("get", "ns", "openfuyao-colocation", "--ignore-not-found")
    shutil.rmtree(there)


def test_site_installs_from_a_bundle_with_the_network_cut(site: Site, installed: Path, cluster: Cluster) -> None:
    assert manager(cluster) == versions.ours().number
    assert set(agents(cluster).values()) == {versions.ours().number}
    assert cluster.nodes() == ["node1", "node2"]


def test_a_second_site_from_the_same_bundle_changes_nothing(site: Site, installed: Path, first: Path) -> None:
    assert changed(site.play(installed, "site", "-e", f"colocation_bundle={first}")) == 0


def test_a_second_bundle_upgrades_and_rollback_goes_back(
    site: Site, installed: Path, second: Path, cluster: Cluster
) -> None:
    there = site.install(second)
    site.play(there, "upgrade", "-e", f"colocation_bundle={second}")
    assert manager(cluster) == NEW
    assert agents(cluster) == {"node1": NEW, "node2": NEW}
    site.play(there, "rollback", "-e", f"colocation_bundle={second}")
    assert manager(cluster) == versions.ours().number
    assert set(agents(cluster).values()) == {versions.ours().number}


def test_uninstall_needs_no_network_either(site: Site, installed: Path, first: Path, cluster: Cluster) -> None:
    site.play(installed, "uninstall", *confirmed(cluster.lab, "uninstall"), "-e", f"colocation_bundle={first}")
    assert not cluster.kubectl("get", "ns", "openfuyao-colocation", "--ignore-not-found")
