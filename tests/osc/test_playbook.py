"""The playbook as a user runs it: build, check, unpack; again, in check mode, by tags, and with what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .conftest import CLONE, FILES, image_archive, write


def play(tmp_path: Path, helm: str, *arguments: str, **variables: Any) -> tuple[int, str]:
    given = {"colocation_osc_helm": helm, "colocation_osc_dest": str(tmp_path / "dist"), **variables}
    (tmp_path / "vars.json").write_text(json.dumps(given))
    command = [
        ".venv/bin/ansible-playbook",
        "playbooks/package.yml",
        "-i",
        "localhost,",
        "-e",
        f"@{tmp_path}/vars.json",
    ]
    env = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "False"}
    done = subprocess.run([*command, *arguments], cwd=CLONE, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_build_check_and_unpack_and_nothing_the_second_time(helm: str, tmp_path: Path) -> None:
    chart = write(tmp_path / "shop", FILES)
    archives = {
        "x86_64": str(image_archive(tmp_path / "amd.tar", "amd64")),
        "aarch64": str(image_archive(tmp_path / "arm.tar", "arm64")),
    }
    packages = [{"src": str(chart), "images": [{"name": "shop", "version": "1.0", "archives": archives}]}]
    built, unpacked = tmp_path / "dist/shop-1.0.0.zip", tmp_path / "unpacked"
    wanted = {
        "colocation_osc_packages": packages,
        "colocation_osc_unpack": [{"src": str(built), "dest": str(unpacked)}],
    }
    rc, said = play(tmp_path, helm, "--check", "--tags", "build,validate", **wanted)
    assert rc == 0, said
    assert "changed=1" in said
    assert not built.exists()
    rc, said = play(tmp_path, helm, "--diff", **wanted)
    assert rc == 0, said
    assert "changed=2" in said
    assert "keeps all rules" in said
    names = sorted(p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file())
    images = ["images/mapping.yaml", "images/shop-1.0-aarch64.tar", "images/shop-1.0-x86_64.tar"]
    assert names == [*images, "package/shop-1.0.0.tgz"]
    before = built.read_bytes()
    rc, said = play(tmp_path, helm, **wanted)
    assert rc == 0, said
    assert "changed=0" in said
    assert built.read_bytes() == before


def test_a_package_that_breaks_a_rule_is_not_put_in_place_and_rule_file_and_line_are_told(
    helm: str, tmp_path: Path
) -> None:
    broken = FILES["templates/deployment.yaml"].replace("{{ .Values.metrics.image }}", "metrics:2")
    chart = write(tmp_path / "shop", {**FILES, "templates/deployment.yaml": broken})
    rc, said = play(tmp_path, helm, colocation_osc_packages=[{"src": str(chart)}])
    assert rc == 2
    assert "package/shop-1.0.0.tgz/templates/deployment.yaml:14: error: image-from-values: metrics:2" in said
    assert not (tmp_path / "dist").exists()
