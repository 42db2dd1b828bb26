"""`make audit`: pip-audit over the Python that goes into the image.

PyPI's own answers are tried first, then osv.dev's. A package that the database did not answer for counts as not
audited, and the command fails: pip-audit alone would call that clean.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.lab.config import CLONE
from tools.environment import environment

REQUIREMENTS = CLONE / "requirements/audit.txt"
LOCK = CLONE / "build/lock/requirements.txt"
SERVICES = ("pypi", "osv")
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 2


def main() -> int:
    """0: audited, nothing known; 1: advisories; 2: no database answered."""
    program = environment(REQUIREMENTS) / "pip-audit"
    for service in SERVICES:
        argv = [
            str(program),
            "-s",
            service,
            "-f",
            "json",
            "--progress-spinner=off",
            "--disable-pip",
            "--require-hashes",
        ]
        done = subprocess.run([*argv, "-r", str(LOCK)], capture_output=True, text=True, check=False)
        code, output = verdict(done.stdout, done.stderr)
        print(f"{service}: {output}", file=sys.stderr if code else sys.stdout)
        if code != NOT_AUDITED:
            return code
    print(
        "audit: NOT AUDITED: no advisory database is reachable from here (a mirror of packages need not have them). "
        "Run `make audit` where PyPI's own API or osv.dev's is",
        file=sys.stderr,
    )
    return NOT_AUDITED


def verdict(out: str, err: str) -> tuple[int, str]:
    """What pip-audit's JSON comes to."""
    try:
        rows = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        return NOT_AUDITED, (err.strip().splitlines() or ["no answer"])[-1][:200]
    skipped = [row["name"] for row in rows if "skip_reason" in row]
    known = [f"{row['name']} {row['version']}: {bad['id']}" for row in rows for bad in row.get("vulns", ())]
    if known:
        return VULNERABLE, "; ".join(known)
    if skipped or not rows:
        return NOT_AUDITED, f"did not answer for {', '.join(skipped) or 'anything'}"
    return CLEAN, f"nothing known against {', '.join(row['name'] + ' ' + row['version'] for row in rows)}"


if __name__ == "__main__":
    sys.exit(main())
