"""`make build`: the collection's artifact from what git tracks, with the packaged chart inside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from build.paths import CLONE, OUT, commit_time, run, say, version


def build(out: Path) -> Path:
    """Build the artifact into ``out``; returns its path."""
    with tempfile.TemporaryDirectory(prefix="colocation-collection-") as scratch:
        tree = Path(scratch) / "tree"
        for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=CLONE).split("\0"):
            if name and (CLONE / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CLONE / name, tree / name)
        files = tree / "roles/colocation_manager/files"
        files.mkdir(parents=True, exist_ok=True)
        for chart in (CLONE / "roles/colocation_manager/files").glob("colocation-package-*.tgz"):
            shutil.copy2(chart, files)
        galaxy = Path(sys.executable).parent / "ansible-galaxy"
        # Not the caller's configuration: the artifact is to depend on the tree alone.
        env = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        built = Path(scratch) / "built"
        run(galaxy, "collection", "build", "--output-path", built, tree, cwd=tree, env=env)
        artifact = out / f"openfuyao-colocation-{version()}.tar.gz"
        out.mkdir(parents=True, exist_ok=True)
        same_bytes(built / artifact.name, artifact, int(commit_time(".")))
    return artifact


def main() -> None:
    """Build build/out/openfuyao-colocation-VERSION.tar.gz."""
    artifact = build(OUT)
    say(f"{artifact.relative_to(CLONE)}, {artifact.stat().st_size / 1024:.0f} kB")


def same_bytes(source: Path, target: Path, epoch: int) -> None:
    """The artifact again, with sorted members of one time: ansible-galaxy takes the folder's order, and the clock's."""
    with tarfile.open(source) as old:
        members = {member.name: member for member in old.getmembers()}
        contents = {name: _read(old, member) for name, member in members.items()}
    listing = json.loads(contents["FILES.json"])
    listing["files"].sort(key=lambda entry: str(entry["name"]))
    contents["FILES.json"] = json.dumps(listing, indent=True).encode()
    manifest = json.loads(contents["MANIFEST.json"])
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(contents["FILES.json"]).hexdigest()
    contents["MANIFEST.json"] = json.dumps(manifest, indent=True).encode()
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed,
        tarfile.open(fileobj=packed, mode="w") as new,
    ):
        # Those two first, as ansible-galaxy has them.
        for name in sorted(members, key=lambda name: (name not in ("MANIFEST.json", "FILES.json"), name)):
            member = members[name]
            member.mtime, member.size, member.pax_headers = epoch, len(contents[name]), {}
            new.addfile(member, io.BytesIO(contents[name]))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member) if member.isfile() else None
    return file.read() if file else b""


if __name__ == "__main__":
    main()
