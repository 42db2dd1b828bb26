"""The image's base where no registry is in reach: Debian's Python 3.11, without the rest of Debian."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from build.paths import cache, run, say

SUITE = "bookworm"
PACKAGES = (
    "python3.11-minimal,libpython3.11-stdlib,libc6,libssl3,zlib1g,libexpat1,libbz2-1.0,liblzma5,"
    "libffi8,libuuid1,libcrypt1"
)
_DROPPED = (
    # Nothing in a container that runs one Python program reads these; half of the size.
    "etc/resolv.conf", "etc/hostname", "etc/cron.daily", "etc/logrotate.d", "etc/apt", "etc/dpkg",
    "usr/share", "var/cache", "var/lib", "var/log",
    "usr/lib/python3.11/test", "usr/lib/python3.11/pydoc_data", "usr/lib/python3.11/unittest",
    "usr/lib/python3.11/distutils", "usr/lib/python3.11/turtle.py", "usr/lib/python3.11/venv",
)  # fmt: skip
_USERS = "root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/usr/sbin/nologin\n"
_GROUPS = "root:x:0:\nnonroot:x:65532:\n"
NEEDED = ("buildah", "mmdebstrap")


def ensure_tools() -> None:
    """Install buildah and mmdebstrap where they are missing (root), or say which to install."""
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"build: missing {' and '.join(missing)}; as root: apt-get install {' '.join(missing)}")
    say(f"installing {' '.join(missing)} by apt-get (about half a minute, once)")
    run("apt-get", "-q", "update")
    install = ("apt-get", "-qy", "install", "--no-install-recommends", *missing)
    run(*install, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def ensure_base(architecture: str) -> Path:
    """The base's root file system, from the cache or made now."""
    recipe = repr((SUITE, PACKAGES, _DROPPED, _USERS, _GROUPS))
    folder = cache() / f"image-base-{architecture}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    temporary = folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f"making the base for {architecture}: Debian {SUITE}'s Python by mmdebstrap (15 s, once)")
    run(
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--architectures={architecture}",
        f"--include={PACKAGES}",
        SUITE,
        temporary,
    )
    for dropped in _DROPPED:
        path = temporary / dropped
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    # Extracted, not installed: what maintainer scripts would have done, as far as it is needed.
    (temporary / "usr/bin/python3").unlink(missing_ok=True)
    (temporary / "usr/bin/python3").symlink_to("python3.11")
    (temporary / "etc/passwd").write_text(_USERS)
    (temporary / "etc/group").write_text(_GROUPS)
    (temporary / "tmp").chmod(0o1777)
    temporary.rename(folder)
    return folder
