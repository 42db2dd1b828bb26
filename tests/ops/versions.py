"""Other versions of this tree, really built: image, chart and collection, for upgrades between them.

A copy of the tracked files in the cache folder, with another version number, built by the copy's own ``build``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from build.paths import CLONE, cache, version
from tests.ansible import installed

INJECTED = "raise SystemExit('a fault that a test injected')"


@dataclass(frozen=True)
class Version:
    """One version's tree, built."""

    number: str
    tree: Path

    @property
    def image(self) -> Path:
        """The image archive."""
        return self.tree / "build/out/colocation-image.tar"

    @property
    def images(self) -> dict[str, Path]:
        """Architecture to an image archive of that alone."""
        machines = {"amd64": "x86_64", "arm64": "aarch64"}
        return {a: self.tree / f"build/out/colocation-{self.number}-{m}.tar" for a, m in machines.items()}

    @property
    def collection(self) -> Path:
        """The collection's artifact, with the chart inside."""
        return self.tree / f"build/out/openfuyao-colocation-{self.number}.tar.gz"

    @property
    def path(self) -> str:
        """ANSIBLE_COLLECTIONS_PATH with that artifact installed."""
        return installed.install(self.collection)


def ours() -> Version:
    """This clone, built by `make build image-oci`."""
    return Version(version(), CLONE)


def make(number: str, *, broken_agent: bool = False) -> Version:
    """Build a version of this tree; quick if it was built of the same files before."""
    folder = cache() / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / number
    with (folder / f"{number}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _copy(tree)
        _change(tree / "reconciler/src/colocation/__init__.py", f'"{version()}"', f'"{number}"')
        _change(tree / "galaxy.yml", f"version: {version()}", f"version: {number}")
        if broken_agent:
            main = tree / "reconciler/src/colocation/agent/__init__.py"
            main.write_text(f"{main.read_text()}\n{INJECTED}\n")
        for step in (("image", "oci"), ("chart",), ("collection",)):
            _python(tree, "-m", f"build.{step[0]}", *step[1:])
        _python(tree, "tests/ansible/prepare.py")
    return Version(number, tree)


def _copy(tree: Path) -> None:
    """The tracked files as they are in the work tree; what was built in the copy before stays."""
    tree.mkdir(exist_ok=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CLONE, capture_output=True, text=True, check=True).stdout
    names = {name for name in listed.split("\0") if name and (CLONE / name).is_file()}
    known = tree / ".names"
    for old in set(known.read_text().split("\0") if known.exists() else ()) - names:
        (tree / old).unlink(missing_ok=True)
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CLONE / name, tree / name)
    known.write_text("\0".join(sorted(names)))
    if not (tree / ".git").is_dir():
        subprocess.run(["git", "init", "-q"], cwd=tree, check=True)


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if old not in text:
        raise AssertionError(f"{file}: no {old}")
    file.write_text(text.replace(old, new))


def _python(tree: Path, *args: str) -> None:
    env = {**os.environ, "PYTHONPATH": f"{tree / 'reconciler/src'}:{tree}"}
    subprocess.run([sys.executable, *args], cwd=tree, env=env, check=True)
