"""The programs that build images: buildah, docker with buildx, nerdctl. Each takes build/Dockerfile as it is.

buildah is the release tool: only its digests are guaranteed. The others are taken where one is asked for (IMAGE_TOOL),
or where buildah is not there and one of them works.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.paths import run, say

TOOLS = ("buildah", "docker", "nerdctl")


@dataclass(frozen=True)
class Recipe:
    """What to build: the same for every tool."""

    dockerfile: Path
    context: Path
    platforms: tuple[str, ...]
    epoch: str
    arguments: Mapping[str, str]
    annotations: Mapping[str, str]


def choose() -> str:
    """The tool that was asked for, or the first that works; installs buildah where there is none (root)."""
    if asked := os.environ.get("IMAGE_TOOL"):
        if asked not in TOOLS:
            raise SystemExit(f"build: IMAGE_TOOL={asked}: there are {', '.join(TOOLS)}")
        if asked != "buildah" and not _works(asked):
            raise SystemExit(f"build: IMAGE_TOOL={asked}: `{' '.join(_PROBES[asked])}` fails here")
        return asked
    return next((tool for tool in TOOLS if _works(tool)), "buildah")


_PROBES = {
    "buildah": ("buildah", "--version"),
    # The client alone builds nothing: the daemon has to answer, and buildx has to be there.
    "docker": ("docker", "buildx", "inspect", "--bootstrap"),
    "nerdctl": ("nerdctl", "info"),
}


def _works(tool: str) -> bool:
    if not shutil.which(tool):
        return False
    return subprocess.run(_PROBES[tool], capture_output=True, check=False).returncode == 0


def ensure(*programs: str) -> None:
    """Install programs that are Debian packages of the same name where they are missing (root), or say which."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"build: missing {' and '.join(missing)}; as root: apt-get install {' '.join(missing)}")
    say(f"installing {' '.join(missing)} by apt-get (about half a minute, once)")
    run("apt-get", "-q", "update")
    install = ("apt-get", "-qy", "install", "--no-install-recommends", *missing)
    run(*install, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def build(tool: str, recipe: Recipe, layout: Path, scratch: Path, registries: Path | None = None) -> None:
    """Build for all platforms into an OCI layout folder."""
    if tool == "buildah":
        Buildah(scratch, registries).build(recipe, layout)
        return
    # BuildKit behind both: the same options.
    archive = scratch / "built.tar"
    command = [tool, *(("buildx",) if tool == "docker" else ()), "build", "--quiet"]
    command += ["--platform", ",".join(recipe.platforms), "--file", str(recipe.dockerfile)]
    command += ["--provenance=false", "--sbom=false"] if tool == "docker" else []
    command += [f"--output=type=oci,dest={archive},rewrite-timestamp=true"]
    for key, value in {**recipe.arguments, "SOURCE_DATE_EPOCH": recipe.epoch}.items():
        command += ["--build-arg", f"{key}={value}"]
    if tool == "docker":
        command += [part for key, value in recipe.annotations.items() for part in ("--annotation", f"{key}={value}")]
    run(*command, recipe.context)
    layout.mkdir(parents=True)
    run("tar", "-x", "-C", layout, "-f", archive)


class Buildah:
    """buildah with a store of its own: the machine's, if it has one, is not ours to fill."""

    def __init__(self, scratch: Path, registries: Path | None = None) -> None:
        self.options = ["--storage-driver", "vfs", "--root", str(scratch / "store"), "--runroot", str(scratch / "run")]
        if registries:
            self.options += ["--registries-conf", str(registries)]

    def build(self, recipe: Recipe, layout: Path) -> None:
        """One index of all platforms, in an OCI layout folder."""
        self.make(recipe)
        run("buildah", *self.options, "manifest", "push", "-q", "--all", "colocation", f"oci:{layout}")

    def push(self, recipe: Recipe, reference: str) -> str:
        """One index of all platforms, in a registry on this machine; its digest."""
        self.make(recipe)
        note = recipe.context.with_suffix(".digest")
        destination = ("--digestfile", note, "colocation", f"docker://{reference}")
        run("buildah", *self.options, "manifest", "push", "-q", "--all", "--tls-verify=false", *destination)
        return note.read_text().strip()

    def make(self, recipe: Recipe) -> None:
        """Build into the store."""
        # chroot: nothing is run in the image, and no container runtime is needed on this machine.
        command = ["bud", "-q", "--isolation", "chroot", "--identity-label=false", "--manifest", "colocation"]
        command += ["--timestamp", recipe.epoch, "--file", str(recipe.dockerfile)]
        for key, value in {**recipe.arguments, "SOURCE_DATE_EPOCH": recipe.epoch}.items():
            command += ["--build-arg", f"{key}={value}"]
        command += [part for key, value in recipe.annotations.items() for part in ("--annotation", f"{key}={value}")]
        # One by one: in parallel, their order in the index, and so its digest, would depend on which was ready first.
        for platform in recipe.platforms:
            run("buildah", *self.options, *command, "--platform", platform, recipe.context)
