"""`make image`: build/out/colocation-image.tar, an OCI archive that nodes import or a registry takes.

One image under two names: manager and agent are the same program. Built again only when what goes in has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from build.base import ensure_base, ensure_tools
from build.lock import LOCK, platform_arguments
from build.paths import CLONE, OUT, SOURCE, cache, run, say, version

NAMES = ("localhost/openfuyao/colocation-manager", "localhost/openfuyao/colocation-overquota-agent")
ARCHIVE = OUT / "colocation-image.tar"
ARCHITECTURE = "amd64"
"""What is built today; nothing here runs the image's own programs, so another needs no emulation."""


def main() -> None:
    """Build the archive unless it is there, made of the same things."""
    key = inputs()
    stamp = OUT / "colocation-image.key"
    if ARCHIVE.exists() and stamp.exists() and stamp.read_text() == key:
        say(f"{ARCHIVE.relative_to(CLONE)} is up to date")
        return
    ensure_tools()
    OUT.mkdir(parents=True, exist_ok=True)
    base = ensure_base(ARCHITECTURE)
    wheels = ensure_wheels(ARCHITECTURE)
    with tempfile.TemporaryDirectory(prefix="colocation-image-") as scratch:
        context = make_context(Path(scratch), wheels)
        build(Path(scratch), base, context)
    stamp.write_text(key)
    size, names = ARCHIVE.stat().st_size / 1e6, " and ".join(f"{name}:{version()}" for name in NAMES)
    say(f"{ARCHIVE.relative_to(CLONE)}: {size:.1f} MB uncompressed, as {names}")


def inputs() -> str:
    """A digest of everything that goes into the image."""
    digest = hashlib.sha256(version().encode())
    files = sorted(path for path in SOURCE.rglob("*") if path.suffix == ".py" or path.name == "py.typed")
    for path in (CLONE / "build/Dockerfile", CLONE / "build/base.py", LOCK, *files):
        digest.update(str(path.relative_to(CLONE)).encode() + path.read_bytes())
    return digest.hexdigest()


def ensure_wheels(architecture: str) -> Path:
    """The locked wheels, unpacked, from the cache or fetched now."""
    folder = cache() / f"image-wheels-{architecture}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    temporary = folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    say(f"fetching the locked wheels for {architecture}")
    arguments = ["install", "--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", str(temporary)]
    try:
        run(sys.executable, "-m", "pip", *arguments, *platform_arguments(architecture), "-r", LOCK)
    except SystemExit as error:
        raise SystemExit(
            f"{error}\nbuild: if a locked wheel is gone from the index, `make lock` locks what is there"
        ) from None
    shutil.rmtree(temporary / "bin", ignore_errors=True)
    temporary.rename(folder)
    return folder


def make_context(scratch: Path, wheels: Path) -> Path:
    """Lay out what the Dockerfile copies."""
    context = scratch / "context"
    shutil.copytree(wheels, context / ARCHITECTURE / "site-packages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SOURCE, context / "source/colocation", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CLONE / "build/Dockerfile", context / "Dockerfile")
    return context


def build(scratch: Path, base: Path, context: Path) -> None:
    """Base image from the root file system, then the Dockerfile on top, then one archive with both names."""
    # A store of its own: the machine's, if it has one, is not ours to fill.
    store = ["--storage-driver", "vfs", "--root", str(scratch / "store"), "--runroot", str(scratch / "run")]
    isolation = ["--isolation", "chroot"]
    (scratch / "base.Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    epoch = commit_field("%ct", "0")
    stamp = ["--timestamp", epoch, "--arch", ARCHITECTURE]
    base_tag = "localhost/openfuyao/colocation-base:1"
    say("building the image by buildah (20 s)")
    run("buildah", *store, "bud", "-q", *isolation, *stamp, "-t", base_tag, "-f", scratch / "base.Dockerfile", base)
    arguments = ["--build-arg", f"BASE_IMAGE={base_tag}", "--build-arg", f"VERSION={version()}"]
    arguments += ["--build-arg", f"COMMIT={commit_field('%H', 'unknown')}", "--build-arg", f"TARGETARCH={ARCHITECTURE}"]
    first = f"{NAMES[0]}:{version()}"
    run("buildah", *store, "bud", "-q", *isolation, *stamp, *arguments, "--pull-never", "-t", first, context)
    temporary = ARCHIVE.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    run("buildah", *store, "push", "-q", first, f"docker-archive:{temporary}:{first}")
    add_name(temporary, first, f"{NAMES[1]}:{version()}")
    temporary.rename(ARCHIVE)


def commit_field(form: str, default: str) -> str:
    """Something about the commit that last changed what goes in; a default outside a git checkout."""
    if form == "%ct" and (given := os.environ.get("SOURCE_DATE_EPOCH")):
        return given
    command = ["git", "log", "-1", f"--format={form}", "--", "reconciler/src", "build"]
    return subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=False).stdout.strip() or default


def add_name(archive: Path, first: str, second: str) -> None:
    """Give the image in a docker archive a second name: the list is in its manifest.json."""
    repacked = archive.with_suffix(".repacked")
    with tarfile.open(archive) as old, tarfile.open(repacked, "w") as new:
        for member in old.getmembers():
            stream = old.extractfile(member) if member.isfile() else None
            if member.name == "manifest.json" and stream is not None:
                manifest = json.load(stream)
                if manifest[0]["RepoTags"] != [first]:
                    raise SystemExit(f"build: buildah named the image {manifest[0]['RepoTags']}, not {first}")
                manifest[0]["RepoTags"].append(second)
                path = archive.with_suffix(".json")
                path.write_text(json.dumps(manifest))
                member.size = path.stat().st_size
                with path.open("rb") as changed:
                    new.addfile(member, changed)
                path.unlink()
            else:
                new.addfile(member, stream)
    repacked.replace(archive)


if __name__ == "__main__":
    main()
