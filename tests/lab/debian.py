# SPDX-License-Identifier: Apache-2.0
"""Debian packages of this machine that the lab needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .config import cache_dir
from .errors import LabError
from .process import run
from .progress import step

PACKAGES = (
    "buildah",
    "busybox-static",
    "ca-certificates",
    "debootstrap",
    "gcc",
    "iproute2",
    "iptables",
    "libc6-dev",
    "openssh-client",
    "openssl",
    "systemd-container",
)


def missing_packages(*more: str) -> list[str]:
    """Those not installed, of the lab's and ``more``."""
    return _missing((*PACKAGES, *more))


def _missing(packages: tuple[str, ...]) -> list[str]:
    answer = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *packages], check=False)
    present = {line.split()[1] for line in answer.stdout.splitlines() if line.startswith("installed ")}
    return [package for package in packages if package not in present]


def ensure_packages(*more: str) -> None:
    """Install what the lab and ``more`` lack, by apt."""
    install(*PACKAGES, *more)


def install(*packages: str) -> None:
    """Install those that are missing, by apt."""
    wanted = _missing(packages)
    if not wanted:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"this machine has no apt-get; install by hand: {' '.join(wanted)}")
    env = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing Debian packages: {' '.join(wanted)}", "about 1 min, once"):
        run(["apt-get", "-q", "update"], env=env)
        run(["apt-get", "-qy", "install", "--no-install-recommends", *wanted], env=env)


def unpacked(package: str, pattern: str) -> Path:
    """One file of a Debian package that is not installed (no root needed): fetched by apt once, kept in the cache."""
    folder = cache_dir() / "debian" / package
    if not (folder / ".whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with step(f"fetching Debian package: {package}"):
            run(["apt-get", "-q", "download", package], cwd=folder)
            for archive in folder.glob("*.deb"):
                run(["dpkg-deb", "-x", archive, folder])
        (folder / ".whole").touch()
    found = sorted(folder.glob(pattern))
    if not found:
        raise LabError(f"package {package} has no {pattern}; remove {folder} to have it fetched again")
    return found[0]
