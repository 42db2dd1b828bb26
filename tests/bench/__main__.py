# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench [NAME...]` writes docs/benchmarks/NAME.{json,md,png}. SCALE=full: the large size.

`python -m tests.bench compare COMMIT` measures this tree beside that commit. `agent`, `assess`, `collection` and
`upgrade` take minutes and run only when they are named; `agent` and `collection` need root.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import admission, assess, calm, collection, compare, console, manager, policies, predict, upgrade
from tests.bench.agent import bench as agent
from tests.bench.figures import Report, write
from tests.lab.progress import say, step

BENCHES: dict[str, Callable[..., Report]] = {
    "manager": manager.run,
    "calm": calm.run,
    "policies": policies.run,
    "predict": predict.run,
    "admission": admission.run,
    "console": console.run,
}
BY_NAME_ONLY = {"agent": agent.run, "assess": assess.run, "collection": collection.run, "upgrade": upgrade.run}
"""`agent` and `collection` want root and a lab node, `assess` a Prometheus, `upgrade` most of an hour."""
OUT = Path(__file__).parents[2] / "docs/benchmarks"


def main(names: list[str]) -> int:
    """Run what was asked for, everything by default; 2 for a name that is not there."""
    if names[:1] == ["compare"]:
        if len(names) != 2:
            print("compare needs the commit to compare with: python -m tests.bench compare COMMIT", file=sys.stderr)
            return 2
        write(OUT, "compare", compare.run(names[1]))
        return 0
    known = BENCHES | BY_NAME_ONLY
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no bench {', '.join(unknown)}; there are: compare, {', '.join(known)}", file=sys.stderr)
        return 2
    full = os.environ.get("SCALE") == "full"
    for name in names or BENCHES:
        with step(f"bench {name}"):
            report = known[name](full=full)
        to = f"{name}-full" if full else name
        write(OUT, to, report)
        say(f"written: {OUT / to}.json, .md and .png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
