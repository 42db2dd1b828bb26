"""`make image`: manager and agent for both architectures, as an OCI layout archive that nodes and registries take.

One image under two names: manager and agent are the same program. Built again only when what goes in has changed.

    make image                   build/out/colocation-image.tar: both architectures; and build/out/image, unpacked
    make image-oci               also one archive an architecture, as `docker load` and service packages want them
    make image-rootfs            also the root file systems, one tar an architecture
    make image-context           only what build/Dockerfile is built in, for other tools: build/out/context

IMAGE_TOOL=buildah|docker|nerdctl chooses the tool, BASE_IMAGE another base (any with Python 3.11, by digest).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from build import base, debian, npm, oci, sbom, tools, wheels
from build.paths import CLONE, OUT, SOURCE, cache, commit_time, git, plain_modes, say, version
from tests.lab.binaries import cache_lock
from tests.lab.registry import Registry

NAMES = ("localhost/openfuyao/colocation-manager", "localhost/openfuyao/colocation-overquota-agent")
SOURCE_URL = "https://gitcode.com/openFuyao/colocation-package"
ARCHIVE = OUT / "colocation-image.tar"
LAYOUT = OUT / "image"
CONTEXT = OUT / "context"
_DOCKERFILE = CLONE / "build/Dockerfile"


def main(arguments: list[str]) -> None:
    """Build what is named: nothing (the archive), oci, rootfs, context."""
    wanted = set(arguments)
    if unknown := wanted - {"oci", "rootfs", "context"}:
        raise SystemExit(f"build: {', '.join(sorted(unknown))}: there are oci, rootfs and context")
    OUT.mkdir(parents=True, exist_ok=True)
    if wanted == {"context"}:
        make_context(CONTEXT)
        say(f"{CONTEXT.relative_to(CLONE)}: docker buildx build --file build/Dockerfile --build-arg BASE_IMAGE=... it")
        return
    image = ensure()
    for architecture, machine in oci.MACHINES.items():
        if "oci" in wanted:
            archive = OUT / f"colocation-{version()}-{machine}.tar"
            oci.pack_one(image, architecture, tags(), archive)
            _tell(archive)
        if "rootfs" in wanted:
            archive = OUT / f"colocation-rootfs-{version()}-{machine}.tar"
            oci.pack_rootfs(image, architecture, archive)
            _tell(archive)


def tags() -> list[str]:
    """The image's names in archives."""
    return [f"{name}:{version()}" for name in NAMES]


def ensure() -> oci.Image:
    """The image, built if it is not there made of the same things."""
    key = inputs()
    stamp = OUT / "colocation-image.key"
    if ARCHIVE.exists() and LAYOUT.exists() and stamp.exists() and stamp.read_text() == key:
        image = oci.load(LAYOUT)
        say(f"{ARCHIVE.relative_to(CLONE)} is up to date, {image.digest}")
        return image
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="colocation-image-") as scratch:
        image = _build(Path(scratch))
    oci.pack(image, ARCHIVE)
    sbom.write(image, _given_base())
    stamp.write_text(key)
    _tell(ARCHIVE)
    sizes = ", ".join(f"{image.size(a) / 1e6:.1f} MB for {a}" for a in oci.MACHINES)
    say(f"{' and '.join(tags())}: {image.digest}; a node pulls {sizes}")
    return image


def inputs() -> str:
    """A digest of everything that goes into the image."""
    digest = hashlib.sha256(repr((version(), revision(), epoch(), tools.choose(), _given_base())).encode())
    recipe = (CLONE / "build").glob("*.py")
    files = sorted([*_sources(), *recipe, _DOCKERFILE, wheels.LOCK, debian.LOCK, npm.LOCK])
    for path in files:
        digest.update(str(path.relative_to(CLONE)).encode() + path.read_bytes())
    return digest.hexdigest()


def make_context(context: Path) -> None:
    """Lay out what build/Dockerfile copies: the same bytes and modes wherever it is made."""
    shutil.rmtree(context, ignore_errors=True)
    for architecture in wheels.PLATFORMS:
        shutil.copytree(wheels.ensure(architecture), context / architecture / "site-packages")
    for path in _sources():
        target = context / "source" / path.relative_to(SOURCE.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    npm.place(context / "source" / npm.VENDOR.relative_to(SOURCE.parent))
    plain_modes(context)


def _build(scratch: Path) -> oci.Image:
    tool = tools.choose()
    make_context(scratch / "context")
    created = datetime.fromtimestamp(int(epoch()), UTC).isoformat().replace("+00:00", "Z")
    annotations = {
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.revision": revision(),
        "org.opencontainers.image.source": SOURCE_URL,
        "org.opencontainers.image.version": version(),
    }
    given, layout = _given_base(), scratch / "layout"

    def build(address: str, registries: Path | None = None) -> None:
        arguments = {"BASE_IMAGE": address, "COMMIT": revision(), "VERSION": version()}
        platforms = tuple(f"linux/{architecture}" for architecture in oci.MACHINES)
        recipe = tools.Recipe(_DOCKERFILE, scratch / "context", platforms, epoch(), arguments, annotations)
        say(f"building the image by {tool} (20 s)")
        tools.build(tool, recipe, layout, scratch, registries)

    if tool == "buildah":
        tools.ensure("buildah")
    if given:
        build(given)
    else:
        tools.ensure("buildah")
        # One at a time: the registry that has the base is kept in the cache.
        with cache_lock("image.lock"), Registry(cache() / "image-registry") as registry:
            reference = base.published(registry, scratch)
            if tool == "buildah":
                # By a name that does not tell the registry's port: it is part of the image's history.
                registries = scratch / "registries.conf"
                registries.write_text(
                    '[[registry]]\nprefix = "localhost/openfuyao"\n'
                    f'location = "{registry.address}/openfuyao"\ninsecure = true\n'
                )
                build(f"localhost/{reference}", registries)
            else:
                build(f"{registry.address}/{reference}")
    oci.finish(layout, tags(), annotations)
    shutil.rmtree(LAYOUT, ignore_errors=True)
    shutil.move(layout, LAYOUT)
    return oci.load(LAYOUT)


def _given_base() -> str:
    return os.environ.get("BASE_IMAGE", "")


def _sources() -> list[Path]:
    kinds = {".py", ".typed", ".html", ".css", ".js", ".mjs", ".json", ".j2"}
    return sorted(path for path in SOURCE.rglob("*") if path.suffix in kinds and npm.VENDOR not in path.parents)


def revision() -> str:
    """The commit that last changed what goes in, marked where the folder has changes of its own."""
    commit = git("log", "-1", "--format=%H", "--", *_COMMITTED)
    return f"{commit}-dirty" if commit and git("status", "--porcelain", "--", *_COMMITTED) else commit or "unknown"


def epoch() -> str:
    """SOURCE_DATE_EPOCH, or when that commit was made: every time in the image."""
    return commit_time(*_COMMITTED)


_COMMITTED = ("reconciler/src", "build")


def _tell(archive: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    say(f"{archive.relative_to(CLONE)}: {archive.stat().st_size / 1e6:.1f} MB, sha256 {digest}")


if __name__ == "__main__":
    main(sys.argv[1:])
