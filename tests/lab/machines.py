# SPDX-License-Identifier: Apache-2.0
"""The nodes: systemd-nspawn machines with systemd, sshd, containerd and kubelet.

systemd-nspawn is ended by SIGTERM only: any other signal leaves its machine
running without a parent.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import binaries, cgroups
from .config import FILES, Lab, Node
from .errors import LabError
from .pki import Pki
from .process import Daemon, run, wait_until

# Joins the machine's own cgroups before it becomes the machine; arguments: the groups, `--`, the command.
_ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"'
_SSH_OPTIONS = ("BatchMode=yes", "LogLevel=ERROR", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")


def daemon(lab: Lab, name: str) -> Daemon:
    """The record of a machine's nspawn process."""
    return Daemon(lab.run / f"{name}.pid")


def recorded(lab: Lab) -> list[str]:
    """Machines that were started here, whatever LAB_NODES says now."""
    return sorted(path.stem for path in lab.run.glob("node*.pid"))


def prepare(lab: Lab, node: Node, pki: Pki, base: Path, images: Sequence[Path]) -> None:
    """Give a machine its root file system: the base, and what makes it this node."""
    root = node.root
    root.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "-a", "--reflink=auto", base, root])
    values = {"@NAME@": node.name, "@ADDRESS@": node.address, "@POD_CIDR@": node.pod_cidr}
    _install("preinit", root / "usr/local/sbin/preinit", values)
    _install("import-images", root / "usr/local/sbin/import-images", values)
    _install("containerd.toml", root / "etc/containerd/config.toml", values)
    _install("cni.conflist", root / "etc/cni/net.d/10-lab.conflist", values)
    _install("kubelet.yaml", root / "etc/kubernetes/kubelet.yaml", values)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for unit in ("kubelet.service", "end-containers.service"):
        _install(unit, root / "etc/systemd/system" / unit, values)
        (wants / unit).symlink_to(f"/etc/systemd/system/{unit}")
    (root / "etc/hostname").write_text(f"{node.name}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{node.address} {node.name}\n")
    (root / "etc/lab-memtotal").write_text(f"{lab.mem_kb}\n")
    kubelet = root / "usr/local/bin/kubelet"
    kubelet.touch(mode=0o755)
    archives = root / "srv/images"
    archives.mkdir(parents=True)
    for image in images:
        shutil.copy2(image, archives)
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.copy2(f"{lab.ssh_key}.pub", ssh / "authorized_keys")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", node.name, "-f", root / "etc/ssh/ssh_host_ed25519_key"])
    _identity(lab, node, pki)


def _identity(lab: Lab, node: Node, pki: Pki) -> None:
    """The node's certificate: what kubelet shows to the API server, and serves with."""
    hosts = [f"DNS:{node.name}", f"IP:{node.address}"]
    pair = pki.issue(node.name, f"system:node:{node.name}", ["system:nodes"], hosts)
    home = node.root / "etc/kubernetes"
    shutil.copy2(pki.ca, home / "ca.crt")
    shutil.copy2(pair.cert, home / "node.crt")
    shutil.copy2(pair.key, home / "node.key")
    config = home / "kubelet.conf"
    config.touch(mode=0o600)
    config.write_text(pki.kubeconfig(lab.api_url, pair))


def host_key(node: Node) -> str:
    """The machine's ssh host key, as a known_hosts line for its address and name."""
    kind, key = (node.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
    return f"{node.address},{node.name} {kind} {key}\n"


def start(lab: Lab, node: Node) -> None:
    """Boot a machine that was prepared."""
    machine = [
        str(FILES / "machine"),
        "systemd-nspawn",
        "--quiet",
        f"--directory={node.root}",
        # Unique on this machine, also beside a second lab.
        f"--machine={node.netns}",
        f"--hostname={node.name}",
        "--register=no",
        "--keep-unit",
        "--capability=all",
        "--system-call-filter=add_key keyctl bpf perf_event_open",
        f"--network-namespace-path=/run/netns/{node.netns}",
        f"--bind-ro={binaries.path('kubelet').resolve()}:/usr/local/bin/kubelet",
        "--resolv-conf=off",
        "--console=pipe",
        "--kill-signal=SIGRTMIN+3",
        "/usr/local/sbin/preinit",
    ]
    groups = cgroups.make(lab, node)
    enter: list[str | Path] = [
        "sh",
        "-c",
        _ENTER,
        "sh",
        *groups,
        "--",
        "env",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
    ]
    daemon(lab, node.name).start([*enter, *machine], lab.logs / f"{node.name}.log")


def stop(lab: Lab, node: Node) -> None:
    """Shut a machine down; a second SIGTERM ends one that will not (or that has only begun to boot)."""
    record = daemon(lab, node.name)
    if not record.stop(20, kill=False) and not record.stop(30, kill=False):
        raise LabError(f"{node.name} does not stop: pid {record.pid}, see {lab.logs / node.name}.log")


def ssh_command(lab: Lab, node: Node, *command: str) -> list[str]:
    """The ssh command line into a machine; without a command, an interactive shell."""
    options = (*_SSH_OPTIONS, f"UserKnownHostsFile={lab.known_hosts}", "ConnectTimeout=3")
    return ["ssh", "-i", str(lab.ssh_key), *(f"-o{option}" for option in options), f"root@{node.address}", *command]


def ssh(
    lab: Lab, node: Node, command: str, *, check: bool = True, stdin: str | None = None, timeout: float | None = None
) -> str:
    """Run a shell command in a machine; its output."""
    return run(ssh_command(lab, node, command), check=check, stdin=stdin, timeout=timeout).stdout


def wait_ssh(lab: Lab, node: Node, seconds: float = 60.0) -> None:
    """Wait until a machine lets us in."""

    def happened() -> bool:
        if daemon(lab, node.name).pid is None:
            raise LabError(f"{node.name} ended while it booted; see {lab.logs / node.name}.log")
        return run(ssh_command(lab, node, "true"), check=False).returncode == 0

    if not wait_until(happened, seconds, 0.3):
        raise LabError(f"{node.name} does not answer to ssh after {seconds:.0f} s; see {lab.logs / node.name}.log")


def load_image(lab: Lab, node: Node, archive: Path) -> str:
    """Import a docker or OCI archive into a machine's containerd; returns what ctr said."""
    target = f"/srv/images/{archive.name}"
    # Written straight into its root file system: the machine sees the same files.
    inside = node.root / target.lstrip("/")
    temporary = inside.with_suffix(".part")
    shutil.copyfile(archive, temporary)
    temporary.replace(inside)
    return ssh(lab, node, f"ctr -n k8s.io images import {target} && touch {target}.done", timeout=300)


def _install(name: str, target: Path, values: dict[str, str]) -> None:
    source = FILES / name
    text = source.read_text()
    for key, value in values.items():
        text = text.replace(key, value)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(source.stat().st_mode & 0o777)
