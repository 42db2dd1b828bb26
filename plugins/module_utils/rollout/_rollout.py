# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Decisions about a rollout, without I/O: who may change the cluster now, and what is gone back to."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import ROLLOUT_CONFIGMAP
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._state import age_seconds

JSON = t.Dict[str, t.Any]
CARRIERS = 9
OURS = "openfuyao.colocation"
"""Value of app.kubernetes.io/managed-by on the policies that a rollout made."""


def stamp(now: datetime.datetime) -> str:
    """A Lease's time: RFC 3339 with microseconds."""
    return now.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def held_by(lease: JSON | None, me: str, gone: t.Sequence[str], now: datetime.datetime) -> str | None:
    """The holder that keeps others out; None if the Lease may be taken.

    It may be taken if it has no holder, if it is mine, if its holder is known to be gone, or if it was not renewed in time.
    """
    spec = (lease or {}).get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder or holder == me or holder in gone:
        return None
    age = age_seconds(str(spec.get("renewTime") or ""), now)
    if age is None or age > int(spec.get("leaseDurationSeconds") or 0):
        return None
    return str(holder)


def refusal(lease: JSON, holder: str, now: datetime.datetime) -> str:
    spec = lease["spec"]
    left = int(spec.get("leaseDurationSeconds") or 0) - (age_seconds(str(spec.get("renewTime")), now) or 0)
    return (
        f"Another rollout is at work: {holder.partition(':')[0]}, since {spec.get('acquireTime')}. Wait until it is done. "
        f"If it has died, its Lease is free in {max(0, left)} s, or at once after: kubectl delete lease -n "
        f"{lease['metadata']['namespace']} {lease['metadata']['name']}. Nothing was changed."
    )


def release_of(secrets: t.Iterable[JSON]) -> JSON | None:
    """The Helm release as it stands: its newest revision, whatever became of it."""
    newest = max(secrets, key=_revision, default=None)
    if newest is None:
        return None
    chart = unpacked(newest).get("chart") or {}
    return {
        "revision": _revision(newest),
        "status": newest["metadata"]["labels"].get("status", ""),
        "version": str((chart.get("metadata") or {}).get("version", "")),
    }


def values_of(secrets: t.Iterable[JSON], revision: int) -> JSON:
    """The values that a revision was installed with, defaults left out."""
    return next((unpacked(s).get("config") or {} for s in secrets if _revision(s) == revision), {})


def unpacked(secret: JSON) -> JSON:
    """What Helm wrote down of a revision; nothing where that cannot be read."""
    try:
        result = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    except (KeyError, ValueError, OSError):
        return {}
    return result if isinstance(result, dict) else {}


def good_revision(secrets: t.Sequence[JSON]) -> JSON | None:
    """The newest revision that Helm finished; one that hangs or failed is nothing to go back to."""
    done = [s for s in secrets if s["metadata"]["labels"].get("status") in ("deployed", "superseded")]
    deployed = [s for s in done if s["metadata"]["labels"].get("status") == "deployed"]
    return release_of(deployed or done)


def _revision(secret: JSON) -> int:
    return int(secret["metadata"]["labels"].get("version", 0))


def policies_of(objects: t.Iterable[JSON], by_hand: bool = False) -> list[JSON]:
    """The policies that a rollout made, or those that none made, as they are now."""
    created = [
        o
        for o in objects
        if ((o["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") != OURS) is by_hand
    ]
    return sorted(({"name": o["metadata"]["name"], "spec": o.get("spec") or {}} for o in created), key=lambda p: p["name"])


def snapshot(release: JSON | None, policies: list[JSON], settings: JSON) -> JSON | None:
    """What there is to go back to; None before the first installation."""
    if release is None:
        return None
    return {"revision": release["revision"], "version": release["version"], "policies": policies, "settings": settings}


def begun(notes: JSON, now_there: JSON | None) -> JSON:
    """Notes at the start of a rollout.

    The state that an unfinished rollout saved is kept: the present state is half changed, and no rollback must lead to it.
    """
    if notes.get("pending") or now_there is None:
        return notes
    return {**notes, "pending": now_there}


def ended(notes: JSON, now_there: JSON | None, settings: JSON) -> JSON:
    """Notes at the end of a rollout: what was there before is the step back, if anything is different now."""
    after = {key: value for key, value in notes.items() if key != "pending"}
    kept = {**(notes.get("settings") or {}), **settings}
    after["settings"] = {node: value for node, value in kept.items() if any(value.values())}
    pending = notes.get("pending")
    if pending and now_there and pending != {**now_there, "settings": after["settings"]}:
        after["previous"] = pending
    return after


def carriers(notes: JSON, sha256: str, nodes: t.Sequence[str], known: t.Collection[str]) -> list[str]:
    """Nodes that have the images of this archive: those that got them before, then those of this play.

    The manager may run on these only. A few are enough, and the same few: each change would move the manager.
    """
    before = (notes.get("image") or {}) if sha256 == (notes.get("image") or {}).get("sha256") else {}
    return [n for n in dict.fromkeys([*(before.get("nodes") or []), *nodes]) if n in known][:CARRIERS]


def without(notes: JSON, leaving: t.Collection[str]) -> JSON:
    """Notes without the nodes that leave. Raises ValueError if no other node has the manager's image."""
    image = notes.get("image") or {}
    nodes = [n for n in image.get("nodes") or [] if n not in leaving]
    if image.get("nodes") and not nodes:
        raise ValueError(
            f"Only the nodes that leave ({', '.join(sorted(leaving))}) have the manager's image. Bring it to another one first "
            "(site or add_nodes with colocation_image_archive), or take everything away (uninstall). Nothing was changed."
        )
    return {**notes, "image": {**image, "nodes": nodes}} if image else notes


def affinity(nodes: t.Iterable[str]) -> JSON:
    """Node affinity for these Nodes by name; none for none. One name a term: a field takes one value only."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [n]}]} for n in nodes]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": required} if terms else {}


def target(notes: JSON) -> JSON | None:
    """Where a step back leads: out of an unfinished rollout, else before the last one that changed something."""
    return notes.get("pending") or notes.get("previous")


def undone(notes: JSON) -> JSON:
    """Notes after the step back: it is used up, and the settings are those of then."""
    after = {key: value for key, value in notes.items() if key not in ("pending", "previous")}
    went = target(notes)
    if went:
        after["settings"] = went.get("settings") or {}
    return after


def interrupted(secrets: t.Iterable[JSON]) -> list[JSON]:
    """Helm's notes of an installation, upgrade or rollback that has not ended: helm refuses the next one while such a note is there."""
    return [s for s in secrets if s["metadata"]["labels"].get("status", "").startswith("pending-")]


def not_ours(cut: JSON) -> str:
    """Why a note is left alone that no roll-out of this collection has left behind."""
    labels, created = cut["metadata"]["labels"], cut["metadata"].get("creationTimestamp", "?")
    return (
        f"Helm's release {labels.get('name')} is {labels.get('status')} since {created} (revision {_revision(cut)}), and no roll-out of this "
        f"collection left it so. Wait until that helm has ended; if it was killed: helm rollback {labels.get('name')} -n "
        f"{cut['metadata'].get('namespace')}. Nothing was changed."
    )


STEPS = ("pending", "previous")
FULL = 1_000_000
"""Bytes that the ConfigMap may hold; the API server refuses it above 1 MiB."""


def written(notes: JSON) -> str:
    """Notes as they are kept: each settings once, with the nodes that have them, since most nodes have the same."""
    packed = {**notes, **{step: {**notes[step], "settings": _packed(notes[step])} for step in STEPS if notes.get(step)}}
    if "settings" in notes:
        packed["settings"] = _packed(notes)
    return json.dumps(packed, sort_keys=True)


def read(text: str | None) -> JSON:
    """Notes out of what is kept."""
    notes: JSON = json.loads(text or "{}")
    for place in (notes, *(notes[step] for step in STEPS if notes.get(step))):
        if "settings" in place:
            place["settings"] = {node: row["settings"] for row in place["settings"] for node in row["nodes"]}
    return notes


def _packed(place: JSON) -> list[JSON]:
    rows: dict[str, JSON] = {}
    for node, settings in sorted((place.get("settings") or {}).items()):
        rows.setdefault(json.dumps(settings, sort_keys=True), {"settings": settings, "nodes": []})["nodes"].append(node)
    return list(rows.values())


def too_big(kept: JSON | None, notes: JSON, nodes: t.Collection[str]) -> str | None:
    """Why a roll-out could not be noted at its end, found at its start: by then there are two steps, with settings of every node."""
    settings = {**{node: {} for node in nodes}, **(notes.get("settings") or {})}
    step = {**(notes.get("pending") or {}), "settings": settings}
    end = written({**notes, "settings": settings, "pending": step, "previous": step})
    others = sum(len(str(value).encode()) for key, value in ((kept or {}).get("data") or {}).items() if key != "steps")
    size = len(end.encode()) + others
    if size <= FULL:
        return None
    return (
        f"What this roll-out would have to note in ConfigMap {ROLLOUT_CONFIGMAP} is {size} bytes, and {FULL} fit ({len(nodes)} nodes). "
        "Give nodes the same settings, not each its own, or roll out to fewer nodes. Nothing was changed."
    )
