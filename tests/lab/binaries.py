# SPDX-License-Identifier: Apache-2.0
"""The lab's programs, built from Go modules pinned by the go.sum files in ``go/``.

``KUBE=1.32`` in the environment chooses the older Kubernetes that go/kube/go-1.32.mod pins.

Each lands in a folder of the cache named after its version and everything that
went into it, so a changed pin builds anew and an old clone keeps its own. The
folder appears by one rename: an interrupted build leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .config import cache_dir
from .errors import LabError
from .process import run
from .progress import say, step
from .toolchain import find_go, go_env, needed_version

MODULES = Path(__file__).resolve().parent / "go"
_MB = 1024 * 1024


@dataclass(frozen=True)
class Tool:
    """One binary to build, and the names it answers to."""

    name: str
    title: str
    module: str
    package: str
    ldflags: str
    commands: tuple[str, ...]
    estimate: str
    tags: str = ""
    """Build tags."""
    home: str = ""
    """Folder of its go.mod, where that is not named after it."""
    lab: bool = True
    """A lab is made of it; what is not is built for the tests that use it."""

    mod: str = "go.mod"
    """The file there that pins its modules; the sums lie beside it."""

    @property
    def pins(self) -> Path:
        """The folder that pins it."""
        return MODULES / (self.home or self.name)

    @property
    def version(self) -> str:
        """The pinned version, from go.mod: stated once, there."""
        text = (self.pins / self.mod).read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(self.module)} v(\S+)", text, re.MULTILINE)
        if not found:
            raise LabError(f"tests/lab/go/{self.pins.name}/{self.mod} does not require {self.module}")
        return found[1]

    @property
    def flags(self) -> str:
        """Linker flags; Kubernetes takes its version, and with it its feature gates, from there."""
        version = self.version
        return self.ldflags.format(version=version, minor=version.split(".")[1])

    @property
    def folder(self) -> Path:
        """Where the built program is, or will be."""
        digest = hashlib.sha256((self.flags + self.tags).encode())
        ours = Path(self.mod).stem
        for source in sorted(p for p in self.pins.iterdir() if p.stem == ours or p.suffix == ".go"):
            digest.update(source.read_bytes())
        return cache_dir() / "bin" / f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"


def _kube_mod() -> str:
    """What pins Kubernetes: the newest that we work with, or the older one that was asked for."""
    wanted = os.environ.get("KUBE", "")
    pins = f"go-{wanted}.mod" if wanted else "go.mod"
    if not (MODULES / "kube" / pins).is_file():
        have = sorted(path.stem.removeprefix("go-") for path in (MODULES / "kube").glob("go-*.mod"))
        raise LabError(f"KUBE={wanted}: the lab builds {', '.join(have)}, or without KUBE the newest")
    return pins


_COMPONENT = "k8s.io/component-base/version"
_PROMETHEUS = "github.com/prometheus/prometheus"
# Of thirty ways to discover targets the one that a cluster needs: a third of the compiling.
_DISCOVERY = "remove_all_sd,enable_kubernetes_sd"
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "etcd",
            "etcd",
            "go.etcd.io/etcd/server/v3",
            "go.etcd.io/etcd/server/v3",
            "-s -w",
            ("etcd",),
            "about 1 min on 2 cores, once",
        ),
        Tool(
            "kube",
            "Kubernetes",
            "k8s.io/kubernetes",
            ".",
            f"-s -w -X {_COMPONENT}.gitVersion=v{{version}}"
            f" -X {_COMPONENT}.gitMajor=1 -X {_COMPONENT}.gitMinor={{minor}}"
            " -X k8s.io/client-go/pkg/version.gitVersion=v{version}",
            ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl"),
            "about 7 min on 2 cores, once",
            mod=_kube_mod(),
        ),
        Tool(
            "helm",
            "Helm",
            "helm.sh/helm/v4",
            "helm.sh/helm/v4/cmd/helm",
            "-s -w -X helm.sh/helm/v4/internal/version.version=v{version}",
            ("helm",),
            "about 3 min on 2 cores, once",
        ),
        Tool(
            "registry",
            "the registry",
            "github.com/distribution/distribution/v3",
            ".",
            "-s -w -X github.com/distribution/distribution/v3/version.version=v{version}",
            ("registry",),
            "about 1 min on 2 cores, once",
        ),
        Tool(
            "helm3",
            "Helm",
            "helm.sh/helm/v3",
            "helm.sh/helm/v3/cmd/helm",
            "-s -w -X helm.sh/helm/v3/internal/version.version=v{version}",
            ("helm3",),
            "about 3 min on 2 cores, once",
            lab=False,
        ),
        Tool(
            "cosign",
            "cosign",
            "github.com/sigstore/cosign/v3",
            "github.com/sigstore/cosign/v3/cmd/cosign",
            "-s -w",
            ("cosign",),
            "about 4 min on 2 cores, once",
            lab=False,
        ),
        Tool(
            "versitygw",
            "an S3 server",
            "github.com/versity/versitygw",
            "github.com/versity/versitygw/cmd/versitygw",
            "-s -w",
            ("versitygw",),
            "about 1 min on 2 cores, once",
            lab=False,
        ),
        Tool(
            "containerd",
            "containerd 2",
            "github.com/containerd/containerd/v2",
            "github.com/containerd/containerd/v2/cmd/containerd",
            "-s -w -X github.com/containerd/containerd/v2/version.Version=v{version}",
            ("containerd",),
            "about 3 min on 2 cores, once",
            tags="no_btrfs",  # it is C
            lab=False,  # a lab's nodes run Debian's own, 1.x
        ),
        Tool(
            "kubeconform",
            "kubeconform",
            "github.com/yannh/kubeconform",
            "github.com/yannh/kubeconform/cmd/kubeconform",
            "-s -w",
            ("kubeconform",),
            "seconds, once",
            lab=False,
        ),
        Tool(
            "descheduler",
            "the descheduler",
            "sigs.k8s.io/descheduler",
            "sigs.k8s.io/descheduler/cmd/descheduler",
            "-s -w",
            ("descheduler",),
            "about 6 min on 2 cores, once",
            lab=False,
        ),
        *(
            Tool(
                name,
                name,
                _PROMETHEUS,
                f"{_PROMETHEUS}/cmd/{name}",
                "-s -w",
                (name,),
                "about 2 min on 2 cores, once",
                tags=_DISCOVERY,
                home="prometheus",
                lab=False,
            )
            for name in ("promtool", "prometheus")
        ),
    )
}
_OWNER = {command: tool for tool in TOOLS.values() for command in tool.commands}


def path(command: str) -> Path:
    """Where ``kubectl``, ``etcd``, ... is in the cache (built or not)."""
    return _OWNER[command].folder / command


def ensure(*names: str) -> None:
    """Build what is missing of the named tools (all that a lab is made of, when none is named)."""
    tools = [TOOLS[name] for name in names] or [tool for tool in TOOLS.values() if tool.lab]
    if all(tool.folder.is_dir() for tool in tools):
        return
    with cache_lock():
        for tool in tools:
            if not tool.folder.is_dir():
                _build(tool)


def _build(tool: Tool) -> None:
    go = find_go(needed_version(MODULES))
    temporary = tool.folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    binary = temporary / tool.name
    with step(f"building {tool.title} {tool.version} from Go modules", tool.estimate):
        build: list[str | Path] = [
            go,
            "build",
            f"-modfile={tool.mod}",
            "-mod=readonly",
            "-trimpath",
            "-tags",
            tool.tags,
        ]
        build += ["-ldflags", tool.flags, "-o", binary]
        try:
            run([*build, tool.package], cwd=tool.pins, env=go_env(go))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    if binary.stat().st_size < _MB:
        raise LabError(f"{binary} is no program")
    for command in tool.commands:
        if command != tool.name:
            (temporary / command).symlink_to(tool.name)
    temporary.rename(tool.folder)


@contextmanager
def cache_lock(name: str = "lock") -> Iterator[None]:
    """One builder at a time: a second one waits and then finds the work done."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run of the lab that is under way")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
