# SPDX-License-Identifier: Apache-2.0
"""A command in another Debian: its root is an overlay over a base system, gone with the command.

Neither systemd nor a network of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Arguments: base, scratch folder, host name or empty, paths to share, `--`, the command.
_ENTER = """
set -e
base=$1 at=$2; [ -z "$3" ] || hostname "$3"
shift 3
mount -t tmpfs tmpfs "$at"
mkdir "$at/upper" "$at/work" "$at/root"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$at/upper,workdir=$at/work" "$at/root"
root=$at/root
for d in proc sys dev; do mount --rbind /$d "$root/$d"; done
cp /etc/resolv.conf "$root/etc/resolv.conf"
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; shift; done
shift
exec chroot "$root" "$@"
"""


def command(
    base: Path, scratch: Path, argv: Sequence[str | Path], *, share: Sequence[Path | str] = (), hostname: str = ""
) -> list[str]:
    """The command line that runs ``argv`` there (root).

    ``share``: folders that are the same inside; ``scratch``: an empty one.
    """
    enter = ["unshare", "--mount", "--uts", "--", "sh", "-c", _ENTER, "sh"]
    return [str(part) for part in (*enter, base, scratch, hostname, *share, "--", *argv)]
