# SPDX-License-Identifier: Apache-2.0
"""Root file systems of Debian by debootstrap, kept in the cache folder; every machine starts as a copy of one."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from .binaries import cache_lock
from .config import cache_dir
from .errors import LabError
from .process import run
from .progress import step

SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
MACHINES = ("12", "13")
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,python3,python3-apt,iproute2,iptables,conntrack,"
    "kmod,procps,ca-certificates,containerd,runc,containernetworking-plugins"
)
# Packages' own leftovers: nobody reads manuals in a machine that lives for minutes.
_WASTE = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
)


def release() -> str:
    """Which Debian the machines run: LAB_DEBIAN, 12 by default."""
    wanted = os.environ.get("LAB_DEBIAN") or "12"
    if wanted not in MACHINES:
        raise LabError(f"LAB_DEBIAN={wanted!r}: machines run Debian {' or '.join(MACHINES)}")
    return wanted


def ensure_base() -> Path:
    """The machines' base; made unless it is there."""
    return ensure(release(), PACKAGES)


def ensure(version: str, packages: str) -> Path:
    """A root file system of that Debian with these packages; made unless it is there. Nobody may write to it."""
    suite = SUITES[version]
    digest = hashlib.sha256(f"{suite} {packages} 1".encode()).hexdigest()[:8]
    base = cache_dir() / f"base-{suite}-{digest}"
    if base.is_dir():
        return base
    with cache_lock():
        if not base.is_dir():
            _make(base, suite, packages)
    return base


def _make(base: Path, suite: str, packages: str) -> None:
    temporary = base.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with step(f"making a base system (Debian {suite})", "30 to 170 s, once"):
        # It mounts /proc inside; in a mount namespace of its own that never outlives it,
        # so an interrupted run is removed without removing through such a mount.
        run(["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={packages}", suite, temporary])
        for waste in _WASTE:
            for entry in (temporary / waste).iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        for key in (temporary / "etc/ssh").glob("ssh_host_*"):
            key.unlink()
        resolver = temporary / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.touch()
        # Empty, so that each machine gives itself an identity at its first boot.
        (temporary / "etc/machine-id").write_text("")
        temporary.rename(base)
