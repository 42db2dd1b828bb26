# SPDX-License-Identifier: Apache-2.0
"""Two images from nothing: ``localhost/pause:1`` and ``localhost/busybox:1``."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from .binaries import cache_lock
from .config import FILES, cache_dir
from .process import run
from .progress import step

_BUSYBOX = Path("/bin/busybox")
_CONTAINERFILES = {
    "pause": 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n',
    "busybox": 'FROM scratch\nCOPY root /\nENV PATH=/bin\nCMD ["/bin/sleep", "1000000"]\n',
}


def folder() -> Path:
    """Where the archives are, named after what went into them."""
    digest = hashlib.sha256(repr(_CONTAINERFILES).encode())
    digest.update((FILES / "pause.c").read_bytes())
    digest.update(_BUSYBOX.read_bytes())
    return cache_dir() / f"images-{digest.hexdigest()[:8]}"


def ensure_images() -> list[Path]:
    """Build both unless they are there; returns their OCI archives."""
    home = folder()
    if not home.is_dir():
        with cache_lock():
            if not home.is_dir():
                _build(home)
    return sorted(home.glob("*.tar"))


def _build(home: Path) -> None:
    work = home.with_suffix(".tmp")
    shutil.rmtree(work, ignore_errors=True)
    with step("building the test images", "about 5 s, once"):
        for name, containerfile in _CONTAINERFILES.items():
            context = work / name
            context.mkdir(parents=True)
            (context / "Containerfile").write_text(containerfile)
        run(["gcc", "-static", "-O2", "-s", "-o", work / "pause/pause", FILES / "pause.c"])
        tools = work / "busybox/root/bin"
        tools.mkdir(parents=True)
        shutil.copy2(_BUSYBOX, tools / "busybox")
        for applet in run([_BUSYBOX, "--list"]).stdout.split():
            if applet != "busybox":
                (tools / applet).symlink_to("busybox")
        done = work / "done"
        done.mkdir()
        # A store of its own: the machine's, if it has one, is not ours to fill.
        store = ["--storage-driver", "vfs", "--root", str(work / "store"), "--runroot", str(work / "run")]
        for name in _CONTAINERFILES:
            tag = f"localhost/{name}:1"
            run(["buildah", *store, "bud", "-q", "--isolation", "chroot", "-t", tag, work / name])
            run(["buildah", *store, "push", "-q", tag, f"oci-archive:{done / name}.tar:{tag}"])
        done.rename(home)
        shutil.rmtree(work)
