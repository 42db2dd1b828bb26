"""Makes this checkout and the collections that it uses importable, without Galaxy.

PyPI's C(ansible) carries them; its wheel is fetched once into the cache folder and only these are unpacked.
amazon.aws is for backups to a bucket, and optional.
Nothing is done where it is all there; `--path` prints the ANSIBLE_COLLECTIONS_PATH to use.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("COLOCATION_CACHE") or Path.home() / ".cache" / "openfuyao-colocation")
ANSIBLE = "14.5.0"  # the first with kubernetes.core 6.6, which speaks with Helm 4
WANTED = ("kubernetes/core", "ansible/posix", "amazon/aws")


def path() -> str:
    """The value for ANSIBLE_COLLECTIONS_PATH: this checkout first."""
    return f"{CLONE / '.collections'}:{CACHE / 'collections'}"


def main() -> None:
    """Fetch, unpack, link."""
    target = CACHE / "collections" / "ansible_collections"
    mark = target / f".ansible-{ANSIBLE}"
    missing = [name for name in WANTED if not (mark.exists() and (target / name).is_dir())]
    if missing:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            fetch(Path(scratch), missing)
            for name in missing:
                shutil.rmtree(target / name, ignore_errors=True)
                (target / name).parent.mkdir(exist_ok=True)
                (Path(scratch) / "ansible_collections" / name).rename(target / name)
        mark.touch()
    link = CLONE / ".collections" / "ansible_collections" / "openfuyao" / "colocation"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../../..")
        (CLONE / ".collections" / ".gitignore").write_text("*\n")


def fetch(scratch: Path, names: list[str]) -> None:
    """The wheel is for Python 3.12; kubernetes.core's files run on 3.11 too, so pip must not look at this Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--dest", str(scratch), f"ansible=={ANSIBLE}"]
    subprocess.run(command, check=True)
    prefixes = tuple(f"ansible_collections/{name}/" for name in names)
    with zipfile.ZipFile(next(scratch.glob("ansible-*.whl"))) as wheel:
        wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(prefixes)])


if __name__ == "__main__":
    main()
    if "--path" in sys.argv:
        print(path())
