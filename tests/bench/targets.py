# SPDX-License-Identifier: Apache-2.0
"""Light machines for Ansible: each an sshd of its own on a loopback address, in mount and UTS namespaces of its own.

Its root is an overlay over the lab's base system: own files and own host name, but processes, network and /proc are
the machine's. An sshd costs 1.5 MiB; a whole lab node would cost 100.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.lab import inside, machine_base
from tests.lab.process import run, wait_until

PORT = 2222
# Arguments: folder with the keys, address, port.
_SSHD = """
set -e
install -d -m 700 /root/.ssh /run/sshd
cp "$1/key.pub" /root/.ssh/authorized_keys
install -m 600 "$1/host" /etc/ssh/host_key
exec /usr/sbin/sshd -D -e -f /dev/null -h /etc/ssh/host_key -p "$3" -o ListenAddress="$2" \\
  -o UsePAM=no -o MaxStartups=200 -o MaxSessions=100 -o Subsystem="sftp internal-sftp"
"""


class Targets:
    """So many of them, named sim-000 and so on."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.addresses = {f"sim-{n:03d}": f"127.0.1.{n + 1}" for n in range(count)}
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def inventory(self) -> Path:
        """Ansible's view of them, as colocation_nodes."""
        return self.folder / "hosts.yml"

    def start(self, more: str = "") -> None:
        """Start all; ``more``: lines for the group's variables."""
        base = machine_base.ensure_base()
        keys = self.folder / "keys"
        keys.mkdir()
        for kind in ("key", "host"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / kind])
        for name, address in self.addresses.items():
            at = self.folder / name
            at.mkdir()
            sshd = ["sh", "-c", _SSHD, "sh", str(keys), address, str(PORT)]
            argv = ["setpriv", "--pdeathsig", "SIGKILL", *inside.command(base, at, sshd, share=[keys], hostname=name)]
            with (self.folder / f"{name}.log").open("wb") as log:
                self._children.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        for name, address in self.addresses.items():
            if not wait_until(lambda at=address: _listens(at), 30, 0.1):  # type: ignore[misc]
                raise TimeoutError(f"{name}: {(self.folder / f'{name}.log').read_text()[-500:]}")
        self._write(more)

    def stop(self) -> None:
        """End all; their files go with their namespaces."""
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait()

    def _write(self, more: str) -> None:
        kind, key = (self.folder / "keys/host.pub").read_text().split()[:2]
        known = "".join(f"[{address}]:{PORT} {kind} {key}\n" for address in self.addresses.values())
        (self.folder / "known_hosts").write_text(known)
        hosts = "".join(f"        {n}:\n          ansible_host: {a}\n" for n, a in self.addresses.items())
        options = f"-o UserKnownHostsFile={self.folder}/known_hosts -o IdentitiesOnly=yes"
        self.inventory.write_text(
            "all:\n  children:\n    colocation_nodes:\n      vars:\n"
            f"        ansible_port: {PORT}\n        ansible_user: root\n"
            "        ansible_python_interpreter: /usr/bin/python3\n"
            f"        ansible_ssh_private_key_file: {self.folder}/keys/key\n"
            f'        ansible_ssh_common_args: "{options}"\n'
            f"{more}      hosts:\n{hosts}"
            "    colocation_control:\n      hosts:\n        localhost:\n          ansible_connection: local\n"
            '          ansible_python_interpreter: "{{ ansible_playbook_python }}"\n'
        )


def _listens(address: str) -> bool:
    try:
        with socket.create_connection((address, PORT), 1):
            return True
    except OSError:
        return False
