"""`make docs-site`: the reference by antsibull-docs and our own pages, as a web site in build/out/docs.

Documentation and changelog are linted first. A warning of Sphinx, such as a link that leads nowhere, is an error.
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
# References to other projects' pages need an index from their sites, which may not be reachable.
suppress_warnings = ["misc.highlighting_failure", "ref.ref"]
"""
PAGES = (
    "docs",
    "README.md",
    "README.zh-CN.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "roles/*/README.md",
)
"""What the site shows besides the generated reference. Pages keep their paths, so links between them stay valid."""
MODULES = """
```{{toctree}}
:caption: Modules and roles
:hidden:

collection/index
{roles}
```

```{{toctree}}
:caption: Project
:hidden:

README
README.zh-CN
SECURITY
CONTRIBUTING
CODE_OF_CONDUCT
```
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
        pages(rst)
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


def pages(site: Path) -> None:
    """Copy our own pages below ``site``, and write the landing page and Sphinx's configuration there."""
    for pattern in PAGES:
        for source in CLONE.glob(pattern):
            target = site / source.relative_to(CLONE)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
    (site / "docs/index.md").unlink()
    roles = "\n".join(f"roles/{path.parent.name}/README" for path in sorted(CLONE.glob("roles/*/README.md")))
    (site / "index.md").write_text(landing((CLONE / "docs/index.md").read_text()) + MODULES.format(roles=roles))
    for page in site.rglob("*.md"):
        depth = len(page.relative_to(site).parents) - 1
        text = re.sub(r"\((?:\.\./|docs/)?index\.md(#[\w-]+)?\)", rf"({'../' * depth}index.md\1)", page.read_text())
        page.write_text(text)
    (site / "conf.py").write_text(CONF.format(version=version()))


def landing(index: str) -> str:
    """docs/index.md as the first page of the site: links lead into docs/, and each section is a menu of its pages."""
    text = re.sub(r"\]\((?!https?:|\.\./)([^)]+)\)", r"](docs/\1)", index)
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    menus = []
    for caption, body in zip(sections[1::2], sections[2::2], strict=True):
        entries = "\n".join(re.findall(r"^\* \[[^\]]+\]\(([^)#]+)\.md\)", body, re.MULTILINE))
        menus.append(f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{entries}\n```\n")
    return "\n".join([text, *menus])


if __name__ == "__main__":
    sys.exit(main())
