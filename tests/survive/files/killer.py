"""Runs on the machine: starts the agent, kills it with SIGKILL at a random moment, looks, and again.

    killer.py KILLS LONGEST_SECONDS STATE_DIR COMMAND...

After each kill: every line of the journal but a torn last one is whole, and every value of a best-effort pod's group
that is not kubelet's own stands in it. Prints what was seen as JSON. Standard library only.
"""

import json
import pathlib
import random
import subprocess
import sys
import time
from typing import Any

ROOT = pathlib.Path("/sys/fs/cgroup")
# What kubelet gives a best-effort pod's group; cpu.max is told by its first word, its period may be any.
PLAIN = {
    "cpu.cfs_quota_us": "-1",
    "memory.limit_in_bytes": "9223372036854771712",
    "cpu.idle": "0",
    "cpu.max": "max",
    "memory.max": "max",
}
# cgroup v1 with the cgroupfs driver, v2 with systemd's.
GROUPS = ("*/kubepods/besteffort/pod*", "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod*.slice")


def changed() -> set[str]:
    """Files of best-effort pods' groups that hold anything but kubelet's values, relative to the root."""
    found: set[str] = set()
    for pattern in GROUPS:
        for group in ROOT.glob(pattern):
            for name, plain in PLAIN.items():
                try:
                    words = (group / name).read_text().split()
                except OSError:
                    continue
                if words and words[0] != plain:
                    found.add(str((group / name).relative_to(ROOT)))
    return found


def look(journal: pathlib.Path) -> tuple[set[str], bool, list[str]]:
    """(entries' paths, whether the last line was torn, what is wrong)."""
    text = journal.read_text(errors="replace") if journal.exists() else ""
    lines = text.split("\n")
    torn, wrong = lines.pop() != "", []
    paths = set()
    for line in lines:
        try:
            paths.add(json.loads(line)["path"])
        except (ValueError, KeyError):
            wrong.append("a line in the middle of the journal is not whole: " + line[:80])
    wrong += ["changed, but not in the journal: " + path for path in sorted(changed() - paths)]
    return paths, torn, wrong


def main(kills: str, longest: str, state: str, *command: str) -> None:
    journal = pathlib.Path(state) / "journal"
    seen: dict[str, Any] = {"kills": 0, "torn": 0, "entries": 0, "most_changed": 0, "wrong": []}
    for _ in range(int(kills)):
        agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.05, float(longest)))
        if agent.poll() is not None:
            seen["wrong"].append("the agent ended by itself with status " + str(agent.returncode))
        agent.kill()
        agent.wait()
        paths, torn, wrong = look(journal)
        seen["kills"] += 1
        seen["torn"] += torn
        seen["entries"] = max(seen["entries"], len(paths))
        seen["most_changed"] = max(seen["most_changed"], len(changed()))
        seen["wrong"] += wrong
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
