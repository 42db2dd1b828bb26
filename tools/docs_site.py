"""`make docs-site`: the reference by antsibull-docs and our own pages, as a web site in build/out/docs.

Documentation and changelog are linted first; a warning of Sphinx is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build.paths import CLONE, OUT, say, version
from tests.ansible import check, prepare
from tools.environment import environment

REQUIREMENTS = CLONE / "requirements/docs.txt"
NAME = "openfuyao.colocation"
CONF = """
project = "openfuyao.colocation"
copyright = "the openfuyao.colocation contributors"
release = "{version}"
extensions = ["sphinx_antsibull_ext", "myst_parser"]
html_theme = "furo"
html_title = "openfuyao.colocation {version}"
myst_heading_anchors = 3
# Other projects' pages are linked to where their index is in reach, which it need not be.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure", "ref.ref"]
"""
INDEX = """
openfuyao.colocation
====================

.. toctree::
   :maxdepth: 2
   :caption: Guides

{guides}

.. toctree::
   :maxdepth: 1
   :caption: Reference

   collection/index
"""


def main() -> int:
    """Lint and build; the exit status of what failed."""
    prepare.main()
    tools = environment(REQUIREMENTS)
    with tempfile.TemporaryDirectory(prefix="docs-", dir=prepare.CACHE) as scratch:
        tree = check.copy(Path(scratch) / "ansible_collections")
        env = {
            **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ANSIBLE_CONFIG")},
            "PATH": f"{tools}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": scratch,
            "LC_ALL": "C.UTF-8",
        }
        rst = Path(scratch) / "rst"
        (rst / "collection").mkdir(parents=True)
        _guides(rst)
        reference = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", str(rst / "collection")]
        shutil.rmtree(OUT / "docs", ignore_errors=True)
        for argv in (
            ["antsibull-changelog", "lint"],
            ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", str(tree)],
            ["antsibull-docs", "collection", *reference, NAME],
            ["sphinx-build", "-q", "-W", "--keep-going", "-b", "html", str(rst), str(OUT / "docs")],
        ):
            say(" ".join(argv[:2]))
            if code := subprocess.run(argv, cwd=tree, env=env, check=False).returncode:
                return code
    say(f"{OUT / 'docs/index.html'}, {sum(1 for _ in (OUT / 'docs').rglob('*.html'))} pages")
    return 0


def _guides(rst: Path) -> None:
    """Our own pages; links that lead out of docs/ have nowhere to lead to here."""
    pages = sorted((CLONE / "docs").glob("*.md"))
    for page in pages:
        text = re.sub(r"\[([^\]]+)\]\((?:\.\./|[a-z]+/)[^)]*\)", r"\1", page.read_text())
        (rst / page.name).write_text(text)
    guides = "\n".join(f"   {page.stem}" for page in pages)
    (rst / "index.rst").write_text(INDEX.format(guides=guides))
    (rst / "conf.py").write_text(CONF.format(version=version()))


if __name__ == "__main__":
    sys.exit(main())
