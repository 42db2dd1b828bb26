"""`make release VERSION=X.Y.Z`: everything of a release in one folder, build/out/release/X.Y.Z.

    VERSION      has to be the number in the tree (`make version` writes it), and the tree has to be committed
    COSIGN_KEY   a private key of cosign's (COSIGN_PASSWORD; COSIGN names the program): SHA256SUMS is signed with it

The same commit gives the same bytes, except for the bundle (which holds the newest wheels that its ranges allow) and
the signature. Nothing is published: docs/releasing.md says how.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from build import chart, collection, image, oci, wheel
from build.paths import CLONE, OUT, cache, git, run, say
from build.version import changelog, everywhere

SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.sigstore.json"


def main(number: str) -> Path:
    """Build all of it; the folder."""
    check(number)
    folder = OUT / "release" / number
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image.main(["oci"])
    for step in (chart, wheel, collection):
        step.main()
    for path in artifacts(number):
        shutil.copy2(path, folder)
    notes(folder, number)
    bundle(folder, number)
    sums = "".join(f"{_digest(path)}  {path.name}\n" for path in sorted(folder.iterdir()))
    (folder / SUMS).write_text(sums)
    sign(folder)
    say(f"{folder.relative_to(CLONE)}: {len(list(folder.iterdir()))} files")
    return folder


def check(number: str) -> None:
    """Refuse what is not the release that it says it is."""
    for place, found in everywhere().items():
        if found != {number}:
            raise SystemExit(
                f"build: {place} has version {', '.join(found)}, not {number}: make version VERSION={number}"
            )
    if changes := git("status", "--porcelain"):
        raise SystemExit(f"build: a release is of a commit, and these files differ from it:\n{changes}")
    if f"\n  {number}:\n" not in (CLONE / "changelogs/changelog.yaml").read_text():
        raise SystemExit(f"build: changelogs/changelog.yaml has no {number}: make version VERSION={number}")


def artifacts(number: str) -> list[Path]:
    """What the steps have put into build/out."""
    machines = oci.MACHINES.values()
    return [
        wheel.path(),
        OUT / f"openfuyao-colocation-{number}.tar.gz",
        OUT / f"colocation-package-{number}.tgz",
        image.ARCHIVE,
        *(OUT / f"colocation-{number}-{machine}.tar" for machine in machines),
        *(OUT / f"colocation-{number}-{machine}.cdx.json" for machine in machines),
    ]


def notes(folder: Path, number: str) -> None:
    """CHANGELOG.rst, and the newest part of it as Markdown with the digest to pin."""
    shutil.copy2(CLONE / "CHANGELOG.rst", folder)
    page = folder / "release-notes.md"
    changelog("generate", "--only-latest", "--output-format", "md", "--output", page, number)
    digest = oci.load(image.LAYOUT).digest
    image_lines = f"`{digest}` (linux/amd64 and linux/arm64), commit `{git('rev-parse', 'HEAD')}`.\n"
    check_lines = f"`sha256sum -c {SUMS}` checks the files; docs/releasing.md says how their signature is verified.\n"
    page.write_text(f"{page.read_text().rstrip()}\n\n## Image\n\n{image_lines}{check_lines}")


def bundle(folder: Path, number: str) -> None:
    """The archive for sites without internet, by the playbook of the collection that is released."""
    with tempfile.TemporaryDirectory(prefix="colocation-release-") as scratch:
        place, tools = Path(scratch) / "collections", Path(sys.executable).parent
        env = {
            key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("ANSIBLE_")
        }
        env["ANSIBLE_COLLECTIONS_PATH"] = f"{place}:{cache() / 'collections'}"
        artifact = folder / f"openfuyao-colocation-{number}.tar.gz"
        run(
            tools / "ansible-galaxy",
            "collection",
            "install",
            "--no-deps",
            "-p",
            place,
            artifact,
            cwd=place.parent,
            env=env,
        )
        variables = {
            "colocation_bundle": str(folder / f"colocation-bundle-{number}.tar"),
            "colocation_bundle_images": [str(folder / f"colocation-{number}-{m}.tar") for m in oci.MACHINES.values()],
            "colocation_bundle_architectures": list(oci.MACHINES),
            "colocation_helm_binary": chart.helm(),
        }
        play = ("openfuyao.colocation.bundle", "-e", json.dumps(variables))
        run(tools / "ansible-playbook", *play, cwd=place.parent, env=env)


def sign(folder: Path) -> None:
    """Sign the checksums, which cover every file; without a transparency log, as image and chart."""
    key = os.environ.get("COSIGN_KEY")
    if not key:
        say(f"{SUMS} is not signed: COSIGN_KEY is not set")
        return
    cosign = os.environ.get("COSIGN") or shutil.which("cosign")
    if not cosign:
        raise SystemExit("build: COSIGN_KEY is set, and cosign is not on the path; put it there, or name it by COSIGN")
    options = ["--key", key, "--yes", "--tlog-upload=false", "--use-signing-config=false"]
    run(cosign, "sign-blob", *options, "--bundle", folder / SIGNATURE, folder / SUMS)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
