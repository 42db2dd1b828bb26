"""`make wheel`: the command line, manager and agent as a Python wheel; the same bytes for the same commit."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from build.paths import CLONE, OUT, commit_time, plain_modes, run, say, version
from tools.environment import environment

REQUIREMENTS = CLONE / "requirements/wheel.txt"


def path() -> Path:
    """Where the wheel is put."""
    return OUT / f"colocation-{version()}-py3-none-any.whl"


def main() -> None:
    """Build build/out/colocation-VERSION-py3-none-any.whl from what git tracks or would track."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="colocation-wheel-") as scratch:
        # A copy: setuptools leaves folders beside the sources, and takes what they held from an earlier build.
        tree = Path(scratch) / "colocation"
        names = ("reconciler/pyproject.toml", "reconciler/README.md", "reconciler/src")
        for name in run("git", "ls-files", "-zco", "--exclude-standard", "--", *names, cwd=CLONE).split("\0"):
            if name and (CLONE / name).is_file():
                target = tree / Path(name).relative_to("reconciler")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(CLONE / name, target)
        shutil.copyfile(CLONE / "LICENSE", tree / "LICENSE")
        plain_modes(tree)
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env["SOURCE_DATE_EPOCH"] = commit_time("reconciler", "LICENSE")
        python = environment(REQUIREMENTS) / "python"
        run(python, "-m", "build", "--wheel", "--no-isolation", "--outdir", OUT, tree, cwd=tree, env=env)
    say(f"{path().relative_to(CLONE)}, {path().stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
