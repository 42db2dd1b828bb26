# SPDX-License-Identifier: Apache-2.0
"""`make test-ansible`: the collection on every ansible-core and Python that it claims, each in the Debian that has it.

    python -m tests.ansible.cores [2.19] [2.20] [2.21] [3.9]      all of them by default

2.19 runs on this machine's Python; 2.20 and 2.21, which want a newer one, in a Debian 13 root file system; Python 3.9,
the oldest that a managed machine may have, in one of Debian 11. All is fetched by debootstrap and pip, once, into the
cache folder. Integration targets speak to a real API server.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.ansible import check, prepare
from tests.lab import inside, machine_base
from tests.lab.apiserver import ApiServer
from tests.lab.config import CLONE, cache_dir
from tests.lab.debian import ensure_packages
from tests.lab.errors import LabError
from tests.lab.progress import say, step

CORES = {"2.20": "2.20.10", "2.21": "2.21.5"}
CONTROL = ("13", "python3,python3-venv,git,openssh-client,ca-certificates,procps")
TARGET = ("11", "python3,python3-venv,python3-setuptools,ca-certificates,procps")
PYTHON = "3.13"
LIBRARIES = ("kubernetes", "PyYAML", "cryptography")
"""Beside ansible-core, in the versions of requirements/dev.txt."""
TESTS = ("sanity", "units", "integration")
_IMPORT = """
import importlib, pathlib, sys
for folder in map(pathlib.Path, sys.argv[1:]):
    for file in sorted(folder.rglob("*.py")):
        below = ".".join(file.relative_to(folder.parent).with_suffix("").parts)
        importlib.import_module(f"ansible_collections.openfuyao.colocation.plugins.{below}")
"""


def main(wanted: list[str]) -> int:
    """The exit status is the number of parts that failed."""
    parts = ["2.19", *CORES, "3.9"]
    if unknown := set(wanted) - set(parts):
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(parts)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("test-ansible: root file systems want root; `make sanity` does not", file=sys.stderr)
        return 2
    ensure_packages()
    prepare.main()
    failed = []
    with tempfile.TemporaryDirectory(prefix="cores-", dir=cache_dir()) as scratch:
        for part in wanted or parts:
            place = Path(scratch) / part
            place.mkdir()
            try:
                with step(f"the collection on {part}", "about 4 min"), ApiServer(place / "api") as api:
                    _part(part, place, api)
                print(f"collection on {part}: ok", flush=True)
            except (subprocess.CalledProcessError, LabError) as error:
                print(f"collection on {part}: FAILED ({str(error)[:300]})", file=sys.stderr, flush=True)
                failed.append(part)
    return len(failed)


def _part(part: str, place: Path, api: ApiServer) -> None:
    tree = check.copy(place / "ansible_collections")
    if part == "2.19":
        check.integration(tree, api.kubeconfig)
    elif part == "3.9":
        python = _old_python(tree, place)
        _core("2.21", tree, place, api, ("integration",), python)
    else:
        _core(part, tree, place, api, TESTS)


def _core(name: str, tree: Path, place: Path, api: ApiServer, tests: Sequence[str], python: Path | None = None) -> None:
    """ansible-test of that core, in Debian 13."""
    root = Root(CONTROL, place)
    packages = [f"ansible-core=={CORES[name]}", *_pinned()]
    venv = root.venv(f"core-{CORES[name]}", packages)
    home = check.ansible_test_home(name, venv / f"lib/python{PYTHON}/site-packages")
    for test in tests:
        if test == "integration":
            check.configure(tree, api.kubeconfig, python)
        more = ["--venv", "--requirements"] if test == "units" else []
        say(f"  ansible-test {test}, core {name}")
        root.run([venv / "bin/ansible-test", test, *more, "--python", PYTHON, "--color", "no"], tree, venv, home)


def _pinned() -> list[str]:
    lines = (CLONE / "requirements/dev.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in LIBRARIES]


class Root:
    """A Debian of that version with these packages; nothing that is done in it stays, but in the cache folder."""

    def __init__(self, what: tuple[str, str], place: Path) -> None:
        self._base = machine_base.ensure(*what)
        self._place = place

    def run(self, argv: Sequence[str | Path], where: Path, venv: Path | None, home: Path | str, **more: str) -> None:
        """A command in it, in a folder that is shared with it."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        path = f"{venv / 'bin'}:{path}" if venv else path
        kept = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key.endswith("_CERT_FILE")}
        env = {**kept, "PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "ANSIBLE_FORCE_COLOR": "0", **more}
        with tempfile.TemporaryDirectory(dir=self._place) as scratch:
            shell = ["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", where, *argv]
            subprocess.run(self.command(shell, Path(scratch)), env=env, check=True)

    def command(self, argv: Sequence[str | Path], scratch: Path, share: Sequence[str] = ()) -> list[str]:
        """The command line that runs something in it."""
        return inside.command(self._base, scratch, argv, share=[cache_dir(), "/etc/ssl/certs", *share])

    def venv(self, name: str, packages: Sequence[str]) -> Path:
        """A virtual environment of its Python with these packages, kept in the cache folder."""
        at = cache_dir() / name
        marker = at / ".complete"
        with at.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (marker.exists() and marker.read_text() == "\n".join(packages)):
                with step(f"installing {packages[0]}", "half a minute, once"):
                    self.run(["python3", "-m", "venv", "--clear", at], cache_dir(), None, cache_dir())
                    self.run([at / "bin/pip", "install", "--quiet", *packages], cache_dir(), None, cache_dir())
                marker.write_text("\n".join(packages))
        return at


def _old_python(tree: Path, place: Path) -> Path:
    """Compile, import and unit-test by Python 3.9 what managed machines run; that Python, as an interpreter."""
    root = Root(TARGET, place)
    venv = root.venv("core-target-3.9", ["kubernetes>=24.2.0", "PyYAML", "pytest"])
    core = Root(CONTROL, place).venv(f"core-{CORES['2.21']}", [f"ansible-core=={CORES['2.21']}", *_pinned()])
    # Of ansible-core only what it sends along with a module.
    sent = place / "sent/ansible"
    sent.mkdir(parents=True)
    (sent / "__init__.py").touch()
    (sent / "module_utils").symlink_to(core / f"lib/python{PYTHON}/site-packages/ansible/module_utils")
    python, path = venv / "bin/python", f"{sent.parent}:{tree.parents[2]}"
    shared = [tree / "plugins/modules", tree / "plugins/module_utils"]
    steps: list[list[str | Path]] = [
        [python, "-m", "compileall", "-q", "-f", *shared],
        [python, "-c", _IMPORT, *shared],
        [python, "-m", "pytest", "-q", "tests/unit/plugins/modules", "tests/unit/plugins/module_utils"],
    ]
    for argv in steps:
        root.run(argv, tree, venv, place, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
    script = place / "python3.9"
    call = shlex.join(root.command([python], Path("AT"), share=["/tmp"])).replace("AT", '"$at"', 1)
    script.write_text(f'#!/bin/sh\nat=$(mktemp -d -p {place})\nexec {call} "$@"\n')
    script.chmod(0o755)
    return script


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
