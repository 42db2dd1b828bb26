"""`make build`: the collection's artifact from what git tracks, with the packaged chart inside."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from build.paths import CLONE, OUT, run, say, version


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
        run(galaxy, "collection", "build", "--force", "--output-path", out, tree, cwd=tree, env=env)
    return out / f"openfuyao-colocation-{version()}.tar.gz"


def main() -> None:
    """Build build/out/openfuyao-colocation-VERSION.tar.gz."""
    artifact = build(OUT)
    say(f"{artifact.relative_to(CLONE)}, {artifact.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
