"""The collection by itself: sanity, lint, and the artifact built, installed into an empty place and run from there.

    check.py [sanity] [lint] [units] [artifact]        all of them by default

Works in a copy that holds only the collection's own tracked files: C(ansible-test) reads the whole tree it is
given, and Helm templates or Python projects are not its business. Uncommitted changes to tracked files count.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.ansible import prepare

CLONE = prepare.CLONE
OURS = [
    *(
        "galaxy.yml",
        "README.md",
        "README.zh-CN.md",
        "LICENSE",
        "LICENSES",
        ".ansible-lint",
        "CHANGELOG.rst",
        "CODE_OF_CONDUCT.md",
    ),
    *("CONTRIBUTING.md", "SECURITY.md", "docs"),
    *("meta", "plugins", "roles", "playbooks", "changelogs"),
    *("tests/unit/plugins", "tests/unit/conftest.py", "tests/unit/requirements.txt"),
    *("tests/sanity", "tests/integration"),
]
GET_PIP = """import subprocess, sys
subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade", "--default-pip"])
"""


def main(wanted: list[str]) -> int:
    """Run the steps; the exit status is the number of those that failed."""
    steps: dict[str, Callable[[Path], None]] = {"sanity": sanity, "lint": lint, "units": units, "artifact": artifact}
    unknown = set(wanted) - set(steps)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(steps)}", file=sys.stderr)
        return 2
    prepare.main()
    failed = []
    with tempfile.TemporaryDirectory(prefix="check-", dir=prepare.CACHE) as scratch:
        tree = copy(Path(scratch) / "ansible_collections")
        for name in wanted or list(steps):
            try:
                steps[name](tree)
                print(f"collection {name}: ok", flush=True)
            except subprocess.CalledProcessError as e:
                print(f"collection {name}: FAILED ({' '.join(map(str, e.cmd[:4]))} ...)", file=sys.stderr, flush=True)
                failed.append(name)
    return len(failed)


def copy(root: Path) -> Path:
    """The collection's tracked files at .../ansible_collections/openfuyao/colocation, beside those it depends on."""
    tree = root / "openfuyao" / "colocation"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *OURS],
        cwd=CLONE,
        check=True,
        stdout=subprocess.PIPE,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CLONE / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CLONE / name, tree / name)
    for name in prepare.WANTED:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(prepare.CACHE / "collections" / "ansible_collections" / name)
    # ansible-test asks git which files are the collection's.
    run(["git", "init", "-q"], tree)
    run(["git", "add", "-A"], tree)
    return tree


def run(command: list[str], where: Path, *, shown: bool = True, **env: str) -> None:
    """A program of this virtual environment; with ``shown=False`` only its errors are."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    clean: dict[str, str] = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ANSIBLE_CONFIG")
    }
    stdout = None if shown else subprocess.DEVNULL
    subprocess.run(
        command, cwd=where, check=True, env={**clean, "PATH": path, "ANSIBLE_FORCE_COLOR": "0", **env}, stdout=stdout
    )


def ansible_test_home(core: str = "", purelib: Path | None = None) -> str:
    """A home of its own in the cache: C(ansible-test) keeps pip and virtual environments below ~/.ansible."""
    home = prepare.CACHE / f"ansible-test{core and '-'}{core}"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    purelib = purelib or Path(sysconfig.get_path("purelib"))
    source = purelib / "ansible_test" / "_internal" / "python_requirements.py"
    # It would download a script of the version that it names, from a host that need not be reachable.
    for version in re.findall(r"pip='([0-9.]+)'", source.read_text()):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP)
    return str(home)


def sanity(tree: Path) -> None:
    """C(ansible-test sanity), on this Python; docs/ is for users, and not the collection's code."""
    options = ["--python", python(), "--color", "no", "--exclude", "docs/"]
    run(["ansible-test", "sanity", *options], tree, HOME=ansible_test_home())


def units(tree: Path) -> None:
    """C(ansible-test units): the same tests as C(make unit), with ansible's own loader."""
    run(
        ["ansible-test", "units", "--venv", "--requirements", "--python", python(), "--color", "no"],
        tree,
        HOME=ansible_test_home(),
    )


def configure(tree: Path, kubeconfig: Path, python: Path | None = None) -> None:
    """What the integration targets have to know; ``python``: the managed machine's."""
    known = {"kubeconfig": str(kubeconfig)} | ({"ansible_python_interpreter": str(python)} if python else {})
    (tree / "tests/integration/integration_config.yml").write_text(json.dumps(known) + "\n")


def integration(tree: Path, kubeconfig: Path) -> None:
    """C(ansible-test integration): modules against a real API server, and on this machine."""
    configure(tree, kubeconfig)
    run(["ansible-test", "integration", "--python", python(), "--color", "no"], tree, HOME=ansible_test_home())


def lint(_tree: Path) -> None:
    """C(ansible-lint) in the clone, as a contributor runs it; profile and exclusions are in C(.ansible-lint)."""
    run(["ansible-lint", "-q"], CLONE, ANSIBLE_COLLECTIONS_PATH=prepare.path())


def artifact(tree: Path) -> None:
    """Build, install into an empty place, and use it there: documentation of every module, syntax of every playbook."""
    place = tree.parents[2] / "installed"
    built = tree.parents[2] / "built"
    run(["ansible-galaxy", "collection", "build", "--output-path", str(built)], tree)
    archive = next(built.glob("openfuyao-colocation-*.tar.gz"))
    run(["ansible-galaxy", "collection", "install", "--no-deps", "-p", str(place), str(archive)], built)
    path = f"{place}:{prepare.CACHE / 'collections'}"
    at = place / "ansible_collections" / "openfuyao" / "colocation"
    stray = sorted(p.name for p in at.iterdir() if p.name in ("tests", "reconciler", "charts", "build", "tools"))
    if stray:
        print(f"in the artifact, but not the collection's: {stray}", file=sys.stderr)
        raise subprocess.CalledProcessError(1, ["galaxy.yml", "build_ignore"])
    if dead := dead_links(at):
        print("links in the artifact that lead nowhere:", *dead, sep="\n  ", file=sys.stderr)
        raise subprocess.CalledProcessError(1, ["README.md", "docs"])
    for name in ("plugins/modules", "roles"):
        kind = "role" if name == "roles" else "module"
        names = sorted(
            f"openfuyao.colocation.{p.stem}" for p in (at / name).iterdir() if not p.name.startswith(("_", "."))
        )
        run(["ansible-doc", "-t", kind, "--json", *names], built, shown=False, ANSIBLE_COLLECTIONS_PATH=path)
    for playbook in sorted((at / "playbooks").glob("*.yml")):
        name = f"openfuyao.colocation.{playbook.stem}"
        check = ["ansible-playbook", "--syntax-check", "-i", "localhost,", name]
        run(check, built, ANSIBLE_COLLECTIONS_PATH=path)


def dead_links(at: Path) -> list[str]:
    """Relative links of Markdown pages, to files that are not there."""
    pages = ((page, page.read_text()) for page in sorted(at.rglob("*.md")))
    links = ((page, link) for page, text in pages for link in re.findall(r"\]\(([^)#\s]+)", text))
    return [
        f"{page.relative_to(at)} -> {link}"
        for page, link in links
        if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists()
    ]


def python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
