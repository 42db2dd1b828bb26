"""What containerd_config decides, and what node_service foresees: real containerd programs say what is in force.

Every containerd on this machine takes part: of PATH, of the lab's base system (1.x), and the pinned 2.x, which
`make test-containerd` builds. Until it is built, its tests are skipped and name that target.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.openfuyao.colocation.plugins.action import containerd_config
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _containerd

from tests.lab import binaries
from tests.lab.config import cache_dir

BUILT = binaries.path("containerd")
"""The newest that we work with, built once (`tests/lab/go/containerd`)."""
PROGRAMS = [
    *map(str, cache_dir().glob("base-*/usr/bin/containerd")),
    *filter(None, [shutil.which("containerd")]),
]
MIRROR = {"registry": "docker.io", "server": None, "hosts": [{"url": "https://m:5000"}]}
GRPC, IMAGES = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"
NRI_OFF = '[plugins."io.containerd.nri.v1.nri"]\n  disable = true\n'


def run(argv: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def version(program: str) -> str:
    return str(re.findall(r"\d+\.\d+\.\d+", run([program, "--version"])[1])[0])


UNBUILT = pytest.mark.skipif(
    not BUILT.exists(), reason=f"containerd {binaries.TOOLS['containerd'].version} is not built: make test-containerd"
)
PINNED = pytest.param(str(BUILT), marks=UNBUILT, id="pinned")
new = pytest.mark.parametrize("program", [*(path for path in PROGRAMS if not version(path).startswith("1.")), PINNED])
every = pytest.mark.parametrize("program", [*PROGRAMS, PINNED])


@UNBUILT
def test_the_pinned_containerd_states_the_version_that_is_pinned() -> None:
    assert version(str(BUILT)) == binaries.TOOLS["containerd"].version


@UNBUILT
def test_the_pinned_containerds_own_configuration_is_of_version_4() -> None:
    """The newest: a file that says less than its containerd writes would not try what it is here for."""
    assert "version = 4\n" in run([str(BUILT), "config", "default"])[1]


class Node:
    """The files of a node below a directory, looked at as the module does."""

    def __init__(self, root: Path, program: str, main: str, **imported: str) -> None:
        self.main = str(root / "config.toml")
        self.program = _containerd.Program(program, [], self.main)
        (root / "conf.d").mkdir()
        main = main.replace(RELATIVE, str(root / RELATIVE)) if version(program).startswith("1.") else main
        for name, text in {"config": main, **imported}.items():
            (root / ("conf.d" if name != "config" else "") / f"{name}.toml").write_text(text)

    def found(self) -> dict[str, Any]:
        dumped, wrong = _containerd.dump(self.program, run)
        imported = _containerd.imported(self.main, dumped)
        return {
            "booted": True,
            "running": True,
            "layout": "",
            "version": version(self.program.path),
            "main": self.main,
            "imported": imported,
            "dump": dumped,
            "dump_error": wrong,
            "certs_dir": "/certs",
            "texts": {path: Path(path).read_text() for path in [self.main, *imported]},
            "section": {},
        }

    def plan(self, *, nri: bool | None = None, mirrors: Sequence[Any] = ()) -> Any:
        return containerd_config.decide(self.found(), nri, list(mirrors), True)

    def foreseen(self, plan: Any) -> str:
        for path, text in plan.files.items():
            if not path.startswith("/certs"):
                Path(path).write_text(text)
        return str(_containerd.foreseen(*_containerd.dump(self.program, run), plan.in_force))


RELATIVE = "conf.d/*.toml"
IMPORT = f'imports = ["{RELATIVE}"]\n'


@new
@pytest.mark.parametrize("of", [2, 3, 4])
def test_files_of_every_version_are_written_where_containerd_reads_them(tmp_path: Path, program: str, of: int) -> None:
    node = Node(tmp_path, program, f"version = {of}\n{NRI_OFF}")
    plan = node.plan(nri=True, mirrors=[MIRROR])
    assert plan.problems == []
    assert node.foreseen(plan) == ""
    dumped = _containerd.dump(node.program, run)[0]
    assert _containerd.value_of(dumped, ("plugins", IMAGES, "registry", "config_path")) == "/certs"
    assert _containerd.value_of(dumped, ("plugins", "io.containerd.nri.v1.nri", "disable")) == "false"
    again = node.plan(nri=True, mirrors=[MIRROR])
    assert (again.problems, again.restart) == ([], False)


@every
def test_containerds_own_default_configuration_takes_a_mirror(tmp_path: Path, program: str) -> None:
    node = Node(tmp_path, program, run([program, "config", "default"])[1])
    plan = node.plan(mirrors=[MIRROR])
    assert plan.problems == []
    assert node.foreseen(plan) == ""


@new
def test_a_value_that_an_imported_file_overrides_is_refused_with_that_files_name(tmp_path: Path, program: str) -> None:
    node = Node(tmp_path, program, f"version = 3\n{IMPORT}", **{"10-off": f"version = 3\n{NRI_OFF}"})
    (problem,) = node.plan(nri=True).problems
    assert f"{tmp_path}/conf.d/10-off.toml" in problem
    assert "io.containerd.nri.v1.nri.disable" in problem


@new
def test_an_imported_file_that_says_what_is_asked_for_leaves_nothing_to_do(tmp_path: Path, program: str) -> None:
    node = Node(tmp_path, program, f"version = 2\n{IMPORT}", **{"10": f"version = 2\n{NRI_OFF}"})
    plan = node.plan(nri=False)
    assert (plan.problems, plan.restart) == ([], False)


@new
def test_an_imported_file_with_other_values_of_the_plugin_is_not_in_the_way(tmp_path: Path, program: str) -> None:
    other = f"version = 3\n[plugins.'{IMAGES}']\n  snapshotter = 'native'\n"
    node = Node(tmp_path, program, f"version = 3\n{IMPORT}", other=other)
    plan = node.plan(mirrors=[MIRROR])
    assert plan.problems == []
    assert node.foreseen(plan) == ""


@every
@pytest.mark.parametrize("where", ["config", "conf.d/off"])
def test_a_disabled_cri_plugin_is_named_before_anything_is_changed(tmp_path: Path, program: str, where: str) -> None:
    off = f'disabled_plugins = ["{GRPC}"]\n'
    texts = {"config": f"version = 2\n{IMPORT}", "conf.d/off": "version = 2\n"}
    texts[where] += off
    node = Node(tmp_path, program, texts["config"], off=texts["conf.d/off"])
    (problem,) = node.plan(mirrors=[MIRROR]).problems
    assert f"disabled_plugins in {tmp_path}/{where}.toml has {GRPC}" in problem
    assert "can start no pod" in _containerd.foreseen(*_containerd.dump(node.program, run), [])


@every
def test_a_plugin_that_a_file_of_version_1_disables_by_its_short_name_is_named(tmp_path: Path, program: str) -> None:
    """As in the file of Docker's package of containerd. Containerd 1.x dumps the name as it stands, 2.x in full."""
    node = Node(tmp_path, program, 'disabled_plugins = ["cri"]\n')
    problems = node.plan(mirrors=[MIRROR]).problems
    assert any(f"disabled_plugins in {tmp_path}/config.toml has {GRPC}" in one for one in problems), problems
    assert "can start no pod" in _containerd.foreseen(*_containerd.dump(node.program, run), [])


@every
def test_imported_mirrors_that_containerd_refuses_beside_config_path_are_named(tmp_path: Path, program: str) -> None:
    old = f'version = 2\n[plugins."{GRPC}".registry.mirrors."x.io"]\n  endpoint = ["http://a"]\n'
    node = Node(tmp_path, program, f"version = 2\n{IMPORT}", old=old)
    assert any("registry.mirrors for x.io" in one for one in node.plan(mirrors=[MIRROR]).problems)


@every
def test_a_version_that_is_not_known_is_refused(tmp_path: Path, program: str) -> None:
    assert Node(tmp_path, program, "version = 99\n").plan(mirrors=[MIRROR]).problems


@every
def test_a_relative_pattern_counts_only_where_containerd_reads_it(tmp_path: Path, program: str) -> None:
    node = Node(tmp_path, program, f"version = 2\n{IMPORT}", off=f'version = 2\ndisabled_plugins = ["{GRPC}"]\n')
    (tmp_path / "config.toml").write_text(f"version = 2\n{IMPORT}")
    assert bool(node.found()["imported"]) is not version(program).startswith("1.")


@every
def test_a_file_that_containerd_cannot_read_is_refused_and_foreseen(tmp_path: Path, program: str) -> None:
    node = Node(tmp_path, program, "version = [")
    assert node.plan(mirrors=[MIRROR]).problems
    assert _containerd.foreseen(*_containerd.dump(node.program, run), []).startswith("containerd cannot read it")


@every
def test_nri_is_refused_only_where_containerd_has_none(tmp_path: Path, program: str) -> None:
    problems = Node(tmp_path, program, "version = 2\n").plan(nri=True).problems
    assert bool(problems) is version(program).startswith("1.6")
    assert all("has no NRI" in one for one in problems)


@every
def test_a_value_that_did_not_become_what_was_asked_for_is_seen_before_a_restart(tmp_path: Path, program: str) -> None:
    node = Node(tmp_path, program, "version = 2\n")
    place = GRPC if version(program).startswith("1.") else IMAGES
    answer = _containerd.foreseen(
        *_containerd.dump(node.program, run),
        [{"path": ["plugins", place, "registry", "config_path"], "value": "/certs"}],
    )
    assert "was to become /certs" in answer
