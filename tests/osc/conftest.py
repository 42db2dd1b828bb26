"""The collection importable, the real Helm, and charts made for the test."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab import binaries

CLONE = Path(__file__).parents[2]
_CACHE = Path(os.environ.get("COLOCATION_CACHE") or Path.home() / ".cache" / "openfuyao-colocation")
for _path in (_CACHE / "collections", CLONE / ".collections"):
    sys.path.insert(0, str(_path))

CHART = """apiVersion: v2
name: shop  # made for the test
version: 1.0.0
annotations:
  source: ISV
"""
VALUES = """image:
  registry: docker.io
  repository: acme/shop
  tag: "1.0"
metrics:
  enabled: false
  image: quay.io/acme/metrics:2
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
        - name: app
          image: {{ include "shop.image" . }}
        {{- if .Values.metrics.enabled }}
        - name: metrics
          image: {{ .Values.metrics.image }}
        {{- end }}
"""
HELPERS = """{{- define "shop.image" -}}
{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}
"""
FILES = {
    "Chart.yaml": CHART,
    "values.yaml": VALUES,
    "templates/deployment.yaml": DEPLOYMENT,
    "templates/_helpers.tpl": HELPERS,
}


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def image_archive(path: Path, architecture: str, name: str = "acme/shop:1.0") -> Path:
    """A small, honest image as `docker save` writes it: a configuration, a list, one layer with one file."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("hello"))
    config = json.dumps({"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers"}})
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}])
    members = {"config.json": config.encode(), "manifest.json": manifest.encode(), "layer.tar": layer.getvalue()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def run(command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def helm() -> str:
    """Helm 4, or the one that HELM names."""
    if found := os.environ.get("HELM"):
        return found
    binaries.ensure("helm")
    return str(binaries.path("helm"))


@pytest.fixture
def options(helm: str) -> Callable[..., Any]:
    """How to look at packages; anything may be changed by name."""
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _package  # noqa: PLC0415

    def make(**how: Any) -> Any:
        return _package.Options(helm=helm, run=run, **how)

    return make


@pytest.fixture
def check(options: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Hold a package against all rules."""
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _package  # noqa: PLC0415

    def look(path: Path, **how: Any) -> Any:
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return _package.check(str(path), options(**how), str(scratch))

    return look


@pytest.fixture
def build(options: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Make a package."""
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _build  # noqa: PLC0415

    def make(src: Path, *, how: dict[str, Any] | None = None, **recipe: Any) -> Path:
        scratch = Path(str(tmp_path / f"build{len(list(tmp_path.glob('build*')))}"))
        scratch.mkdir()
        return Path(_build.build(_build.Recipe(str(src), **recipe), options(**(how or {})), str(scratch)))

    return make
