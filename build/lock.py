"""`make lock`: what goes into the image, by name, version and sha256, for both architectures.

Run it when a dependency is to move; the result, build/lock/requirements.txt, is committed.
"""

from __future__ import annotations

import json
import sys
import tomllib

from build.paths import CLONE, run, say

LOCK = CLONE / "build/lock/requirements.txt"
PLATFORMS = {
    "amd64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
}
"""pip's platform tags per architecture; the base image's glibc is 2.36."""
PYTHON = "3.11"


def platform_arguments(architecture: str) -> list[str]:
    """What tells pip to choose wheels for an architecture that need not be this machine's."""
    tags = [argument for tag in PLATFORMS[architecture] for argument in ("--platform", tag)]
    return ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp", *tags]


def main() -> None:
    """Resolve the distribution's dependencies and write the lock."""
    wanted = tomllib.loads((CLONE / "reconciler/pyproject.toml").read_text())["project"]["dependencies"]
    pins: dict[str, set[str]] = {}
    for architecture in PLATFORMS:
        say(f"resolving for {architecture}")
        arguments = [
            "install",
            "--dry-run",
            "--quiet",
            "--ignore-installed",
            "--target",
            "/nonexistent",
            "--report",
            "-",
        ]
        report = run(sys.executable, "-m", "pip", *arguments, *platform_arguments(architecture), *wanted)
        for item in json.loads(report)["install"]:
            name = f"{item['metadata']['name'].lower()}=={item['metadata']['version']}"
            pins.setdefault(name, set()).add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    lines = ["# Written by `make lock`: the wheels in the image, for amd64 and arm64. Do not edit."]
    lines += [
        name + "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(pins[name])) for name in sorted(pins)
    ]
    LOCK.write_text("\n".join(lines) + "\n")
    say(f"{LOCK.relative_to(CLONE)}: {', '.join(sorted(pins))}")


if __name__ == "__main__":
    main()
