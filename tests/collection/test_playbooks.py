"""What holds for every play of every playbook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.config import CLONE, cache_dir

PLAYBOOKS = sorted((CLONE / "playbooks").glob("*.yml"))
SOURCES = [*PLAYBOOKS, *(CLONE / "roles").glob("*/tasks/*.yml")]
GROUPED = {key for path in SOURCES for key in re.findall(r"group_by:\n +key: (\w+)", path.read_text())}


def test_there_are_groups_that_plays_make() -> None:
    assert {"colocation_due", "colocation_changed"} <= GROUPED


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_hosts_go_in_the_order_of_the_inventory(playbook: Path) -> None:
    """group_by fills a group in the order in which hosts answer; "one node at a time" has to begin with the first."""
    plays = [play for play in yaml.safe_load(playbook.read_text()) if "hosts" in play]
    made = [play["hosts"] for play in plays if GROUPED & set(re.findall(r"\w+", play["hosts"]))]
    assert [pattern for pattern in made if not pattern.startswith("colocation_nodes:&")] == []


CONTROL = "{{ colocation_control_host }}"
LOOKUP = "lookup('openfuyao.colocation.connection"
K8S = f"{{{{ {LOOKUP}') }}}}"
HELM = f"{{{{ {LOOKUP}', 'helm') }}}}"
HELM_ENVIRONMENT = f"{{{{ {LOOKUP}', 'helm_environment') }}}}"
OFFLINE = {"show", "template", "pull", "version"}
"""Commands of helm that speak to no cluster."""
CORE = cache_dir() / "collections/ansible_collections/kubernetes/core"
GROUPS: dict[str, list[Any]] = yaml.safe_load((CLONE / "meta/runtime.yml").read_text())["action_groups"]


def group(name: str) -> set[str]:
    """Modules that take the connection's options: ours, and kubernetes.core's of the same group."""
    ours = {f"openfuyao.colocation.{module}" for module in GROUPS[name] if isinstance(module, str)}
    core = yaml.safe_load(
        (cache_dir() / "collections/ansible_collections/kubernetes/core/meta/runtime.yml").read_text()
    )
    return ours | {f"kubernetes.core.{module}" for module in core["action_groups"][name]}


def every_task() -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Each task of playbooks and roles, with what it stands in and is included from, innermost first."""
    for path in PLAYBOOKS:
        for play in yaml.safe_load(path.read_text()):
            for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                yield from below(path, play.get(part) or [], [play])
    for role in (CLONE / "roles").iterdir():
        for path in role.glob("tasks/*.yml"):
            yield from below(path, yaml.safe_load(path.read_text()), includers(path))


def below(
    path: Path, found: list[dict[str, Any]], around: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    for task in found:
        yield f"{path.relative_to(CLONE)}: {task.get('name')}", task, [task, *around]
        for part in ("block", "rescue", "always"):
            yield from below(path, task.get(part) or [], [task, *around])


def includers(path: Path, seen: tuple[Path, ...] = ()) -> list[dict[str, Any]]:
    """The keywords that all files which include this one set around it. A file that a play includes has none."""
    chains = []
    for other in path.parent.glob("*.yml"):
        if other in (*seen, path):
            continue
        for _, task, around in below(other, yaml.safe_load(other.read_text()), []):
            included = task.get("ansible.builtin.include_tasks") or task.get("ansible.builtin.import_tasks")
            if included and path.name == (included if isinstance(included, str) else included["file"]):
                chains.append([*around, *includers(other, (*seen, path))])
    return min(chains, key=len, default=[])


TASKS = list(every_task())


def value(around: list[dict[str, Any]], keyword: str, key: str = "") -> Any:
    """What the innermost that says it says."""
    for one in around:
        if key and key in (one.get(keyword) or {}):
            return one[keyword][key]
        if not key and keyword in one:
            return one[keyword]
    return None


ANOTHER = "{{ colocation_karmada_"
"""Karmada is no member of itself: what asks it names a kubeconfig of its own."""


def test_every_call_of_the_api_takes_the_one_connection() -> None:
    known = group("k8s")
    calls = [
        (where, task[module] or {}, value(around, "module_defaults", "group/openfuyao.colocation.k8s"))
        for where, task, around in TASKS
        for module in known & set(task)
        if not str((task[module] or {}).get("kubeconfig")).startswith(ANOTHER)
    ]
    assert [where for where, args, defaults in calls if defaults != K8S or "kubeconfig" in args] == []
    assert len(calls) > 30


def test_every_call_of_helm_takes_the_one_connection() -> None:
    known, wrong, seen = group("helm"), [], 0
    for where, task, around in TASKS:
        for module in known & set(task):
            seen += 1
            if (
                "kubeconfig" in task[module]
                or value(around, "module_defaults", "group/openfuyao.colocation.helm") != HELM
                or value(around, "environment") != HELM_ENVIRONMENT
            ):
                wrong.append(where)
    assert not wrong
    assert seen >= 4


def test_every_module_of_ours_that_speaks_to_a_cluster_is_in_a_group() -> None:
    modules = (CLONE / "plugins/modules").glob("*.py")
    speaking = {
        f"openfuyao.colocation.{path.stem}"
        for path in modules
        if re.search(r"kubernetes\.core\.(k8s_auth_options|helm_common_options)", path.read_text())
    }
    assert speaking == {name for name in group("k8s") | group("helm") if name.startswith("openfuyao")}


def test_no_command_runs_helm_against_a_cluster() -> None:
    """A command line takes no connection; the module helm_rollback does what kubernetes.core has no module for."""
    calls = [
        (where, str(task["ansible.builtin.command"]))
        for where, task, _ in TASKS
        if "colocation_helm_binary" in str(task.get("ansible.builtin.command"))
    ]
    assert calls
    assert not [call for call in calls if not OFFLINE & set(re.findall(r"\w+", call[1]))]
    assert not [where for where, task, _ in TASKS if {"ansible.builtin.shell", "ansible.builtin.raw"} & set(task)]
    for path in (CLONE / "roles").glob("*/vars/*.yml"):
        assert "--kube" not in path.read_text()


def test_what_runs_at_the_control_host_runs_without_root() -> None:
    """The variable and not the keyword: ansible_become of an inventory wins over the keyword become."""
    wrong, seen = [], 0
    for where, _, around in TASKS:
        delegated = value(around, "delegate_to")
        if delegated is None:
            continue
        seen += 1
        wanted = False if delegated == "localhost" else "{{ colocation_control_become | default(false) | bool }}"
        assert delegated in ("localhost", CONTROL), where
        at = next(i for i, one in enumerate(around) if "delegate_to" in one)
        if value(around[: at + 1], "vars", "ansible_become") != wanted:
            wrong.append(where)
    assert not wrong
    assert seen > 30


def test_plays_on_localhost_run_without_root() -> None:
    plays = [
        play for path in PLAYBOOKS for play in yaml.safe_load(path.read_text()) if play.get("hosts") == "localhost"
    ]
    assert len(plays) == 3
    assert all(play["vars"]["ansible_become"] is False for play in plays)


ALL_HOSTS = re.compile(r"extract', hostvars|hostvars\.values|in hostvars")


def conditions(node: Any, *, once: bool = False) -> list[tuple[str, bool]]:
    """Every condition, and whether it is asked once for all hosts."""
    if isinstance(node, list):
        return [found for each in node for found in conditions(each, once=once)]
    if not isinstance(node, dict):
        return []
    once = once or node.get("run_once") is True
    mine = [(str(node["when"]), once)] if "when" in node else []
    return mine + [found for value in node.values() for found in conditions(value, once=once)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_no_condition_looks_at_all_hosts_for_each_host(path: Path) -> None:
    """Asked by 400 hosts of 400 hosts, one skipped task took 100 s of CPU."""
    wrong = [text for text, once in conditions(yaml.safe_load(path.read_text())) if ALL_HOSTS.search(text) and not once]
    assert wrong == []


KEYWORDS = {"colocation_waves", "colocation_serial", "colocation_max_fail_percentage"}


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_what_a_play_goes_by_is_heard_where_the_inventory_says_it(playbook: Path) -> None:
    """Keywords of a play see -e, and no variable of the inventory: they have to ask a host."""
    for play in yaml.safe_load(playbook.read_text()):
        for keyword in ("serial", "max_fail_percentage"):
            named = KEYWORDS & set(re.findall(r"colocation_\w+", str(play.get(keyword, ""))))
            if named:
                assert re.search(rf"hostvars\[.*\]\.{named.pop()} ", play[keyword]), play["name"]


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_first_play_stops_where_the_group_has_no_host(playbook: Path) -> None:
    first = next((p for p in yaml.safe_load(playbook.read_text()) if "colocation_nodes" in str(p.get("hosts"))), None)
    assert first is None or "openfuyao.colocation.play_hosts" in first["hosts"]
