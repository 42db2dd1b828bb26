# SPDX-License-Identifier: Apache-2.0
"""A machine with cgroup v2, whatever the host has: Debian's own kernel in qemu, by software emulation.

    with Vm(folder) as vm:              # 60 to 100 s until it answers, about ten times slower than the host
        vm.ssh("cat /sys/fs/cgroup/cgroup.controllers")

Its root file system is the lab's base (`machine_base.py`) with kubelet in it, made once into a disk that is kept
in the cache; each machine writes to a throw-away layer above it. The network is qemu's own: no namespaces, no
bridge; the machine reaches the host's loopback at ``HOST``, the host reaches its ports by `forward`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import binaries, debian
from .apiserver import free_ports
from .config import FILES, cache_dir
from .errors import LabError
from .images import ensure_images
from .machine_base import ensure_base
from .process import run, wait_until
from .progress import step

NAME = "v2node"
HOST = "10.0.2.2"
"""The host's loopback, as the machine sees it."""
PACKAGES = ("qemu-system-x86", "e2fsprogs")
KERNEL = "linux-image-cloud-amd64"
# What the disk needs, in the order in which they are loaded.
_EARLY = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk")
_MODULES = "virtio_net\nvirtio_rng\noverlay\nbridge\nveth\n"
_BOOT = "console=ttyS0 root=/dev/vda rw psi=1 systemd.unified_cgroup_hierarchy=1 net.ifnames=0 mitigations=off"
_SSH = ("BatchMode=yes", "LogLevel=ERROR", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
_BOOT_SECONDS = 300.0


class Vm:
    """One machine; gone, with all that it wrote, when the block ends."""

    def __init__(self, folder: Path, ports: Sequence[int] = (), *, memory_mb: int = 2048, cpus: int = 2) -> None:
        """``folder``: for its console; ``ports``: of the machine, to be reached by `forward`."""
        self.folder, self._memory_mb, self._cpus = folder, memory_mb, cpus
        # Short, whatever ``folder`` is called: a socket's path has at most 108 characters.
        self._short = tempfile.TemporaryDirectory(prefix="vm-")
        self._control = f"-oControlPath={self._short.name}/ssh"
        here = free_ports(1 + len(ports))
        self._ssh_port = here[0]
        self.forward = dict(zip(ports, here[1:], strict=True))
        """Port of the machine -> port of 127.0.0.1."""
        self._child: subprocess.Popen[bytes] | None = None
        self.parts = ensure()

    def __enter__(self) -> Self:
        """Power on, and wait until it lets us in."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Power off, without ceremony: nothing of it is kept."""
        self._hang_up()
        self._short.cleanup()
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def start(self) -> None:
        """Power on. It dies with this process, however that ends."""
        forwards = {22: self._ssh_port, **self.forward}
        net = ",".join(["user,id=n0", *(f"hostfwd=tcp:127.0.0.1:{b}-:{a}" for a, b in forwards.items())])
        argv = ["setpriv", "--pdeathsig", "SIGKILL", "qemu-system-x86_64"]
        # Not KVM, even where /dev/kvm is there: on a host that is a guest itself it hangs without a word.
        argv += [
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            str(self._cpus),
            "-m",
            str(self._memory_mb),
            "-nodefaults",
            "-no-user-config",
        ]
        argv += ["-display", "none", "-serial", f"file:{self.folder / 'console'}"]
        argv += ["-kernel", str(kernel()), "-initrd", str(self.parts / "initrd.gz"), "-append", _BOOT]
        argv += ["-drive", f"file={self.parts / 'disk'},if=virtio,format=raw,cache=unsafe,snapshot=on"]
        argv += ["-netdev", net, "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci"]
        with step("booting a machine with cgroup v2, by emulation", "60 to 100 s"):
            with (self.folder / "qemu.log").open("ab") as log:
                self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.wait_ssh()

    def wait_ssh(self, seconds: float = _BOOT_SECONDS) -> None:
        """Wait until it lets us in."""

        def answers() -> bool:
            if self._child is None or self._child.poll() is not None:
                given = (self.folder / "qemu.log").read_text(errors="replace").strip()
                raise LabError(f"the machine ended: {given or f'see {self.folder}/console'}")
            return run(self.ssh_command("true"), check=False).returncode == 0

        if not wait_until(answers, seconds, 1.0):
            raise LabError(f"the machine does not answer to ssh after {seconds:.0f} s; see {self.folder}/console")

    def reboot(self) -> None:
        """Reboot it, and wait until it is back with another boot id."""
        before = self.ssh("cat /proc/sys/kernel/random/boot_id")
        self.ssh("systemctl reboot", check=False)
        self._hang_up()
        end = time.monotonic() + _BOOT_SECONDS
        while self.ssh("cat /proc/sys/kernel/random/boot_id", check=False) in ("", before):
            if time.monotonic() > end:
                raise LabError(f"the machine did not come back after its reboot; see {self.folder}/console")
            time.sleep(1)

    def _hang_up(self) -> None:
        """End the connection that all commands share."""
        run(["ssh", self._control, "-O", "exit", "root@127.0.0.1"], check=False)

    def ssh_command(self, *command: str) -> list[str]:
        """The ssh command line into the machine. All share one connection: to log in costs it three seconds of CPU."""
        options = [f"-o{option}" for option in (*_SSH, "IdentitiesOnly=yes", "ConnectTimeout=60")]
        options += [self._control, "-oControlMaster=auto", "-oControlPersist=600"]
        options += ["-oServerAliveInterval=30", "-oServerAliveCountMax=4"]
        port, key = str(self._ssh_port), str(self.parts / "ssh_key")
        return ["ssh", "-i", key, "-p", port, *options, "root@127.0.0.1", *command]

    def ssh(self, command: str, *, check: bool = True, stdin: str | None = None, timeout: float | None = None) -> str:
        """Run a shell command in the machine; its output."""
        return run(self.ssh_command(command), check=check, stdin=stdin, timeout=timeout).stdout


def kernel() -> Path:
    """Debian's newest kernel for clouds: unpacked, not installed."""
    given = run(["apt-cache", "depends", KERNEL]).stdout
    wanted = [line.split()[1] for line in given.splitlines() if line.strip().startswith("Depends: linux-image-")]
    if not wanted:
        raise LabError(f"apt knows no {KERNEL}: run apt-get update (the machine is amd64 only)")
    return debian.unpacked(wanted[0], "boot/vmlinuz-*")


def ensure() -> Path:
    """Make disk and initial RAM disk unless they are there; returns their folder."""
    debian.ensure_packages(*PACKAGES)
    base, images, kubelet, image = ensure_base(), ensure_images(), binaries.path("kubelet").resolve(), kernel()
    binaries.ensure("kube")
    digest = hashlib.sha256(
        repr([base.name, kubelet.parent.name, image.name, [i.parent.name for i in images]]).encode()
    )
    for source in (Path(__file__), *(FILES / name for name in sorted(_FILES))):
        digest.update(source.read_bytes())
    home = cache_dir() / f"vm-{digest.hexdigest()[:12]}"
    with binaries.cache_lock("vm.lock"):
        if not home.is_dir():
            temporary = home.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True, mode=0o700)
            with step("making the disk of the machine with cgroup v2", "about 20 s, once"):
                _initrd(temporary, image)
                _disk(temporary, base, images, kubelet, image)
            temporary.rename(home)
            for old in cache_dir().glob("vm-*"):
                if old.is_dir() and old != home and not old.name.endswith(".tmp"):
                    shutil.rmtree(old)  # 2 GB each
    return home


def _initrd(home: Path, image: Path) -> None:
    root = home / "initrd"
    for name in ("bin", "proc", "sys", "dev", "newroot", "m"):
        (root / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    shutil.copy2(FILES / "vm-init", root / "init")
    modules = _modules(image)
    for name in _EARLY:
        shutil.copy2(next(modules.rglob(f"{name}.ko*")), root / "m")
    (root / "order").write_text("".join(f"/m/{name}.ko\n" for name in _EARLY))
    pack = f"cd {root} && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 > ../initrd.gz"
    run(["sh", "-c", pack])
    shutil.rmtree(root)


def _modules(image: Path) -> Path:
    return image.parents[1] / "lib/modules" / image.name.removeprefix("vmlinuz-")


_FILES = {
    "vm-init": None,
    "vm-net.service": "etc/systemd/system/vm-net.service",
    "kubelet.service": "etc/systemd/system/kubelet.service",
    "kubelet.yaml": "etc/kubernetes/kubelet.yaml",
    "containerd.toml": "etc/containerd/config.toml",
    "cni.conflist": "etc/cni/net.d/10-lab.conflist",
    "import-images": "usr/local/sbin/import-images",
}


def _disk(home: Path, base: Path, images: Sequence[Path], kubelet: Path, image: Path) -> None:
    root = home / "root"
    run(["cp", "-a", "--reflink=auto", base, root])
    modules = _modules(image)
    shutil.copytree(modules, root / "lib/modules" / modules.name, symlinks=True)
    run(["chroot", root, "depmod", modules.name])
    values = {"@NAME@": NAME, "@ADDRESS@": "10.0.2.15", "@POD_CIDR@": "10.244.99.0/24"}
    values["cgroupDriver: cgroupfs"] = "cgroupDriver: systemd"
    runc = 'runtime_type = "io.containerd.runc.v2"'
    options = '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\n        SystemdCgroup = true'
    values[runc] = f"{runc}\n      {options}"
    for name, target in _FILES.items():
        if target:
            text = (FILES / name).read_text()
            for old, new in values.items():
                text = text.replace(old, new)
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (root / target).write_text(text)
            (root / target).chmod((FILES / name).stat().st_mode & 0o777)
    system = root / "etc/systemd/system"
    (system / "multi-user.target.wants").mkdir(exist_ok=True)
    # kubelet is started when the test has given it a certificate.
    (system / "multi-user.target.wants/vm-net.service").symlink_to("/etc/systemd/system/vm-net.service")
    (system / "serial-getty@ttyS0.service").symlink_to("/dev/null")  # there is no udev: else 90 s for the terminal
    (root / "etc/modules-load.d/lab.conf").write_text(_MODULES)
    (root / "etc/hostname").write_text(f"{NAME}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {NAME}\n")
    shutil.copy2(kubelet, root / "usr/local/bin/kubelet")
    (root / "srv/images").mkdir(parents=True)
    for archive in images:
        shutil.copy2(archive, root / "srv/images")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", NAME, "-f", home / "ssh_key"])
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", NAME, "-f", root / "etc/ssh/ssh_host_ed25519_key"])
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy2(home / "ssh_key.pub", root / "root/.ssh/authorized_keys")
    run(["truncate", "-s", "6G", home / "disk"])
    run(["mkfs.ext4", "-q", "-F", "-d", root, home / "disk"])
    shutil.rmtree(root)
