"""`make lock`: what goes into the image, by name, version and sha256, for both architectures.

Run it when a dependency is to move, or when the build says that a locked one is gone; the result, build/lock/, is
committed.
"""

from __future__ import annotations

import tomllib

from build import base, debian, wheels
from build.paths import CLONE, say


def main() -> None:
    """Resolve the distribution's dependencies and the base's packages, and write both locks."""
    lock_wheels()
    lock_debian()


def lock_wheels() -> None:
    """The Python packages: the newest that reconciler/pyproject.toml allows."""
    wanted = tomllib.loads((CLONE / "reconciler/pyproject.toml").read_text())["project"]["dependencies"]
    pins: dict[str, set[str]] = {}
    for architecture in wheels.PLATFORMS:
        say(f"resolving Python packages for {architecture}")
        for name, digest in wheels.resolve(architecture, wanted).items():
            pins.setdefault(name, set()).add(digest)
    lines = ["# Written by `make lock`: the wheels in the image, for amd64 and arm64. Do not edit."]
    lines += [
        name + "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(pins[name])) for name in sorted(pins)
    ]
    wheels.LOCK.write_text("\n".join(lines) + "\n")
    say(f"{wheels.LOCK.relative_to(CLONE)}: {', '.join(sorted(pins))}")


def lock_debian() -> None:
    """The base's packages: the newest of Debian and its security updates."""
    lines = ["# Written by `make lock`: Debian packages in the image's base. Architecture, name, version, sha256."]
    for architecture in wheels.PLATFORMS:
        say(f"resolving Debian packages for {architecture}")
        apt = debian.Apt(architecture)
        apt.update()
        locked = apt.lock(base.PACKAGES)
        if missing := set(base.PACKAGES) - {package.name for package in locked}:
            raise SystemExit(f"build: Debian {debian.SUITE} has no {', '.join(sorted(missing))} for {architecture}")
        lines += [f"{p.architecture} {p.name} {p.version} {p.sha256}" for p in locked]
    debian.LOCK.write_text("\n".join(lines) + "\n")
    say(f"{debian.LOCK.relative_to(CLONE)}: {len(lines) - 1} packages")


if __name__ == "__main__":
    main()
