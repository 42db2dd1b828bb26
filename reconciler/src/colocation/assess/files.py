"""Traces on disk, one JSON object per line, gzip; answers of Prometheus, kept so that a stopped run can continue."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

import msgspec

from colocation.assess.shape import VERSION, Header, NodeTrace

_HEADER: Final = msgspec.json.Decoder(Header)
_NODE: Final = msgspec.json.Decoder(NodeTrace)
_KEEP_SECONDS: Final = 2 * 86400
_LONGEST: Final = 256 * 2**20
"""Bytes of a line: a node with 10,000 pods over two weeks."""


class TraceFileError(Exception):
    """A file that is no trace, and why."""


class Recording:
    """A trace file that is written: it appears whole, or not at all."""

    def __init__(self, path: Path, header: Header, rename: Callable[[NodeTrace], NodeTrace] | None = None) -> None:
        """``rename``: replaces names, for files that leave the house."""
        self._path, self._rename = path, rename
        self._part = path.with_name(path.name + ".part")
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._raw = os.fdopen(descriptor, "wb")
        self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=6, mtime=0)
        self._file.write(msgspec.json.encode(header) + b"\n")

    def write(self, node: NodeTrace) -> None:
        """Add a node."""
        self._file.write(msgspec.json.encode(self._rename(node) if self._rename else node) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        self._raw.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)


def read(path: Path) -> tuple[Header, Iterator[NodeTrace]]:
    """A trace file. Raises TraceFileError, OSError; so does the iterator."""
    lines = _lines(path)
    try:
        header = _HEADER.decode(next(lines))
    except (StopIteration, msgspec.DecodeError) as error:
        raise TraceFileError(f"{path}: no trace of `colocation assess --record`: {error}") from error
    if header.version != VERSION:
        raise TraceFileError(f"{path}: a trace of version {header.version}, and this command reads {VERSION}")
    return header, _nodes(path, lines)


def _nodes(path: Path, lines: Iterator[bytes]) -> Iterator[NodeTrace]:
    for number, line in enumerate(lines, 2):
        try:
            yield _NODE.decode(line)
        except msgspec.DecodeError as error:
            raise TraceFileError(f"{path}: line {number} is no node: {error}") from error


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) as file:
            while line := file.readline(_LONGEST):
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TraceFileError(f"{path}: torn, or no trace of `colocation assess --record`: {error}") from error


class Renamer:
    """Names become numbers, the same name the same number: nothing of the cluster's own can be read from a file."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def name(self, kind: str, name: str) -> str:
        """Its stand-in."""
        return self._known.setdefault((kind, name), f"{kind}-{len(self._known) + 1}") if name else ""

    def node(self, node: NodeTrace) -> NodeTrace:
        """A copy with other names."""
        pods = [
            msgspec.structs.replace(
                pod,
                namespace=self.name("namespace", pod.namespace),
                name=self.name("pod", f"{pod.namespace}/{pod.name}"),
                owner=self.name("owner", f"{pod.namespace}/{pod.owner}") if pod.owner else "",
            )
            for pod in node.pods
        ]
        pool = self.name("pool", node.pool)
        return msgspec.structs.replace(node, name=self.name("node", node.name), pool=pool, pods=pods)

    def header(self, header: Header) -> Header:
        """A copy without names; advice that names workloads is left out."""
        inventory = msgspec.structs.replace(
            header.inventory, cluster="", selectors={}, candidates=[], at_risk=[], obstacles=[]
        )
        return msgspec.structs.replace(header, source="recorded", inventory=inventory)


class DiskCache:
    """Answers about the past, one file each, for two days."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Make the folder, for this user only, and drop what is old. Raises OSError."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in folder.glob("*.gz"):
            if clock() - old.stat().st_mtime > _KEEP_SECONDS:
                old.unlink(missing_ok=True)
        self.hits = 0

    def get(self, key: str) -> bytes | None:
        """What was put; a torn file counts as none."""
        try:
            body = gzip.decompress(self._at(key).read_bytes())
        except (OSError, EOFError, zlib.error):
            return None
        self.hits += 1
        return body

    def put(self, key: str, body: bytes) -> None:
        """Keep it; a full disk costs the cache, not the run."""
        path = self._at(key)
        part = path.with_suffix(f".{os.getpid()}-{id(body)}")
        try:
            part.write_bytes(gzip.compress(body, 1))
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)

    def _at(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.gz"

    @property
    def unfinished(self) -> Path:
        """Says which window a run that was stopped was about."""
        return self._folder / "unfinished.json"
