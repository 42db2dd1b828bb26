"""Python packages by lock: resolved, fetched, checked and unpacked by pip, for any architecture."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from build.paths import CLONE, cache, run, say

LOCK = CLONE / "build/lock/requirements.txt"
PLATFORMS = {
    "amd64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
}
"""pip's platform tags per architecture; the base image's glibc is 2.36."""
PYTHON = "3.11"


def ensure(architecture: str, lock: Path = LOCK) -> Path:
    """The locked wheels, unpacked, from the cache or fetched now."""
    home = cache() / f"image-wheels-{architecture}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if home.is_dir() and _report(home).is_file():
        return home
    shutil.rmtree(home, ignore_errors=True)
    temporary = home.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    say(f"fetching the locked wheels for {architecture}")
    arguments = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", str(temporary)]
    arguments += ["--report", str(_report(home))]
    try:
        run(sys.executable, "-m", "pip", "install", *arguments, *_platform(architecture), "-r", lock)
    except SystemExit as error:
        raise SystemExit(
            f"{error}\nbuild: a wheel locked in build/lock/requirements.txt is gone from the index, or altered;"
            " `make lock` locks what there is now"
        ) from None
    shutil.rmtree(temporary / "bin", ignore_errors=True)
    temporary.rename(home)
    return home


def digests(architecture: str) -> dict[str, str]:
    """Name to sha256 of the wheels that an architecture has."""
    return {
        name.partition("==")[0]: digest for name, digest in _read(_report(ensure(architecture)).read_text()).items()
    }


def resolve(architecture: str, wanted: list[str]) -> dict[str, str]:
    """name==version to sha256: the newest that the ranges allow."""
    arguments = ["--dry-run", "--quiet", "--ignore-installed", "--target", "/nonexistent", "--report", "-"]
    report = run(sys.executable, "-m", "pip", "install", *arguments, *_platform(architecture), *wanted)
    return _read(report)


def _read(report: str) -> dict[str, str]:
    """Pip's account of what it has chosen: name==version to sha256."""
    wheels = {}
    for item in json.loads(report)["install"]:
        result = item["metadata"]
        wheels[f"{result['name'].lower()}=={result['version']}"] = item["download_info"]["archive_info"]["hashes"][
            "sha256"
        ]
    return wheels


def _report(home: Path) -> Path:
    return home.with_suffix(".json")


def _platform(architecture: str) -> list[str]:
    """Options that make pip choose wheels for an architecture, which need not be this machine's."""
    tags = [argument for tag in PLATFORMS[architecture] for argument in ("--platform", tag)]
    return ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", *tags]
