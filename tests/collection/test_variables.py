"""A variable that is given with -e is a word: for every one of every role, what is read of it is what was meant."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.paths import CLONE
from tests.collection.conftest import ansible

ROLES = sorted(path.parents[1] for path in (CLONE / "roles").glob("*/meta/argument_specs.yml"))
NAMED = re.compile(r"(?<![\w./-])colocation_\w+")
NUMBER = 512


def options(role: Path) -> dict[str, str]:
    """Name to type."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"].values()
    return {name: option["type"] for spec in specs for name, option in (spec.get("options") or {}).items()}


def typed(role: Path, kind: str) -> list[str]:
    """The variables of that type which the role reads; others are only the default of these."""
    file = role / "vars/main.yml"
    there = yaml.safe_load(file.read_text()) if file.exists() else {}
    return [name for name, type_ in options(role).items() if type_ == kind and f"__{name}" in there]


CASES = [(role, name, kind) for role in ROLES for kind in ("bool", "int") for name in typed(role, kind)]


@cache
def converted(role: Path, word: str) -> dict[str, Any]:
    """What the role reads if each of its bools was given as this word, and each of its ints as a number."""
    given = dict.fromkeys(typed(role, "bool"), word) | {name: str(NUMBER) for name in typed(role, "int")}
    if not given:
        return {}
    result = "{{ {" + ", ".join(f"'{name}': __{name}" for name in given) + "} | to_json }}"
    files = [str(file) for file in (role / "defaults/main.yml", role / "vars/main.yml") if file.exists()]
    play = {
        "name": "t",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": files,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [{"name": "t", "ansible.builtin.debug": {"msg": f"<<{result}>>"}}],
    }
    path = CLONE / "build/out" / f"variables-{role.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([play]))
    try:
        answer = ansible(
            "ansible-playbook", "-i", "localhost,", path, *(f"-e{name}={value}" for name, value in given.items())
        )
    finally:
        path.unlink()
    found: dict[str, Any] = json.loads(answer.partition("<<")[2].partition(">>")[0].replace('\\"', '"'))
    return found


def test_there_are_bools_and_ints() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize("word", ["false", "no", "False", "0"])
@pytest.mark.parametrize(("role", "name"), [(r, n) for r, n, kind in CASES if kind == "bool"])
def test_a_bool_that_is_switched_off_on_the_command_line_is_off(role: Path, name: str, word: str) -> None:
    assert converted(role, word)[name] is False


@pytest.mark.parametrize("word", ["true", "yes"])
@pytest.mark.parametrize(("role", "name"), [(r, n) for r, n, kind in CASES if kind == "bool"])
def test_a_bool_that_is_switched_on_on_the_command_line_is_on(role: Path, name: str, word: str) -> None:
    assert converted(role, word)[name] is True


@pytest.mark.parametrize(("role", "name"), [(r, n) for r, n, kind in CASES if kind == "int"])
def test_a_number_of_the_command_line_is_a_number(role: Path, name: str) -> None:
    assert converted(role, "no")[name] == NUMBER
    assert isinstance(converted(role, "no")[name], int)


def asked_or_converted(name: str, kind: str, line: str) -> bool:
    """Only whether it is there, or converted in the very place (what each delegated task says of become)."""
    return f"{name} is defined" in line or re.search(rf"{name} \| default\(\w+\) \| {kind} ", line) is not None


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_what_is_not_converted_is_not_read(role: Path) -> None:
    """Outside of the line that converts it, a bool or int is only asked for being there, or named in words and tags."""
    raw = {name: kind for name, kind in options(role).items() if kind in ("bool", "int")}
    wrong = []
    for path in (*(role / "tasks").glob("*.yml"), *(role / "vars").glob("*.yml"), *(role / "templates").glob("*")):
        for line in path.read_text().splitlines():
            if line.lstrip().startswith(("#", "__")) and re.match(r"#|__(\w+): \"\{\{ \1 \|", line.lstrip()):
                continue
            spoken = line.partition("tags:")[0].replace("tasks_from", "")
            for expression in re.findall(r"\{\{.*?\}\}|when: .*|that: .*", spoken):
                wrong += [
                    f"{path.name}: {name}"
                    for name in NAMED.findall(expression)
                    if name in raw and not asked_or_converted(name, raw[name], line)
                ]
    assert wrong == []
