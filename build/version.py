"""`make version VERSION=X.Y.Z`: what the commit of a release changes: the number in three files, and the changelog."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from build.paths import CHART, CLONE, SOURCE, run, say
from tools.environment import environment

PLACES = {
    SOURCE / "__init__.py": r'(?m)^(__version__ = ")[^"]+(")$',
    CLONE / "galaxy.yml": r"(?m)^(version: )\S+()$",
    CHART / "Chart.yaml": r"(?m)^((?:version|appVersion): )\S+()$",
}
NUMBER = re.compile(r"\d+\.\d+\.\d+")


def main(number: str) -> None:
    """Write the number; move the changelog's fragments into CHANGELOG.rst and changelogs/changelog.yaml."""
    if not NUMBER.fullmatch(number):
        raise SystemExit(f"build: VERSION={number!r}: a number as 1.2.3 is needed")
    for path, pattern in PLACES.items():
        text, count = re.subn(pattern, rf"\g<1>{number}\g<2>", path.read_text())
        if not count:
            raise SystemExit(f"build: no version in {path}")
        path.write_text(text)
    changelog("release", "--version", number)
    say(f"version {number}: look at `git diff`, commit it, then make release VERSION={number}")


def changelog(*arguments: str | Path) -> None:
    """Run antsibull-changelog here."""
    tools = environment(CLONE / "requirements/docs.txt")
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    run(tools / "antsibull-changelog", *arguments, cwd=CLONE, env=env)


def everywhere() -> dict[str, set[str]]:
    """The numbers in each of the places."""
    return {
        str(path.relative_to(CLONE)): {
            found[0].removeprefix(found[1]).removesuffix(found[2]) for found in re.finditer(pattern, path.read_text())
        }
        for path, pattern in PLACES.items()
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
