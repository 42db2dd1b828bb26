"""`make generate`: files that are copies of something else, each written from its one source.

`python -m tools.generate` writes them, `--check` fails if one of them is not what its source says.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from colocation.console.openapi import document
from colocation.console.routes import ALL
from colocation.model.answers import EXPLAIN_SCHEMA, Explanation
from tools import (
    chart_readme,
    console_charts,
    crds,
    dashboards,
    licences,
    log_keys,
    policy_options,
    role_readme,
    versions,
)

ROOT = Path(__file__).resolve().parents[1]
_CRD_DIR = "charts/colocation-package/templates/crds"
_DASHBOARDS = "charts/colocation-package/files/dashboards"
_NODE = "reconciler/src/colocation/node"


_UTILS = "ansible_collections.openfuyao.colocation.plugins.module_utils"
_NEIGHBOURS = ("descheduler", "karmada", "kyverno", "look", "scalers", "selectors", "volcano")


def python_copy(source: str) -> Callable[[], str]:
    """A module copied as it is, except for imports of other copies, below a header that says where from."""

    def render() -> str:
        header = f"# SPDX-License-Identifier: Apache-2.0\n# {crds.HEADER.format(source=source)}\n"
        text = (ROOT / source).read_text().removeprefix("# SPDX-License-Identifier: Apache-2.0\n")
        text = text.replace("from colocation.model.names import", f"from {_UTILS}._names import")
        text = re.sub(r"from colocation\.neighbours\.(\w+) import", rf"from {_UTILS}.neighbours._\1 import", text)
        return header + re.sub(r"from colocation\.neighbours import (.*)", _siblings, text)

    return render


def _siblings(found: re.Match[str]) -> str:
    """Each copy's name begins with an underscore; the code keeps the name without."""
    return "\n".join(f"from {_UTILS}.neighbours import _{name} as {name}" for name in found[1].split(", "))


def explain_schema() -> str:
    """JSON Schema of `colocation explain -o json`."""
    schema = msgspec.json.schema(Explanation) | {"$id": EXPLAIN_SCHEMA, "title": "Why a node has the number it has"}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


OUTPUTS: dict[str, Callable[[], str]] = {
    f"{_CRD_DIR}/colocationpolicies.yaml": crds.POLICY.render,
    f"{_CRD_DIR}/nodecolocations.yaml": crds.NODE.render,
    f"{_DASHBOARDS}/cluster.json": dashboards.CLUSTER.render,
    f"{_DASHBOARDS}/node.json": dashboards.NODE.render,
    "charts/colocation-package/README.md": chart_readme.render,
    "docs/console.openapi.json": lambda: document(ALL).decode(),
    "docs/explain.schema.json": explain_schema,
    "docs/licences.md": licences.render,
    "docs/logs.md": log_keys.render,
    "docs/versions.md": versions.render,
    "reconciler/src/colocation/console/charts.py": console_charts.render,
    "plugins/module_utils/_names.py": python_copy("reconciler/src/colocation/model/names.py"),
    "plugins/module_utils/_quantity.py": python_copy("reconciler/src/colocation/model/quantity.py"),
    **{
        f"plugins/module_utils/neighbours/_{name}.py": python_copy(f"reconciler/src/colocation/neighbours/{name}.py")
        for name in _NEIGHBOURS
    },
    "plugins/module_utils/node/_probe.py": python_copy(f"{_NODE}/probe.py"),
    "plugins/module_utils/node/_journal.py": python_copy(f"{_NODE}/journal.py"),
    "plugins/module_utils/policy/_fields.py": policy_options.argument_spec,
    "plugins/doc_fragments/_policy.py": policy_options.doc_fragment,
    "roles/colocation_engine/vars/engines.yml": policy_options.engines,
    **role_readme.outputs(),
}


def stale() -> dict[str, str]:
    """Outputs that are missing or differ from what their source says now: path -> wanted text."""
    wanted = {path: render() for path, render in OUTPUTS.items()}
    return {path: text for path, text in wanted.items() if _read(path) != text}


def _read(path: str) -> str | None:
    file = ROOT / path
    return file.read_text() if file.exists() else None


def main(argv: list[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    check = parser.parse_args(argv).check
    late = stale()
    for path, text in late.items():
        if check:
            print(f"{path} is not what its source says; run `make generate`", file=sys.stderr)
            continue
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
        print(f"wrote {path}")
    return 1 if check and late else 0


if __name__ == "__main__":
    sys.exit(main())
