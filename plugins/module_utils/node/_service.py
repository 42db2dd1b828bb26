# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Files of a service, changed so that they can be put back, and the service restarted and watched.

The note of a service in the state directory (one section of _node.Before):

    files    path -> {before: text or None, ours: text or None}     what was there before us, and what we wrote last
    pending  path -> text or None     what was there before a change that has not proved itself yet
    last     path -> text or None     what was there before the last change, for it to be undone
    made     directories that were made for these files
"""

from __future__ import annotations

import http.client
import os
import re
import time
import typing as t
from urllib.parse import urlsplit

from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node

JSON = t.Dict[str, t.Any]
Texts = t.Dict[str, t.Optional[str]]
Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]
SERVICES = ("containerd", "kubelet")
"""Sections of the note; the service has the same name."""
POLL_SECONDS = 0.5


def noted(notes: JSON) -> list[str]:
    """Services of which something is still ours, or unproved."""
    return [name for name in SERVICES if (notes.get(name) or {}).get("files") or (notes.get(name) or {}).get("pending")]


def begin(section: JSON, now: Texts) -> None:
    """Before files are changed: what they are. The first note of what was there before us stays, and so does the first
    text of a change that never proved itself, which is the last that did."""
    files, pending = section.setdefault("files", {}), section.setdefault("pending", {})
    section["last"] = dict(now)
    for path, text in now.items():
        files.setdefault(path, {"before": text, "ours": text})
        pending.setdefault(path, text)


def proved(section: JSON, now: Texts, forget: bool = False) -> None:
    """The service runs with these texts. What is as it was before us is no longer ours."""
    files = section.setdefault("files", {})
    for path, text in now.items():
        if path in files:
            files[path]["ours"] = text
            if forget or files[path]["before"] == text:
                del files[path]
    section["pending"] = {}


def put_back(section: JSON) -> Texts:
    """The texts that the service ran with last; {} if the last change has proved itself."""
    return dict(section.get("pending") or {})


class Unit:
    """A systemd unit of this machine."""

    def __init__(self, name: str, run: Run, health_url: str = "", ask: t.Callable[[], str] | None = None) -> None:
        self.name, self.run, self.health_url, self.ask = name, run, health_url, ask

    def show(self, *names: str) -> dict[str, str]:
        _rc, out, _err = self.run(["systemctl", "show", self.name, *(f"--property={name}" for name in names)])
        return dict(line.partition("=")[::2] for line in out.splitlines() if "=" in line)

    def start_anew(self, stale: list[str]) -> str:
        """Restart, and remove files that may only go while it is stopped; what went wrong, or nothing.

        A restart takes those along that require this unit; after a stop they would stay down.
        """
        self.run(["systemctl", "reset-failed", self.name])  # so that earlier failures do not count
        steps = ["stop", "start"] if stale else ["restart"]
        for step in steps:
            rc, _out, err = self.run(["systemctl", step, self.name])
            if rc:
                return f"systemctl {step} failed: {err.strip()}"
            if step == "stop":
                for path in stale:
                    os.unlink(path)
        return ""

    def watch(self, settle: float, timeout: float) -> str:
        """Wait until the same process has been well for `settle` seconds; what is wrong when the time is over."""
        end = time.monotonic() + timeout
        since, pid = time.monotonic(), ""
        while True:
            wrong, now = self._look()
            if wrong or now != pid:
                since, pid = time.monotonic(), now
            elif time.monotonic() - since >= settle:
                return ""
            if time.monotonic() >= end:
                return wrong or "it is started again and again"
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """The end of its log, for a human: the last lines that sound like an error, or just the last."""
        rc, out, _err = self.run(["journalctl", "--unit", self.name, "--no-pager", "--lines=60", "--output=cat"])
        lines = [line.strip() for line in out.splitlines() if line.strip()] if rc == 0 else []
        bad = [line for line in lines if re.match(r"[EF]\d{4} |Error:|.*level=(error|fatal)|.*\berr=", line)]
        return " | ".join(line[:300] for line in (bad or lines)[-3:])

    def _look(self) -> tuple[str, str]:
        """What is wrong now, and the process that was looked at."""
        listed = self.show("ActiveState", "SubState", "MainPID")
        pid = listed.get("MainPID", "")
        if listed.get("ActiveState") != "active":
            return f"it is {listed.get('ActiveState', 'unknown')} ({listed.get('SubState', '')})", pid
        if self.health_url:
            given = _ask(self.health_url)
            if given:
                return f"{self.health_url} says {given}", pid
        return (self.ask() if self.ask else ""), pid


def _ask(url: str) -> str:
    """What is wrong, by a service's own word on loopback, or nothing."""
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        line.request("GET", parts.path)
        status = line.getresponse().status
    except (OSError, http.client.HTTPException) as e:
        return str(e)
    finally:
        line.close()
    return "" if status == 200 else f"HTTP {status}"


def plugin_errors(listing: str) -> str:
    """What is wrong with containerd's plugins that Kubernetes and NRI need, out of C(ctr plugins ls)."""
    bad = []
    listed = False
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) < 3 or fields[1] not in ("cri", "images", "runtime", "nri"):
            continue
        if not fields[0].startswith(("io.containerd.grpc", "io.containerd.cri", "io.containerd.nri")):
            continue
        listed = listed or fields[1] == "cri"
        if fields[-1] == "error":
            bad.append(f"{fields[0]}.{fields[1]}")
    if bad:
        return f"containerd could not load {', '.join(bad)}"
    return "" if listed else "containerd does not answer, or has no CRI plugin"


def make_parents(path: str) -> list[str]:
    """Make the directories above a file; those that were not there, the uppermost first."""
    missing = []
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        os.mkdir(folder, 0o755)
    return list(reversed(missing))


def write_all(section: JSON, texts: Texts) -> None:
    """Write and remove files; directories that were made for them go when they are empty again."""
    created = section.setdefault("made", [])
    for path, text in texts.items():
        if text is None:
            if os.path.lexists(path):
                os.unlink(path)
        else:
            created += make_parents(path)
            _node.write(path, text, None)
    for folder in sorted(created, key=len, reverse=True):
        if os.path.isdir(folder) and os.listdir(folder):
            continue
        if os.path.isdir(folder):
            os.rmdir(folder)
        created.remove(folder)
