"""Makes the groups of best-effort pods hold what was decided, and puts back what is no longer wanted.

Level-triggered: each round what is there is compared with what is wanted, so that whatever else writes there
(systemd's daemon-reload does) is corrected a round later. The journal is also the list of what we hold.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct

from colocation.node import resctrl
from colocation.node.cgroups import Layout
from colocation.node.extra import kept_above, whole_disks
from colocation.node.journal import FILE, LINES, Entry, Journal, boot_id, group_id, put_back, write_value
from colocation.node.knobs import PodFiles
from colocation.node.notes import Notes
from colocation.node.setting import Setting
from colocation.protect.cache import schemata
from colocation.protect.optin import Cache, Extra
from colocation.protect.wanted import Knobs

log = logging.getLogger(__name__)
RETRY_FIRST: Final = 1.0
RETRY_MOST: Final = 60.0
TASKS_EVERY: Final = 5
"""Rounds between two looks at which tasks the resctrl group holds."""
DISKS_EVERY: Final = 60
"""Rounds between two looks at which disks there are."""
_GONE: Final = (errno.ENOENT, errno.ENODEV)


class Refusal(Struct):
    """A value the kernel (or the journal's disk) did not take; tried again after ``wait`` seconds, ever longer."""

    reason: str
    retry_at: float
    wait: float
    back: bool = False
    """It was the old value, on its way back."""


class Applier:
    """Holds values. Not thread-safe: belongs to the loop."""

    def __init__(
        self,
        layout: Layout,
        journal: Journal,
        *,
        dry_run: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.layout, self._clock, self._dry_run = layout, clock, dry_run
        self._notes = Notes(journal)
        self._files: dict[str, PodFiles] = {}
        self._disks: tuple[str, ...] = ()
        self._boot = boot_id()
        self._round = 0
        self.refused: dict[str, Refusal] = {}
        """By path: what is wanted but not there, and why."""
        self.writes = self.held = 0
        """Values written so far; values that were there, as wanted, in the last round."""

    def follow(self, layout: Layout) -> None:
        """Hold values in this layout from now on: that in which pods are found, which may come after us or change."""
        if layout != self.layout:
            for files in self._files.values():
                files.close()
            self._files.clear()
            self.layout = layout

    def finds(self, uid: str, group: str | None) -> bool:
        """This pod's group is there, with a container in it."""
        return uid in self._files or (group is not None and self.layout.holds_groups(group))

    def apply(
        self,
        wanted: Mapping[str, Knobs],
        groups: Mapping[str, str],
        cache: Cache | None = None,
        offline: Collection[str] = (),
    ) -> None:
        """One round: ``wanted`` by pod uid; ``groups``: where each pod is; ``cache``: of the tasks of ``offline`` pods.

        Never raises.
        """
        if self._round % DISKS_EVERY == 0:
            self._disks = whole_disks()
        self._round += 1
        now = self._clock()
        wanted, groups = self._with_parents(wanted, groups)
        for uid in [uid for uid, files in self._files.items() if groups.get(uid) != files.group or uid not in wanted]:
            self._files.pop(uid).close()
        settings = [
            (uid, setting)
            for uid, knobs in wanted.items()
            if (files := self._files_of(uid, groups.get(uid))) is not None
            for setting in files.settings(knobs, self._disks)
        ]
        held = {path for _, setting in settings for path in (setting.path, setting.beside) if path}
        missing = [(uid, setting) for uid, setting in settings if self._is_to_write(setting, now)]
        self.held = sum(setting.holds for _, setting in settings)
        held |= self._hold_cache(cache, [groups[uid] for uid in offline if uid in groups], now)
        self._write(missing, now)
        if not self._put_back(held, now) and not missing:
            self.refused.pop(self._notes.path, None)  # nothing is asked of the disk: whatever it refused is past

    def _is_to_write(self, setting: Setting, now: float) -> bool:
        if setting.holds:
            self.refused.pop(setting.path, None)
        elif self._due(setting.path, now):
            if setting.there is not None:
                return True
            if self._group_is_there(setting.path):
                self._refuse(setting.path, f"{setting.want}: it is not there, or holds no text", now)
        return False

    def _files_of(self, uid: str, group: str | None) -> PodFiles | None:
        """None without a group, or while kubelet is making it: what would be noted as old is not yet what it gives."""
        if uid not in self._files and group is not None and self.layout.holds_groups(group):
            self._files[uid] = PodFiles(self.layout, group)
        return self._files.get(uid)

    def _with_parents(
        self, wanted: Mapping[str, Knobs], groups: Mapping[str, str]
    ) -> tuple[Mapping[str, Knobs], Mapping[str, str]]:
        """Also the groups above pods for which memory is kept; they stand under their own names."""
        lows = {groups[uid]: k.extra.memory_low for uid, k in wanted.items() if k.extra.memory_low and uid in groups}
        if not lows:
            return wanted, groups
        above = kept_above(self.layout, lows)
        more = {group: Knobs(extra=Extra(memory_low=low)) for group, low in above.items()}
        return {**wanted, **more}, {**groups, **dict(zip(above, above, strict=True))}

    def _due(self, path: str, now: float, *, back: bool = False) -> bool:
        refusal = self.refused.get(path)
        return refusal is None or refusal.back != back or now >= refusal.retry_at

    def _write(self, missing: list[tuple[str, Setting]], now: float) -> None:
        if not missing or self._dry_run:
            return
        # Beside values first: put back last, when what changes them is out of the way.
        entries = [self._entry(s.beside, s.beside_there, uid) for uid, s in missing if s.beside_there is not None]
        entries += [self._entry(s.path, s.there or "", uid, LINES if s.lines else FILE) for uid, s in missing]
        if not self._note(entries, now):
            # What was noted in an earlier round may still be moved.
            missing = [(uid, s) for uid, s in missing if self._noted(s.path)]
        for _, setting in missing:
            try:
                write_value(self._absolute(setting.path), setting.want, LINES if setting.lines else FILE)
            except OSError as error:
                if error.errno not in _GONE or self._group_is_there(setting.path):
                    self._refuse(setting.path, f"{setting.want}: {error.strerror}", now)
            else:
                self.writes += 1
                self.refused.pop(setting.path, None)

    def _group_is_there(self, path: str) -> bool:
        """The group of a file still lives: not a pod, or a container, that ended in this very round."""
        group = path.rpartition("/")[0]
        return self.layout.has_group(group if self.layout.version == 2 else group.partition("/")[2])

    def _hold_cache(self, cache: Cache | None, groups: Collection[str], now: float) -> set[str]:
        """Keep the tasks of these groups to their share of the cache; returns the path the journal knows it by."""
        path = resctrl.NAME
        if cache is None:
            return set()
        known = self._notes.get(path) is not None
        if self._dry_run or not self._due(path, now) or (known and self._round % TASKS_EVERY):
            return {path}
        root = self.layout.root
        if known or self._note([resctrl.entry(self._boot)], now):
            directories = [self.layout.directory("cpu", group) or root for group in groups]
            try:
                self.writes += resctrl.hold(root, schemata(cache, resctrl.hardware(root)), directories)
                self.refused.pop(path, None)
            except (OSError, ValueError) as error:
                self._refuse(path, f"resctrl: {getattr(error, 'strerror', None) or error}", now)
        return {path}

    def _put_back(self, held: set[str], now: float) -> bool:
        """Restore what we changed and no longer want; forget the groups that are gone. False: there was nothing."""
        done = []
        for entry in reversed(self._notes.entries):
            if entry.path in held or self._dry_run or not self._due(entry.path, now, back=True):
                continue
            try:
                put_back(entry, self.layout.root)
                done.append(entry.path)
            except OSError as error:
                self._refuse(entry.path, f"putting {entry.old} back: {error.strerror}", now, back=True)
        if done:
            try:
                if self._notes.drop(done):
                    self.refused.pop(self._notes.path, None)
            except OSError as error:
                self._refuse(self._notes.path, f"journal: {error.strerror}", now)
            for path in done:
                self.refused.pop(path, None)
        ours = held | {entry.path for entry in self._notes.entries} | {self._notes.path}
        for path in [path for path in self.refused if path not in ours]:
            del self.refused[path]
        return bool(done)

    def _entry(self, path: str, old: str, uid: str, kind: str = FILE) -> Entry:
        entry = Entry(path=path, old=old, uid=uid, group=0, boot=self._boot, kind=kind)
        entry.group = group_id(entry.directory(self.layout.root))
        return entry

    def _note(self, entries: list[Entry], now: float) -> bool:
        """Make old values durable. False: the disk has not taken them, so nothing new may be changed."""
        try:
            noted = self._notes.note(entries)
        except OSError as error:
            self._refuse(self._notes.path, f"journal: {error.strerror}", now)
            return False
        if noted:
            self.refused.pop(self._notes.path, None)
        return noted

    def _noted(self, path: str) -> bool:
        entry = self._notes.get(path)
        return entry is not None and entry.group == group_id(entry.directory(self.layout.root))

    def _refuse(self, path: str, reason: str, now: float, *, back: bool = False) -> None:
        before = self.refused.get(path)
        if before is not None and before.back != back:
            before = None
        wait = RETRY_FIRST if before is None else min(RETRY_MOST, before.wait * 2)
        if before is None:  # logged once, not at every retry
            log.warning("value refused", extra={"path": path, "reason": reason})
        self.refused[path] = Refusal(reason=reason, retry_at=now + wait, wait=wait, back=back)

    def _absolute(self, path: str) -> str:
        return f"{self.layout.root.rstrip('/')}/{path}"
