"""`make chart`: the packaged chart in build/out/, and a copy where the role that installs it looks."""

from __future__ import annotations

import os
import shutil

from build.paths import CHART, CLONE, OUT, commit_time, run, say, version

ROLE_FILES = CLONE / "roles/colocation_manager/files"


def helm() -> str:
    """Helm: the one that was named, the one on PATH, or the lab's own build of it."""
    if helm := os.environ.get("HELM") or shutil.which("helm"):
        return helm
    from tests.lab import binaries  # noqa: PLC0415 - only a machine without helm builds one

    binaries.ensure("helm")
    return str(binaries.path("helm"))


def main() -> None:
    """Package the chart with the distribution's version."""
    OUT.mkdir(parents=True, exist_ok=True)
    archive = OUT / f"colocation-package-{version()}.tgz"
    # -u: with dependencies, were there any. Helm 4 dates all members of the archive by SOURCE_DATE_EPOCH; without it
    # they have the times of the checkout, and no two archives are the same.
    epoch = commit_time("charts", "reconciler/src")
    env = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    numbers = ("--version", version(), "--app-version", version())
    run(helm(), "package", "-u", CHART, *numbers, "--destination", OUT, env=env)
    # `helm push` writes the archive's own time into what the registry gives a digest.
    os.utime(archive, (int(epoch), int(epoch)))
    ROLE_FILES.mkdir(parents=True, exist_ok=True)
    for old in ROLE_FILES.glob("colocation-package-*.tgz"):
        old.unlink()
    shutil.copy2(archive, ROLE_FILES)
    say(f"{archive.relative_to(CLONE)}, {archive.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
