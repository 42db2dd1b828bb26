"""Inputs are locked: one that is gone, or not what it was, ends the build and says what to do."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from build import base, debian, npm, wheels
from build.paths import cache


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = cache()
    monkeypatch.setenv("COLOCATION_CACHE", str(tmp_path))
    # apt's lists may stay: they are signed, and reading them again takes seconds.
    for lists in kept.glob("apt-*"):
        (tmp_path / lists.name).symlink_to(lists)


def package(**changes: str) -> debian.Package:
    (found,) = (p for p in debian.read_lock() if p.architecture == "arm64" and p.name == "libffi8")
    return dataclasses.replace(found, **changes)


def test_a_package_as_it_is_locked_is_fetched() -> None:
    debian.ensure([package()])
    assert package().file.is_file()


def test_a_package_that_is_gone_from_its_mirror_is_an_error_that_names_make_lock() -> None:
    with pytest.raises(SystemExit, match=r"(?s)3\.4\.3-0.*gone from the mirrors; `make lock`"):
        debian.ensure([package(version="3.4.3-0")])


def test_a_package_that_was_altered_is_an_error_that_names_make_lock_and_is_not_kept() -> None:
    altered = package(sha256="0" * 64)
    with pytest.raises(SystemExit, match=rf"(?s)libffi8.*{package().sha256}.*{'0' * 64}.*`make lock`"):
        debian.ensure([altered])
    assert not altered.file.exists()


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}"), ("==[0-9.]+", "==0.0.1")],
    ids=["altered", "gone"],
)
def test_a_wheel_that_is_altered_or_gone_is_an_error_that_names_make_lock(
    tmp_path: Path, pattern: str, replacement: str
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(re.sub(pattern, replacement, wheels.LOCK.read_text()))
    with pytest.raises(SystemExit, match=r"(?s)build/lock/requirements\.txt.*`make lock`"):
        wheels.ensure("arm64", lock)
    assert not list(tmp_path.glob("image-wheels-*"))


def test_a_package_that_the_recipe_lists_and_the_lock_does_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "libreadline8"))
    with pytest.raises(SystemExit, match="make lock"):
        base.packages("amd64")


@pytest.mark.skipif(not shutil.which("npm"), reason="npm fetches them")
def test_a_file_of_npm_is_what_its_lock_says_and_one_that_is_not_ends_the_build(tmp_path: Path) -> None:
    (package,) = npm.read()
    placed = npm.place(tmp_path / "vendor")
    assert {path.name for path in placed.iterdir()} == {"uPlot.iife.min.js", "uPlot.min.css", "uplot-LICENSE"}
    with pytest.raises(SystemExit, match=r"(?s)uplot@1.*sha512-.*npm\.txt says sha512-AAAA"):
        npm.ensure(package._replace(integrity="sha512-AAAA"))
