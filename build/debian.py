"""Debian packages by lock: resolved, fetched and checked through apt, for any architecture, beside the machine's own.

Nothing is installed and nothing of another architecture is run: apt gets a state folder of its own, and `dpkg-deb`
unpacks. The mirrors are those of the machine's own sources.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from build.paths import CLONE, cache, folder, run, say

LOCK = CLONE / "build/lock/debian.txt"
SUITE = "bookworm"
_SOURCES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, order=True)
class Package:
    """One line of the lock."""

    architecture: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> Path:
        """Where it is kept, named after its content."""
        return cache() / "inputs" / f"{self.name}-{self.sha256[:16]}.deb"


def read_lock(lock: Path = LOCK) -> list[Package]:
    """The locked packages of all architectures."""
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return [Package(*line) for line in lines]


def ensure(packages: list[Package]) -> None:
    """Fetch what is not in the cache; an end that names `make lock` if the mirror has it no more, or changed."""
    missing = [package for package in packages if not package.file.is_file()]
    for architecture in sorted({package.architecture for package in missing}):
        wanted = [package for package in missing if package.architecture == architecture]
        say(f"fetching {len(wanted)} locked Debian packages for {architecture} (15 s, once)")
        with folder(cache() / f"inputs-{architecture}.tmp") as scratch:
            _fetch(architecture, wanted, scratch)


def unpack(packages: list[Package], root: Path) -> None:
    """Lay the packages' files out below a root that has the merged /usr."""
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package.file], stdout=subprocess.PIPE) as archive:
            command = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", "-p"]
            done = subprocess.run(command, stdin=archive.stdout, capture_output=True, text=True, check=False)
        if archive.returncode or done.returncode:
            raise SystemExit(f"build: {package.file} cannot be unpacked: {done.stderr[-1000:]}")


class Apt:
    """apt for one architecture, with a state folder of its own in the cache."""

    def __init__(self, architecture: str) -> None:
        home = cache() / f"apt-{SUITE}-{architecture}"
        for name in ("etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
            (home / name).mkdir(parents=True, exist_ok=True)
        (home / "etc/sources.list").write_text(_sources())
        (home / "state/status").touch()
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Dir::Cache": home / "cache",
            "Dir::Etc::sourcelist": home / "etc/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": home / "etc/preferences.d",
            "Dir::State": home / "state",
            "Dir::State::status": home / "state/status",
            "Acquire::Languages": "none",
        }
        self.options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]

    def update(self) -> None:
        """Read what the mirrors have now."""
        run("apt-get", *self.options, "-q", "update")

    def lock(self, names: tuple[str, ...]) -> list[Package]:
        """The newest version of each package, with its digest, as the mirrors' signed lists tell them."""
        digest = run("apt-cache", *self.options, "show", "--no-all-versions", *names)
        packages = []
        for paragraph in filter(None, digest.split("\n\n")):
            fields = dict(re.findall(r"^(Package|Version|SHA256): (\S+)$", paragraph, re.MULTILINE))
            packages.append(Package(self.architecture, fields["Package"], fields["Version"], fields["SHA256"]))
        return sorted(packages)

    @property
    def architecture(self) -> str:
        """Debian's name of it."""
        return self.options[1].partition("=")[2]


def _fetch(architecture: str, wanted: list[Package], scratch: Path) -> None:
    apt = Apt(architecture)
    apt.update()
    try:
        run("apt-get", *apt.options, "-q", "download", *(f"{p.name}={p.version}" for p in wanted), cwd=scratch)
    except SystemExit as error:
        raise SystemExit(
            f"{error}\nbuild: a package locked in build/lock/debian.txt is gone from the mirrors;"
            " `make lock` locks what there is now"
        ) from None
    for package in wanted:
        (fetched,) = scratch.glob(f"{package.name}_*.deb")
        if (digest := hashlib.sha256(fetched.read_bytes()).hexdigest()) != package.sha256:
            raise SystemExit(
                f"build: {package.name} {package.version} for {architecture} differs from the lock: sha256 {digest}, in"
                f" build/lock/debian.txt {package.sha256}. If the change is known to be good, `make lock` locks it"
            )
        package.file.parent.mkdir(parents=True, exist_ok=True)
        fetched.rename(package.file)


def _sources() -> str:
    """The machine's own sources of this suite, and no others."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    known = {tuple(line.split()) for line in run("apt-get", "indextargets", "--format", form).splitlines()}
    ours = sorted(entry for entry in known if entry[1] in _SOURCES and entry[2] == "main")
    if not any(release == SUITE for _, release, _ in ours):
        raise SystemExit(f"build: apt on this machine has no source for Debian {SUITE} main: add one, then again")
    signed = f"[signed-by={_KEYS}] " if _KEYS.exists() else ""
    return "".join(f"deb {signed}{' '.join(entry)}\n" for entry in ours)
