"""The image as it is released: built by buildah, for both architectures."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from build.paths import CLONE, cache, version

NEEDED = ("bin", "go", "inputs", "toolchain")
"""What a second cache folder shares with the first: what was fetched and checked, nothing that was made of it."""


class Workshop:
    """A clone of this repository in a folder of its own, with a cache of its own, under a host name of its own."""

    def __init__(self, home: Path, name: str, source: Path = CLONE) -> None:
        self.clone, self.name, self.cache = home / name / "colocation", name, home / f"cache-{name}"
        self.cache.mkdir()
        for shared in (*NEEDED, *(path.name for path in cache().glob("image-wheels-*"))):
            if (cache() / shared).exists():
                (self.cache / shared).symlink_to(cache() / shared)
        subprocess.run(["git", "clone", "-q", source, self.clone], check=True)

    def make(self, *arguments: str, module: str = "build.image") -> str:
        """Run a step of the build there; what it said."""
        inner = [sys.executable, "-m", module, *arguments]
        command = [
            "unshare",
            "--uts",
            "sh",
            "-c",
            f'hostname {self.name} && umask "$0" && exec "$@"',
            self.umask,
            *inner,
        ]
        env = {**os.environ, "COLOCATION_CACHE": str(self.cache), "IMAGE_TOOL": "buildah", "TZ": self.zone}
        done = subprocess.run(command, cwd=self.clone, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    @property
    def umask(self) -> str:
        return "022" if self.name == "one" else "077"

    @property
    def zone(self) -> str:
        return "UTC" if self.name == "one" else "Asia/Shanghai"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The image of this commit, with all its forms, in build/out of a fresh clone."""
    if os.geteuid() != 0:
        pytest.skip("host names and chroot need root")
    made = Workshop(tmp_path_factory.mktemp("image"), "one")
    made.make("oci", "rootfs")
    return made


def rootfs(workshop: Workshop, machine: str, home: Path) -> Path:
    """The root file system of one architecture, unpacked."""
    with tarfile.open(workshop.clone / f"build/out/colocation-rootfs-{version()}-{machine}.tar") as tar:
        tar.extractall(home / "root", filter="fully_trusted")
    # Nobody is to run in it.
    (home / "root").chmod(0o755)
    return home / "root"
