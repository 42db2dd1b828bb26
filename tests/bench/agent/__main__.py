# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.agent PART...`: parts of the bench, in this order."""

from __future__ import annotations

import sys

from tests.bench.__main__ import OUT
from tests.bench.agent import bench
from tests.bench.agent.node import BenchNode
from tests.bench.figures import write


def main(names: list[str]) -> int:
    """Run them; 2 for a name that is not there."""
    unknown = [name for name in names if name not in bench.PARTS]
    if unknown or not names:
        print(f"parts: {', '.join(bench.PARTS)}; all of it: python -m tests.bench agent", file=sys.stderr)
        return 2
    node = BenchNode()
    for name in names:
        if name == "write":
            write(OUT, "agent", bench.page())
        else:
            bench.parts([name], node)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
