# SPDX-License-Identifier: Apache-2.0
"""`pipx install 'colocation-...whl[kubeconfig]'` gives `colocation` and `kubectl colocation`, with every login."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from colocation import __version__
from tests.installed.conftest import Run, bare
from tests.installed.issuer import Issuer
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

BOTH = (("colocation",), ("kubectl", "colocation"))


@pytest.mark.parametrize("command", BOTH)
def test_it_is_there_by_both_names(run: Run, command: tuple[str, ...]) -> None:
    assert run(*command, "--version").stdout == f"colocation {__version__}\n"
    assert run(*command, "report", "--help").stdout.startswith(f"usage: {' '.join(command)} report ")


def test_kubectl_lists_it_as_a_plugin_without_a_warning(run: Run) -> None:
    listed = run("kubectl", "plugin", "list")
    assert "kubectl-colocation" in listed.stdout
    assert "warning" not in listed.stderr


def with_user(api: ApiServer, folder: Path, user: dict[str, Any]) -> str:
    """A kubeconfig of somebody else."""
    config = yaml.safe_load(api.kubeconfig.read_text())
    config["users"][0]["user"] = user
    file = folder / "user.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return str(file)


def by_certificate(api: ApiServer, folder: Path, issuer: Issuer) -> tuple[str, str]:
    return str(api.user("jane", ["people"])), "jane"


def by_exec_plugin(api: ApiServer, folder: Path, issuer: Issuer) -> tuple[str, str]:
    api.kubectl("create", "serviceaccount", "plugin", "--namespace=default")
    token = api.kubectl("create", "token", "plugin", "--namespace=default").strip()
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
    plugin = folder / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    called = {"apiVersion": credential["apiVersion"], "command": str(plugin), "interactiveMode": "Never"}
    return with_user(api, folder, {"exec": called}), "system:serviceaccount:default:plugin"


def by_oidc(api: ApiServer, folder: Path, issuer: Issuer) -> tuple[str, str]:
    given = {"id-token": issuer.token("jo@example.org"), "idp-issuer-url": issuer.url, "client-id": "colocation"}
    user = with_user(api, folder, {"auth-provider": {"name": "oidc", "config": given}})
    return user, "oidc:jo@example.org"


@pytest.mark.parametrize("way", [by_certificate, by_exec_plugin, by_oidc])
def test_it_logs_in_as_kubectl_does(
    run: Run, api: ApiServer, issuer: Issuer, tmp_path: Path, way: Callable[..., tuple[str, str]]
) -> None:
    """The server knows the user, by name, and lets them do what their rights say: no more, no less."""
    config, user = way(api, tmp_path, issuer)
    for command in BOTH:
        refused = run(*command, "explain", "worker-1", "--history", KUBECONFIG=config)
        assert refused.returncode == 1
        assert f'User "{user}" cannot list resource "events"' in refused.stderr
    name = user.replace(":", "-").replace("@", "-")
    api.kubectl("create", "clusterrolebinding", name, "--clusterrole=read-events", f"--user={user}")
    for command in BOTH:
        eventually(lambda c=command: run(*c, "explain", "worker-1", "--history", KUBECONFIG=config).returncode == 0)  # type: ignore[misc]


def test_a_token_of_oidc_that_has_run_out_is_an_error_without_a_traceback(
    run: Run, api: ApiServer, issuer: Issuer, tmp_path: Path
) -> None:
    given = {"id-token": issuer.token("jo@example.org", -60), "idp-issuer-url": issuer.url, "client-id": "colocation"}
    config = with_user(api, tmp_path, {"auth-provider": {"name": "oidc", "config": given}})
    answer = run("colocation", "explain", "worker-1", "--history", KUBECONFIG=config)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr


def test_kubectl_completes_commands_and_nodes(run: Run, api: ApiServer) -> None:
    config = str(api.kubeconfig)
    commands = run("kubectl", "__complete", "colocation", "ex", KUBECONFIG=config).stdout.splitlines()
    assert commands[0].startswith("explain")
    assert commands[-1] == ":4"
    nodes = run("kubectl", "__complete", "colocation", "explain", "wor", KUBECONFIG=config).stdout.splitlines()
    assert nodes[0].strip() == "worker-1"


def test_completion_of_nodes_without_a_cluster_is_empty_and_quick(run: Run, tmp_path: Path) -> None:
    began = time.monotonic()
    answer = run("kubectl", "__complete", "colocation", "explain", "wor", KUBECONFIG=str(tmp_path / "none"))
    assert answer.stdout.split() == [":4"]
    assert time.monotonic() - began < 10


SHELLS = {
    "bash": (["bash", "--norc", "-i"], "source <(colocation completion bash)\n"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u; source <(colocation completion zsh)\n"),
    "fish": (["fish", "--no-config", "-i"], "colocation completion fish | source\n"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_completes_in_a_real_shell(shell: str, path: str, api: ApiServer, tmp_path: Path) -> None:
    """Keys are typed into a terminal; whether they were completed is seen by what the finished line did."""
    argv, script = SHELLS[shell]
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on this machine")
    ready, done = tmp_path / "ready", tmp_path / "done"
    pid, terminal = pty.fork()
    if pid == 0:
        env = {**bare(), "PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(api.kubeconfig), "TERM": "dumb"}
        os.execvpe(argv[0], argv, env)
    try:
        os.write(terminal, f"{script}touch {ready}\n".encode())
        drain(terminal, until=ready.exists)
        os.write(terminal, b"colocation expl\t")
        drain(terminal, seconds=2)
        os.write(terminal, b"work\t")
        drain(terminal, seconds=4)
        os.write(terminal, f" --history > {tmp_path}/answer; touch {done}\n".encode())
        drain(terminal, until=done.exists)
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert "worker-1" in (tmp_path / "answer").read_text()


def drain(terminal: int, *, seconds: float = 30, until: Callable[[], bool] = lambda: False) -> str:
    """Read what a terminal shows, until something is so or for so many seconds."""
    shown, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and not until():
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 4096)
    return shown.decode(errors="replace")
