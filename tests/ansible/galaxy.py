"""What Galaxy would say of the artifact: galaxy-importer on it, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ansible import check, prepare
from tests.lab.config import CLONE
from tools.environment import environment

REQUIREMENTS = CLONE / "requirements/galaxy.txt"
PATIENT = """
import runpy, subprocess
wait = subprocess.Popen.communicate
subprocess.Popen.communicate = lambda self, input=None, timeout=None: wait(self, input, timeout and 1200)
runpy.run_module("galaxy_importer.main", run_name="__main__")
"""
"""The importer gives ansible-lint 180 s, which a busy machine needs more of; what it finds stays the same."""


def main() -> int:
    """0: imported without an error."""
    prepare.main()
    tools = environment(REQUIREMENTS)
    with tempfile.TemporaryDirectory(prefix="galaxy-", dir=prepare.CACHE) as scratch:
        tree = check.copy(Path(scratch) / "ansible_collections")
        built = Path(scratch) / "built"
        check.run(["ansible-galaxy", "collection", "build", "--output-path", str(built)], tree, shown=False)
        (archive,) = built.glob("*.tar.gz")
        env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ANSIBLE_CONFIG")}
        env |= {"PATH": f"{tools}:{env['PATH']}", "LC_ALL": "C.UTF-8", "HOME": scratch}
        # Where PyPI's `ansible` would have kubernetes.core: the importer sets the collections path, and looks here too.
        env["PYTHONPATH"] = str(prepare.CACHE / "collections")
        argv = [str(tools / "python"), "-c", PATIENT, str(archive)]
        done = subprocess.run(argv, cwd=built, env=env, capture_output=True, text=True, check=False)
    given = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    wrong = [line for line in given if line.startswith("ERROR") or "Traceback" in line]
    print("\n".join(line for line in given if not line.startswith("INFO"))[-4000:])
    if done.returncode or wrong or not any("completed successfully" in line for line in given):
        print(f"galaxy-importer: FAILED (status {done.returncode})", file=sys.stderr)
        return 1
    print("galaxy-importer: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
