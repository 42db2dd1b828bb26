"""The arm64 image, assembled without running arm code, starts: by user-mode emulation, for this test alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from build.paths import cache, folder
from tests.image.conftest import Workshop, rootfs

REGISTERED = Path("/proc/sys/fs/binfmt_misc")


def emulator() -> Path:
    """qemu's, taken out of its Debian package: installed, the package would register it with the kernel for all."""
    home = cache() / "qemu-aarch64-static"
    if not home.exists():
        with folder(home.with_suffix(".tmp")) as scratch:
            subprocess.run(["apt-get", "-q", "download", "qemu-user-static"], cwd=scratch, check=True)
            (package,) = scratch.glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, scratch / "x"], check=True)
            (scratch / "x/usr/bin/qemu-aarch64-static").rename(home)
    return home


def registrations() -> list[str]:
    return sorted(path.name for path in REGISTERED.glob("*")) if REGISTERED.exists() else []


def test_the_arm64_root_file_system_starts_under_emulation(workshop: Workshop, tmp_path: Path) -> None:
    before = registrations()
    root = rootfs(workshop, "aarch64", tmp_path)
    shutil.copy2(emulator(), root / "qemu")
    python = ["/usr/sbin/chroot", "--userspec=65532:65532", str(root), "/qemu", "/usr/bin/python3"]
    env = {"PYTHONPATH": "/usr/lib/colocation", "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [*python, "-m", "colocation", "--help"], env=env, capture_output=True, text=True, check=True
    )
    assert "explain" in result.stdout
    machine = "import platform, msgspec, yaml, ssl; yaml.CSafeLoader; print(platform.machine())"
    given = subprocess.run([*python, "-c", machine], env=env, capture_output=True, text=True, check=True).stdout
    assert given.strip() == "aarch64", "also the compiled parts of the wheels are arm's"
    assert registrations() == before
