"""Which program builds the image: the one that is asked for, or the first that works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build import push, tools


def program(folder: Path, name: str, status: int) -> None:
    """A stand-in that only says whether it would work: which one is chosen is the question here."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
    (folder / name).chmod(0o755)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("IMAGE_TOOL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_a_client_without_its_daemon_is_not_chosen(path: Path) -> None:
    program(path, "docker", 1)
    program(path, "nerdctl", 0)
    assert tools.choose() == "nerdctl"


def test_the_release_tool_goes_first_and_is_what_is_installed_where_there_is_none(path: Path) -> None:
    assert tools.choose() == "buildah"
    program(path, "docker", 0)
    assert tools.choose() == "docker"
    program(path, "buildah", 0)
    assert tools.choose() == "buildah"


def test_a_tool_that_was_asked_for_and_does_not_work_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "docker", 1)
    monkeypatch.setenv("IMAGE_TOOL", "docker")
    with pytest.raises(SystemExit, match="docker buildx inspect"):
        tools.choose()
    monkeypatch.setenv("IMAGE_TOOL", "podman")
    with pytest.raises(SystemExit, match="buildah, docker, nerdctl"):
        tools.choose()


@pytest.mark.parametrize("registry", ["https://registry.example", "registry.example/", "a b"])
def test_what_is_no_registry_address_is_refused_before_anything_is_built(registry: str) -> None:
    with pytest.raises(SystemExit, match="without https://"):
        push.main(registry)


def test_a_signing_key_that_is_not_there_is_refused_before_anything_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_KEY", os.devnull + "/key")
    with pytest.raises(SystemExit, match="COSIGN_KEY"):
        push.main("registry.example")
