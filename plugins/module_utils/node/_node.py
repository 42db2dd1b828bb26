# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What the modules on a node share: its files, what was there before us, and facts without a fact gathering.

Standard library only; runs with the node's own Python, 3.9 or newer.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import stat
import tarfile
import typing as t

JSON = t.Dict[str, t.Any]

SYSCTL_FILE = "/etc/sysctl.d/90-openfuyao-colocation.conf"
MODULES_FILE = "/etc/modules-load.d/openfuyao-colocation.conf"
HEADER = "# Written by the Ansible collection openfuyao.colocation; its uninstall removes this file.\n"


def read(path: str) -> str | None:
    """A small text file, or None where there is none; bytes that are no text, and line ends, survive read() and write()."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            return None
        raise


def write(path: str, text: str, mode: int | None = 0o644) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one, and others never more than they may read of the old.

    Mode None: as it has been, with owner, ACL and SELinux context. (C(module.atomic_move) would lose the ACL.)
    """
    path = os.path.realpath(path)  # a link stays one
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.colocation-new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)  # of a run that was cut off
        with open(new, "x", encoding="utf-8", errors="surrogateescape", newline="", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            _like(path, file.fileno(), mode)
        os.replace(new, path)
    except OSError as e:
        with contextlib.suppress(OSError):
            os.unlink(new)
        # A full disk names no file, and the user does not know the temporary file's name.
        raise OSError(e.errno, e.strerror, path) from e


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _like(path: str, new: int, mode: int | None) -> None:
    """Owner, mode and extended attributes of the file that is replaced; the ACL last, since chmod would change its mask."""
    if not os.path.exists(path):
        os.fchmod(new, 0o644 if mode is None else mode)
        return
    have = os.stat(path)
    if mode is None:
        os.fchown(new, have.st_uid, have.st_gid)
    os.fchmod(new, stat.S_IMODE(have.st_mode) if mode is None else mode)
    try:
        names = os.listxattr(path)
    except OSError:  # a file system without them
        return
    for name in names if mode is None else [item for item in names if item == "security.selinux"]:
        os.setxattr(new, name, os.getxattr(path, name))


class Before:
    """What was there before us, one JSON file in the state directory; the first note of a thing stays."""

    def __init__(self, state_dir: str) -> None:
        self.path = os.path.join(state_dir, "before", "node.json")
        text = read(self.path)
        try:
            self.notes: JSON = json.loads(text) if text else {}
        except ValueError as e:
            raise ValueError(f"{self.path} cannot be read as JSON ({e}); repair or remove it") from e

    def section(self, name: str) -> JSON:
        return self.notes.setdefault(name, {})

    def note(self, section: str, key: str, value: t.Any) -> None:
        self.section(section).setdefault(key, value)

    def save(self) -> None:
        write(self.path, json.dumps(self.notes, indent=2, sort_keys=True) + "\n", 0o600)


def booted(root: str = "/") -> bool:
    """False in an image that is being built: files can be written there, nothing can be started or loaded."""
    return os.path.isdir(os.path.join(root, "run/systemd/system"))


def sysctl_path(name: str, proc: str = "/proc") -> str:
    """net.ipv4.conf.eth0/1.x: sysctl's own rule is that dots and slashes change places."""
    return os.path.join(proc, "sys", *name.translate(str.maketrans("./", "/.")).split("/"))


def same_value(have: str | None, want: str) -> bool:
    """The kernel answers with tabs between numbers."""
    return have is not None and have.split() == str(want).split()


def sysctl_text(wanted: t.Mapping[str, t.Any]) -> str:
    return HEADER + "".join(f"{name} = {wanted[name]}\n" for name in sorted(wanted))


def modules_text(wanted: t.Iterable[str]) -> str:
    return HEADER + "".join(f"{name}\n" for name in wanted)


def loaded(module: str, sys: str = "/sys") -> bool:
    return os.path.isdir(os.path.join(sys, "module", module.replace("-", "_")))


def unknown_sysctls(
    names: t.Iterable[str], modules: t.Iterable[str], proc: str = "/proc", sys: str = "/sys"
) -> list[str]:
    """Parameters that this kernel does not have; none while a module that may bring them is yet to be loaded."""
    if not all(loaded(item, sys) for item in modules):
        return []
    return [name for name in names if not os.path.isfile(sysctl_path(name, proc))]


def os_release(text: str | None) -> dict[str, str]:
    """ID, VERSION_ID and PRETTY_NAME of /etc/os-release."""
    fields = dict(line.split("=", 1) for line in (text or "").splitlines() if "=" in line and not line.startswith("#"))
    return {
        key: fields.get(name, "").strip().strip("\"'")
        for key, name in (("id", "ID"), ("version", "VERSION_ID"), ("name", "PRETTY_NAME"))
    }


def machine_id(root: str = "/") -> str:
    """The id that kubelet reports as nodeInfo.machineID: from the first of these files that there is."""
    texts = (read(os.path.join(root, path)) for path in ("etc/machine-id", "var/lib/dbus/machine-id"))
    return next((text.strip() for text in texts if text and text.strip()), "")


def meminfo(text: str | None) -> dict[str, int]:
    """MemTotal and MemAvailable in bytes."""
    result = {}
    for line in (text or "").splitlines():
        name, _colon, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            result[name] = int(rest.split()[0]) * 1024
    return result


def local_ipv4(fib_trie: str | None) -> list[str]:
    """Addresses of this machine out of /proc/net/fib_trie: the line before each "/32 host LOCAL"."""
    result: set[str] = set()
    last = ""
    for line in (fib_trie or "").splitlines():
        tokens = line.split()
        if tokens[:1] == ["|--"]:
            last = tokens[1]
        elif tokens[:3] == ["/32", "host", "LOCAL"] and not last.startswith("127."):
            result.add(last)
    return sorted(result)


def local_ipv6(if_inet6: str | None) -> list[str]:
    """Addresses out of /proc/net/if_inet6, without loopback and link-local ones."""
    result = set()
    for line in (if_inet6 or "").splitlines():
        packed = line.split()[0] if line.split() else ""
        with contextlib.suppress(ValueError, OSError):
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed))
            if address != "::1" and not address.startswith("fe80"):
                result.add(address)
    return sorted(result)


def free_bytes(path: str) -> int:
    """Free space where this path is, or will be."""
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    there = os.statvfs(path)
    return there.f_bavail * there.f_frsize


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


NEEDS_ROOT = "this needs root on the node: set ansible_become for the group colocation_nodes, or give -b"


def require_root(module: t.Any) -> None:
    """End the module if it does not run as root: else the first file says "permission denied", and not what to do."""
    if os.geteuid() != 0:
        module.fail_json(msg=f"{NEEDS_ROOT[0].upper()}{NEEDS_ROOT[1:]}. Nothing was changed.")


def capability_problems(capabilities: JSON, memory_needed: int, disk_needed: int) -> list[str]:
    """Why this node cannot take part, in words; empty when it can."""
    problems = []
    features = capabilities["features"]
    if capabilities["system"] != "Linux":
        return [f"it runs {capabilities['system']}, and only Linux nodes can take part"]
    if capabilities["cgroup_version"] not in (1, 2):
        problems.append("no cgroup hierarchy was found below /sys/fs/cgroup")
    else:
        for name, need in (
            ("cpu.quota", "best-effort pods could not be capped"),
            ("memory.limit", "their memory could not be"),
        ):
            feature = features.get(name)
            if not feature or not feature["available"]:
                problems.append(f"{name} does not work ({feature['reason'] if feature else 'not tried'}): {need}")
    if capabilities["pods"] and not capabilities["pods_with_containers"]:
        problems.append(
            f"none of its {capabilities['pods']} pods' control groups holds a container, so best-effort pods could not be "
            "limited: kubelet and the container runtime must use the same cgroup driver"
        )
    total, free = capabilities["memory_bytes"], capabilities["disk_free_bytes"]
    if total < memory_needed:
        problems.append(f"it has {total >> 20} MiB of memory, {memory_needed >> 20} are needed")
    if free < disk_needed:
        problems.append(f"{free >> 20} MiB are free for the node's state, {disk_needed >> 20} are needed")
    return problems


def image_plan(wanted_sha: str, note: JSON | None, present: t.Mapping[str, str]) -> bool:
    """True if the archive has to be imported: it is another one, or its images are gone or others by now."""
    if not note or note.get("sha256") != wanted_sha:
        return True
    images = note.get("images") or {}
    return not images or any(present.get(name) != digest for name, digest in images.items())


def parse_images(listing: str) -> dict[str, str]:
    """Name to digest out of C(ctr images ls), CRI's own names (C(sha256:...)) included."""
    result = {}
    for line in listing.splitlines():
        tokens = line.split()
        digest = next((w for w in tokens[1:] if w.startswith("sha256:")), None)
        if digest:
            result[tokens[0]] = digest
    return result


def imported(
    before: t.Mapping[str, str], after: t.Mapping[str, str], answer: str, archive: t.Iterable[str]
) -> dict[str, str]:
    """The images of an import: the new or different ones, ctr's output, and the names in the archive."""
    tokens = set(answer.split()) | set(archive)
    return {
        name: digest
        for name, digest in after.items()
        if not name.startswith("sha256:") and (before.get(name) != digest or name in tokens)
    }


def archive_names(path: str) -> list[str]:
    """Image names that an archive (OCI layout or docker save) carries."""
    names: list[str] = []
    with tarfile.open(path) as tar:
        for member, find in (("index.json", _oci_names), ("manifest.json", _docker_names)):
            with contextlib.suppress(KeyError, ValueError, AttributeError):
                names += find(json.load(tar.extractfile(member)))  # type: ignore[arg-type]
    return names


def _oci_names(index: JSON) -> list[str]:
    notes = [m.get("annotations") or {} for m in index.get("manifests") or []]
    return [
        n[key] for n in notes for key in ("io.containerd.image.name", "org.opencontainers.image.ref.name") if key in n
    ]


def _docker_names(manifest: list[JSON]) -> list[str]:
    return [tag for entry in manifest for tag in entry.get("RepoTags") or []]
