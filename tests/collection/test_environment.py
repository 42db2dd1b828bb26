"""What ansible-builder makes of meta/execution-environment.yml."""

from __future__ import annotations

import re
import subprocess
import venv
from pathlib import Path

import pytest
import yaml

from tests.lab.config import CLONE, cache_dir


@pytest.fixture(scope="module")
def builder() -> Path:
    """ansible-builder in an environment of its own, made once."""
    (wanted,) = [line for line in (CLONE / "requirements/ee.txt").read_text().splitlines() if not line.startswith("#")]
    home = cache_dir() / wanted.replace("==", "-")
    if not (home / ".complete").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([home / "bin/pip", "install", "-q", "--disable-pip-version-check", wanted], check=True)
        (home / ".complete").touch()
    return home / "bin/ansible-builder"


def test_ansible_builder_reads_the_requirements_of_this_collection(builder: Path) -> None:
    done = subprocess.run(
        [builder, "introspect", CLONE / ".collections"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = yaml.safe_load(done.stdout.partition("---")[2])
    ours = {kind: [one.partition("  # ")[0] for one in rows if "openfuyao" in one] for kind, rows in found.items()}
    assert [re.split("[<>=]", one)[0] for one in ours["python"]] == ["kubernetes", "jsonpatch"]
    assert ours["system"] == ["openssh-clients [platform:rpm]", "openssh-client [platform:dpkg]"]


def test_modules_ask_for_the_kubernetes_library_that_the_environment_has() -> None:
    (line,) = [one for one in (CLONE / "meta/ee-requirements.txt").read_text().splitlines() if "kubernetes>" in one]
    asked = set()
    for module in (CLONE / "plugins/modules").glob("*.py"):
        asked |= set(re.findall(r"^  - (kubernetes >= .*)$", module.read_text(), re.MULTILINE))
    assert {one.replace(" ", "") for one in asked} == {line}


def test_the_environment_has_the_collections_that_galaxy_names() -> None:
    environment = yaml.safe_load((CLONE / "meta/execution-environment.yml").read_text())
    wanted = {one["name"]: one["version"] for one in environment["dependencies"]["galaxy"]["collections"]}
    assert wanted == yaml.safe_load((CLONE / "galaxy.yml").read_text())["dependencies"]
