# SPDX-License-Identifier: Apache-2.0
"""The manager as a pod runs it: `python -m tests.bench.pod HOST PORT FOLDER LISTEN RATE`.

By a ServiceAccount's token in FOLDER, so that what is resident is a pod's: `--kubeconfig` loads another 47 MiB.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from colocation.kube.login import in_cluster
from colocation.manager.main import ManagerOptions, run


def main(host: str, port: str, folder: str, listen: str, rate: str) -> int:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.WARNING)
    login = in_cluster({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}, Path(folder))
    return run(login, ManagerOptions(host="127.0.0.1", port=int(listen), rate=float(rate)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
