# SPDX-License-Identifier: Apache-2.0
"""The root file system every machine starts as a copy of: Debian by debootstrap."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from .binaries import cache_lock
from .config import cache_dir
from .process import run
from .progress import step

SUITE = "bookworm"
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


def folder() -> Path:
    """Where the base is, named after what it was made from."""
    digest = hashlib.sha256(f"{SUITE} {PACKAGES} 1".encode()).hexdigest()[:8]
    return cache_dir() / f"base-{SUITE}-{digest}"


def ensure_base() -> Path:
    """Make the base unless it is there."""
    base = folder()
    if base.is_dir():
        return base
    with cache_lock():
        if not base.is_dir():
            _make(base)
    return base


def _make(base: Path) -> None:
    temporary = base.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with step(f"making the machines' base system (Debian {SUITE})", "30 to 170 s, once"):
        # It mounts /proc inside; in a mount namespace of its own that never outlives it,
        # so an interrupted run is removed without removing through such a mount.
        run(["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, temporary])
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
