"""What is generated from model/policy.py means the same as its source."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from colocation.model.policy import PolicySpec
from tests.lab.config import CLONE
from tools import role_readme


def fields() -> dict[str, Any]:
    """The argument spec, without importing a collection."""
    known: dict[str, Any] = {}
    exec((CLONE / "plugins/module_utils/policy/_fields.py").read_text(), known)
    found: dict[str, Any] = known["FIELDS"]
    return found


def defaults(options: dict[str, Any]) -> dict[str, Any]:
    """What ansible fills in where a task says nothing."""
    filled = {}
    for name, option in options.items():
        value = defaults(option["options"]) if option.get("apply_defaults") else option.get("default")
        if value is not None:
            filled[name] = value
    return filled


def without_none(value: Any) -> Any:
    return {k: without_none(v) for k, v in value.items() if v not in (None, {})} if isinstance(value, dict) else value


def test_a_task_that_says_nothing_is_the_default_policy() -> None:
    assert camel(defaults(fields())) == without_none(msgspec.to_builtins(PolicySpec()))


def camel(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name.split("_")[0] + "".join(w.title() for w in name.split("_")[1:]): camel(v) for name, v in value.items()}


def test_the_engine_role_knows_the_engines_that_a_policy_may_name() -> None:
    role = yaml.safe_load((CLONE / "roles/colocation_engine/vars/engines.yml").read_text())
    options = yaml.safe_load((CLONE / "roles/colocation_engine/meta/argument_specs.yml").read_text())
    offered = options["argument_specs"]["main"]["options"]["colocation_engine"]["choices"]
    assert set(role["__colocation_engine_known"]) == set(fields()["engine"]["choices"]) <= set(offered)


def test_a_description_of_one_sentence_is_a_sentence_in_the_readme() -> None:
    spec = {"short_description": "Does", "options": {"a": {"type": "str", "description": "A C(chart), or b."}}}
    assert "| A `chart`, or b. |" in role_readme.table(yaml.safe_dump({"argument_specs": {"main": spec}}))


def test_nothing_was_added_in_a_version_that_is_yet_to_come() -> None:
    now = [int(part) for part in yaml.safe_load((CLONE / "galaxy.yml").read_text())["version"].split(".")]
    for path in (CLONE / "plugins").rglob("*.py"):
        for answer in re.findall(r"^ *version_added: [\"']?([\d.]+)", path.read_text(), re.MULTILINE):
            assert [int(part) for part in answer.split(".")] <= now, path


def test_the_collection_whose_internals_are_used_has_one_bounded_range() -> None:
    galaxy = yaml.safe_load((CLONE / "galaxy.yml").read_text())["dependencies"]["kubernetes.core"]
    environment = yaml.safe_load((CLONE / "meta/execution-environment.yml").read_text())
    (there,) = [
        one["version"]
        for one in environment["dependencies"]["galaxy"]["collections"]
        if one["name"] == "kubernetes.core"
    ]
    assert galaxy == there
    assert re.fullmatch(r">=\d+\.\d+\.\d+,<\d+\.0\.0", galaxy)
