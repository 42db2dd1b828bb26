"""The image's base where no registry is reachable: Debian's Python 3.11, without the rest of Debian.

Made of locked packages, for any architecture on any: extracted, never installed, so nothing of it is run here.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from build import debian
from build.paths import cache, folder, plain_modes, say
from build.tools import Buildah, Recipe
from build.wheels import PLATFORMS
from tests.lab.registry import Registry

PACKAGES = (
    "base-files", "libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8", "libgcc-s1", "liblzma5",
    "libpython3.11-minimal", "libpython3.11-stdlib", "libssl3", "libuuid1", "python3.11-minimal", "zlib1g",
)  # fmt: skip
_MERGED = ("bin", "lib", "lib64", "sbin")
_DROPPED = (
    # Nothing in a container that runs one Python program reads these; two thirds of the size.
    "etc/apt", "etc/cron.daily", "etc/dpkg", "etc/hostname", "etc/resolv.conf", "usr/share/[!d]*", "usr/share/d[!o]*",
    "usr/share/doc/*/[!c]*", "usr/share/doc/*/changelog*", "var/cache/*", "var/lib/*", "var/log/*",
    "usr/lib/*/gconv", "usr/lib/*/engines-3", "usr/lib/python3.11/test", "usr/lib/python3.11/pydoc_data",
    "usr/lib/python3.11/unittest", "usr/lib/python3.11/distutils", "usr/lib/python3.11/turtle.py",
    "usr/lib/python3.11/venv", "usr/lib/python3.11/lib2to3", "usr/lib/python3.11/lib-dynload/*_test*",
    "usr/lib/python3.11/lib-dynload/xxlimited*", "usr/lib/python3.11/lib-dynload/_xxtestfuzz*",
    # Files that need libraries that are left out.
    "usr/lib/python3.11/lib-dynload/_curses*", "usr/lib/python3.11/lib-dynload/_dbm*",
    "usr/lib/python3.11/lib-dynload/_sqlite3*", "usr/lib/python3.11/lib-dynload/nis*",
    "usr/lib/python3.11/lib-dynload/readline*", "usr/lib/python3.11/curses", "usr/lib/python3.11/sqlite3",
)  # fmt: skip
_USERS = "root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/usr/sbin/nologin\n"
_GROUPS = "root:x:0:\nnonroot:x:65532:\n"


def packages(architecture: str) -> list[debian.Package]:
    """The base's packages for an architecture, by lock."""
    packages = [package for package in debian.read_lock() if package.architecture == architecture]
    if {package.name for package in packages} != set(PACKAGES):
        raise SystemExit("build: build/lock/debian.txt does not lock what build/base.py lists; run `make lock`")
    return packages


def ensure_base(architectures: Iterable[str]) -> Path:
    """A folder with the base's root file system for each architecture, from the cache or made now."""
    locked = {architecture: packages(architecture) for architecture in architectures}
    recipe = repr((locked, _MERGED, _DROPPED, _USERS, _GROUPS))
    home = cache() / f"image-base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if home.is_dir():
        return home
    temporary = home.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for architecture, wanted in locked.items():
        debian.ensure(wanted)
        say(f"making the base for {architecture}: Debian {debian.SUITE}'s Python, of {len(wanted)} locked packages")
        _make(temporary / architecture, wanted)
    temporary.rename(home)
    return home


def published(registry: Registry, scratch: Path) -> str:
    """The base's address in a registry on this machine, by digest; pushed now if it is not there."""
    home = ensure_base(PLATFORMS)
    repository, tag = "openfuyao/colocation-base", home.name.rpartition("-")[2]
    digest = registry.digest(repository, tag)
    if digest is None:
        say("building the base by buildah (20 s, once)")
        dockerfile = scratch / "base.Dockerfile"
        dockerfile.write_text("FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /\n")
        # Its content is dated by the lock alone, not by a commit: the same packages are the same base.
        recipe = Recipe(dockerfile, home, tuple(f"linux/{a}" for a in PLATFORMS), "0", {}, {})
        with folder(scratch / "base") as store:
            digest = Buildah(store).push(recipe, f"{registry.address}/{repository}:{tag}")
    return f"{repository}@{digest}"


def _make(root: Path, wanted: list[debian.Package]) -> None:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    debian.unpack(wanted, root)
    _trim(root)
    # Extracted, not installed: what maintainer scripts would have done, as far as it is needed.
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "etc/passwd").write_text(_USERS)
    (root / "etc/group").write_text(_GROUPS)
    _note(root, wanted)
    # What was made here, and not unpacked, has the caller's umask.
    plain_modes(root)
    (root / "tmp").chmod(0o1777)


def _trim(root: Path) -> None:
    for pattern in _DROPPED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _note(root: Path, wanted: list[debian.Package]) -> None:
    """Say what is in it where scanners of images look (as Google's distroless images do)."""
    notes = root / "var/lib/dpkg/status.d"
    notes.mkdir(parents=True)
    for package in wanted:
        text = f"Package: {package.name}\nStatus: install ok installed\nVersion: {package.version}\n"
        (notes / package.name).write_text(f"{text}Architecture: {package.architecture}\n")
