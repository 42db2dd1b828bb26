"""OCI image layouts: what a build tool wrote, made into archives that are the same bytes for the same image.

A layout is a folder of blobs named after their digest, and index.json. Archives are written member by member, sorted,
with neither times nor owners: the tools' own archives differ from run to run.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""OCI's name of an architecture to the one in file names."""
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True)
class Image:
    """A multi-architecture image in a layout: one index, and one manifest an architecture."""

    layout: Path
    digest: str
    """Digest of the index, which is pulled and signed."""

    def blob(self, digest: str) -> bytes:
        """A blob's bytes."""
        return (self.layout / "blobs" / digest.replace(":", "/")).read_bytes()

    def read(self, digest: str) -> dict[str, Any]:
        """A blob that is JSON."""
        decoded: dict[str, Any] = json.loads(self.blob(digest))
        return decoded

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Architecture to the descriptor of its manifest."""
        return {entry["platform"]["architecture"]: entry for entry in self.read(self.digest)["manifests"]}

    def layers(self, architecture: str) -> list[dict[str, Any]]:
        """The descriptors of an architecture's layers, the base first."""
        layers: list[dict[str, Any]] = self.read(self.manifests[architecture]["digest"])["layers"]
        return layers

    def size(self, architecture: str) -> int:
        """Bytes a node pulls: layers, configuration and manifest."""
        entry = self.manifests[architecture]
        manifest = self.read(entry["digest"])
        return int(entry["size"] + manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"]))


def load(layout: Path) -> Image:
    """The image of a layout that `finish` has written."""
    index = json.loads((layout / "index.json").read_text())
    return Image(layout, index["manifests"][0]["digest"])


def finish(layout: Path, names: list[str], annotations: dict[str, str]) -> Image:
    """Make what a tool built into one annotated index in a fixed order, under these names; drop what else is there."""
    manifests = sorted(_platforms(layout), key=lambda entry: str(entry["platform"]["architecture"]))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": annotations}
    data = _encode(index)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (layout / "blobs" / digest.replace(":", "/")).write_bytes(data)
    (layout / "index.json").write_bytes(_names(digest, len(data), names))
    (layout / "oci-layout").write_bytes(_LAYOUT)
    image = Image(layout, digest)
    wanted = {digest.partition(":")[2], *(d.partition(":")[2] for a in image.manifests for d in reachable(image, a))}
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.name not in wanted:
            blob.unlink()
    return image


def pack(image: Image, archive: Path) -> None:
    """The whole layout as one tar: containerd imports it, skopeo takes it to a registry."""
    members = {path.relative_to(image.layout).as_posix(): path for path in image.layout.rglob("*") if path.is_file()}
    _write(archive, {name: path.read_bytes() for name, path in members.items()})


def pack_one(image: Image, architecture: str, names: list[str], archive: Path) -> None:
    """One architecture as a tar that is both an OCI layout and what `docker load` takes."""
    entry = image.manifests[architecture]
    manifest = image.read(entry["digest"])

    def place(digest: str) -> str:
        return f"blobs/{digest.replace(':', '/')}"

    docker = [
        {
            "Config": place(manifest["config"]["digest"]),
            "RepoTags": names,
            "Layers": [place(layer["digest"]) for layer in manifest["layers"]],
        }
    ]
    members = {place(digest): image.blob(digest) for digest in reachable(image, architecture)}
    members["oci-layout"] = _LAYOUT
    members["index.json"] = _names(entry["digest"], entry["size"], names, entry["mediaType"])
    members["manifest.json"] = _encode(docker)
    _write(archive, members)


def pack_rootfs(image: Image, architecture: str, archive: Path) -> None:
    """The root file system of one architecture: its layers laid over each other, as a tar that is no image."""
    files: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    for layer in image.layers(architecture):
        with tarfile.open(fileobj=io.BytesIO(image.blob(layer["digest"]))) as tar:
            for member in tar:
                path = PurePosixPath(member.name.removeprefix("./"))
                if path.name.startswith(".wh."):
                    # A layer's note that what lay below is gone: one entry, or all of a folder.
                    gone = (
                        path.parent if path.name == ".wh..wh..opq" else path.with_name(path.name.removeprefix(".wh."))
                    )
                    files = {name: kept for name, kept in files.items() if not PurePosixPath(name).is_relative_to(gone)}
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                member.name = str(path)
                files[member.name] = (member, stream.read() if stream else b"")
    temporary = archive.with_suffix(".tmp")
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as out:
        for name in sorted(files):
            member, data = files[name]
            out.addfile(member, io.BytesIO(data))
    temporary.replace(archive)


def _platforms(layout: Path) -> list[dict[str, Any]]:
    """The manifests of all platforms, however deep; attestations of BuildKit (no platform) are none."""
    waiting = list(json.loads((layout / "index.json").read_text())["manifests"])
    layers = {}
    while waiting:
        entry = waiting.pop()
        blob = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
        if "manifests" in blob:
            waiting += blob["manifests"]
        elif "layers" in blob:
            config = json.loads((layout / "blobs" / blob["config"]["digest"].replace(":", "/")).read_text())
            platform = {key: config[key] for key in ("architecture", "os") if config.get(key)}
            if platform.get("architecture") in MACHINES:
                plain = {key: entry[key] for key in ("mediaType", "digest", "size")}
                layers[platform["architecture"]] = {**plain, "platform": platform}
    return list(layers.values())


def reachable(image: Image, architecture: str) -> list[str]:
    """Digests of all that one architecture consists of."""
    entry = image.manifests[architecture]
    manifest = image.read(entry["digest"])
    return [entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]


def _names(digest: str, size: int, names: list[str], media_type: str = INDEX) -> bytes:
    """index.json: the same image once for each name, as containerd and skopeo look for it."""
    entry = {"mediaType": media_type, "digest": digest, "size": size}
    keys = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
    manifests = [{**entry, "annotations": dict.fromkeys(keys, name)} for name in names]
    return _encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _write(archive: Path, members: dict[str, bytes]) -> None:
    temporary = archive.with_suffix(".tmp")
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(members[name]), 0o644
            tar.addfile(info, io.BytesIO(members[name]))
    temporary.replace(archive)
