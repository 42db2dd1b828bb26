"""Files of npm packages by lock: fetched by npm, checked by their sha512, unpacked; nothing of them is run here.

python -m build.npm          puts those of the console where it serves them from (console/vendor)
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from build import tools
from build.paths import CLONE, SOURCE, cache, say
from tests.lab.binaries import cache_lock

LOCK: Final = CLONE / "build/lock/npm.txt"
VENDOR: Final = SOURCE / "console/vendor"


class Package(NamedTuple):
    """One line of a lock."""

    name: str
    version: str
    integrity: str
    """sha512-... of the archive, as npm states it."""
    licence: str
    files: tuple[str, ...]
    """Which files of the archive are taken."""


def read(lock: Path = LOCK) -> list[Package]:
    """The packages of a lock."""
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return [
        Package(name, version, integrity, licence, tuple(files)) for name, version, integrity, licence, *files in lines
    ]


def ensure(package: Package) -> Path:
    """A folder with the package's files, side by side, from the cache or fetched now."""
    digest = hashlib.sha256("\n".join((package.integrity, *package.files)).encode()).hexdigest()[:12]
    home = cache() / f"npm-{package.name.replace('/', '-')}-{package.version}-{digest}"
    with cache_lock("npm.lock"):
        if not home.is_dir():
            _fetch(package, home)
    return home


def place(folder: Path = VENDOR) -> Path:
    """All files of the lock in one folder: those that the console serves, and their licences."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in read():
        home = ensure(package)
        for file in package.files:
            name = Path(file).name
            target = f"{package.name}-{name}" if name.startswith("LICENSE") else name
            shutil.copyfile(home / name, folder / target)
    return folder


def _fetch(package: Package, home: Path) -> None:
    tools.ensure("npm")
    say(f"fetching {package.name} {package.version}")
    with tempfile.TemporaryDirectory(prefix="colocation-npm-") as scratch:
        wanted = f"{package.name}@{package.version}"
        subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", wanted], cwd=scratch, check=True, stdout=subprocess.DEVNULL
        )
        (archive,) = Path(scratch).glob("*.tgz")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.integrity:
            raise SystemExit(f"build: {wanted} is {found}, and build/lock/npm.txt says {package.integrity}")
        temporary = home.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            for file in package.files:
                member = tar.extractfile(f"package/{file}")
                if member is None:
                    raise SystemExit(f"build: {wanted} has no file {file}")
                (temporary / Path(file).name).write_bytes(member.read())
        temporary.rename(home)


if __name__ == "__main__":
    say(f"{place().relative_to(CLONE)}: {', '.join(f'{one.name} {one.version}' for one in read())}")
