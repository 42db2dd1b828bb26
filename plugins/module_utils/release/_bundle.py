# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""A bundle: one tar with all that a site without internet needs, its checksums first, and its bill of materials.

The same content gives the same bytes: members are sorted, and carry neither times nor owners.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import stat
import struct
import tarfile
import typing as t
import uuid

JSON = t.Dict[str, t.Any]
FORMAT = 1
MANIFEST, SBOM, README = "bundle.json", "sbom.cdx.json", "README.txt"
HOW_TO = b"""What a site without internet needs for openfuyao.colocation. bundle.json lists each file with its checksum.

On the control machine (Python and ssh are there; PATH is where this archive is):

    mkdir colocation && tar -xf PATH -C colocation
    python3 -m venv colocation/venv
    colocation/venv/bin/pip install --no-index --find-links colocation/wheels ansible-core kubernetes
    colocation/venv/bin/ansible-galaxy collection install --offline -p colocation/ansible colocation/collections/*.tar.gz
    export ANSIBLE_COLLECTIONS_PATH=$PWD/colocation/ansible

    colocation/venv/bin/ansible-playbook -i inventory.yml openfuyao.colocation.site -e colocation_bundle=PATH
    colocation/venv/bin/ansible-playbook -i inventory.yml openfuyao.colocation.upgrade -e colocation_bundle=PATH

Images, chart and helm are taken from the archive then, after every byte was compared with the list.
"""
FOLDERS = {
    "image": "images",
    "chart": "charts",
    "collection": "collections",
    "wheel": "wheels",
    "program": "bin",
    "deb": "debs",
}
ARCHITECTURES = {62: "amd64", 183: "arm64"}
"""e_machine of an ELF file."""
BLOCK = 1 << 20


class BundleError(Exception):
    """What the user gets to read."""


def digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def elf_architecture(path: str) -> str | None:
    """The architecture of a program; None if it is unknown."""
    with open(path, "rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    return ARCHITECTURES.get(struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])[0])


def image_architectures(path: str) -> list[str]:
    """The architectures for which an image archive (OCI layout or C(docker save)) has an image."""
    try:
        with tarfile.open(path) as tar:
            names = set(tar.getnames())

            def load(name: str) -> t.Any:
                file = tar.extractfile(name)
                return json.load(file) if file else {}

            def blob(descriptor: JSON) -> t.Any:
                return load("blobs/" + descriptor["digest"].replace(":", "/"))

            def below(descriptor: JSON) -> t.Iterator[str]:
                content = blob(descriptor)
                if "manifests" in content:
                    for manifest in content["manifests"]:
                        yield from below(manifest)
                elif "config" in content:
                    yield str(blob(content["config"]).get("architecture"))

            if "index.json" in names:
                digest = {a for manifest in load("index.json")["manifests"] for a in below(manifest)}
            else:
                digest = {str(load(entry["Config"]).get("architecture")) for entry in load("manifest.json")}
    except (tarfile.TarError, KeyError, ValueError, TypeError, OSError) as e:
        raise BundleError(f"{path} is no image archive that can be read: {e}") from e
    return sorted(digest - {"None", "unknown"})


def component(kind: str, path: str, name: str, sha256: str) -> JSON:
    """One entry of the bill of materials."""
    base = os.path.basename(name)
    built: JSON = {
        "type": "container" if kind == "image" else "application" if kind in ("program", "chart") else "library",
        "bom-ref": name,
        "name": base,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "properties": [{"name": "openfuyao:bundle:path", "value": name}],
    }
    version = None
    if kind == "wheel":
        built["name"], version = base.split("-")[:2]
        built["purl"] = f"pkg:pypi/{re.sub(r'[-_.]+', '-', built['name']).lower()}@{version}"
    elif kind == "deb":
        built["name"], version = base[: -len(".deb")].split("_")[:2]
        built["purl"] = f"pkg:deb/debian/{built['name']}@{version.replace('%3a', ':')}"
    elif kind == "chart":
        digest = re.match(r"(.+?)-(\d+\.\d+\.\d+.*)\.tgz$", base)
        if digest:
            built["name"], version = digest.groups()
            built["purl"] = f"pkg:helm/{built['name']}@{version}"
    elif kind == "collection":
        info = collection_info(path)
        built["name"], version = f"{info['namespace']}.{info['name']}", str(info["version"])
        licences = [licence for licence in info.get("license") or [] if licence]
        if licences:
            built["licenses"] = [{"expression": " AND ".join(licences)}]
    if version:
        built["version"] = version
    bill = re.sub(r"\.tar$", ".cdx.json", name)
    if kind == "image" and os.path.exists(re.sub(r"\.tar$", ".cdx.json", path)):
        built["externalReferences"] = [{"type": "bom", "url": bill}]
    return built


def sbom(version: str, components: list[JSON]) -> bytes:
    """CycloneDX 1.6 of the whole bundle; the same for the same content."""
    text = json.dumps(components, sort_keys=True)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, text)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "bundle", "name": "colocation-bundle", "version": version}
        },
        "components": components,
    }
    return json.dumps(bill, indent=1, sort_keys=True).encode() + b"\n"


def collection_info(artifact: str) -> JSON:
    try:
        with tarfile.open(artifact) as tar:
            file = tar.extractfile("MANIFEST.json")
            return json.load(file)["collection_info"] if file else {}
    except (tarfile.TarError, KeyError, ValueError, OSError) as e:
        raise BundleError(f"{artifact} is no collection artifact: {e}") from e


def pack_collection(folder: str, target: str) -> str:
    """An installed collection as an artifact again; returns its path.

    Distributions drop files (tests, most often), so the list of files and its checksum are computed again.
    """
    try:
        with open(os.path.join(folder, "MANIFEST.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        with open(os.path.join(folder, "FILES.json"), encoding="utf-8") as file:
            files = json.load(file)
    except OSError as e:
        raise BundleError(
            f"{folder} is no installed collection (it has no {os.path.basename(e.filename)}). Install its artifact and run "
            "from there, or name the artifact in colocation_bundle_collections."
        ) from e
    there = [row for row in files["files"] if os.path.lexists(os.path.join(folder, row["name"]))]
    for row in there:
        if row["ftype"] == "file":
            row["chksum_sha256"] = digest(os.path.join(folder, row["name"]))
    listed = json.dumps({**files, "files": there}, indent=1).encode()
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(listed).hexdigest()
    info = manifest["collection_info"]
    built = os.path.join(target, f"{info['namespace']}-{info['name']}-{info['version']}.tar.gz")
    members: dict[str, t.Any] = {"MANIFEST.json": json.dumps(manifest, indent=1).encode(), "FILES.json": listed}
    for row in there:
        if row["name"] != ".":
            members[row["name"]] = os.path.join(folder, row["name"])
    with open(built, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as zipped:
        write_tar(t.cast(t.BinaryIO, zipped), members)
    return built


def write_tar(stream: t.BinaryIO, members: t.Mapping[str, t.Any]) -> None:
    """Bytes, or what is at a path, under each name; the first name first, the others sorted."""
    first, *others = members
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in [first, *sorted(others)]:
            content = members[name]
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
                continue
            there = os.lstat(content)
            info.mode = 0o755 if there.st_mode & stat.S_IXUSR else 0o644
            if stat.S_ISDIR(there.st_mode):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif stat.S_ISLNK(there.st_mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(content)
                tar.addfile(info)
            else:
                info.size = there.st_size
                with open(content, "rb") as file:
                    tar.addfile(info, file)


def manifest_of(
    version: str,
    architectures: list[str],
    files: t.Mapping[str, tuple[str, str]],
    texts: t.Mapping[str, tuple[str, bytes]],
) -> JSON:
    """Name to (kind, path on disk) and to (kind, content) -> what bundle.json says."""
    rows: JSON = {}
    for name, (kind, path) in sorted(files.items()):
        row: JSON = {"kind": kind, "sha256": digest(path), "size": os.path.getsize(path)}
        if kind == "image":
            row["architectures"] = image_architectures(path)
        elif kind == "program":
            row["architectures"] = [a for a in [elf_architecture(path)] if a]
        rows[name] = row
    for name, (kind, content) in texts.items():
        rows[name] = {"kind": kind, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    there = {a for row in rows.values() if row["kind"] == "image" for a in row["architectures"]}
    missing = [a for a in architectures if a not in there]
    if missing:
        raise BundleError(
            f"No image for {', '.join(missing)}. Name an archive that has one in colocation_bundle_images, or leave the "
            "architecture out of colocation_bundle_architectures."
        )
    return {"format": FORMAT, "version": version, "architectures": architectures, "files": rows}


def encode(answer: JSON) -> bytes:
    return json.dumps(answer, indent=1, sort_keys=True).encode() + b"\n"


def read_manifest(tar: tarfile.TarFile, path: str) -> JSON:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isfile():
        raise BundleError(f"{path} is no bundle: its first member is not {MANIFEST}. The playbook bundle makes one.")
    file = tar.extractfile(first)
    answer: JSON = json.load(file) if file else {}
    if answer.get("format") != FORMAT:
        raise BundleError(
            f"{path} is a bundle of format {answer.get('format')}, and this collection reads {FORMAT}. Use the collection "
            "that is in it."
        )
    return answer


def unpack(path: str, target: str) -> JSON:
    """Check every byte against the manifest while writing it; what does not fit leaves nothing behind that is used."""
    with tarfile.open(path, "r|") as tar:
        answer = read_manifest(tar, path)
        wanted = dict(answer["files"])
        for number, member in enumerate(tar):
            if number == 0:  # the list itself, which was read
                continue
            row = wanted.pop(member.name, None)
            if row is None or not member.isfile() or member.name.startswith("/") or ".." in member.name.split("/"):
                raise BundleError(
                    f"{path}: {member.name} is not in the bundle's list. It was changed on its way; fetch it again."
                )
            place = os.path.join(target, member.name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            digest, source = hashlib.sha256(), tar.extractfile(member)
            if source is None:
                raise BundleError(f"{path}: {member.name} cannot be read. Fetch it again.")
            with open(place, "wb") as file:
                for block in iter(lambda s=source: s.read(BLOCK), b""):
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() != row["sha256"]:
                raise BundleError(f"{path}: {member.name} has another checksum than the list says. Fetch it again.")
            os.chmod(place, 0o755 if row["kind"] == "program" else 0o644)
    if wanted:
        raise BundleError(f"{path} is not complete: {', '.join(sorted(wanted))} missing. Fetch it again.")
    return answer


def contents(answer: JSON, target: str) -> JSON:
    """What a rollout takes from an unpacked bundle."""
    rows = answer["files"]

    def of(kind: str) -> list[str]:
        return sorted(name for name, row in rows.items() if row["kind"] == kind)

    def by_architecture(kind: str) -> dict[str, str]:
        return {a: os.path.join(target, name) for name in of(kind) for a in rows[name].get("architectures", [])}

    charts = of("chart")
    return {
        "version": answer["version"],
        "images": by_architecture("image"),
        "helm": by_architecture("program"),
        "chart": os.path.join(target, charts[0]) if charts else "",
        "path": target,
    }
