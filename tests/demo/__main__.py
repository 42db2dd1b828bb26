"""The demo, from nothing to a summary: `make demo`.

Each step is what an operator would do, with the same files. Ctrl-C at any moment takes down what was started.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.demo.cluster import FILES, DemoCluster
from tests.demo.live import Live
from tests.demo.view import summary
from tests.lab import console
from tests.lab.config import Lab
from tests.lab.errors import LabError

CLONE = Path(__file__).resolve().parents[2]
ROLLOUT = ("-e", f"@{FILES / 'rollout.yml'}")


class Way(NamedTuple):
    """To the console."""

    url: str
    token: str


def main() -> int:
    """Run the demo; 0 when every step did what it says."""
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="A real two-node cluster here, rolled out by ansible-playbook, with offline work on top.",
        epilog="KEEP=1 leaves the cluster up, starts the web console in it, and prints how to reach both. "
        "DEMO_SECONDS (120): how long it is shown.",
    )
    parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    lab = Lab.from_env()
    keep = os.environ.get("KEEP", "") not in ("", "0")
    try:
        way = _demo(lab, keep=keep)
    except KeyboardInterrupt:
        print("\ninterrupted: taking down what was started", file=sys.stderr)
        keep = False
        return 130
    except (LabError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    else:
        if keep:
            print(how_to_reach(lab, way))
        return 0
    finally:
        if not keep:
            _python("-m", "tests.lab", "down", check=False)


def _demo(lab: Lab, *, keep: bool) -> Way | None:
    seconds = float(os.environ.get("DEMO_SECONDS", "120"))
    if os.geteuid() != 0:
        raise LabError("the demo makes machines and network namespaces: run it as root (`make unit` needs no root)")
    start = time.monotonic()
    _say("1/5 a real Kubernetes with two nodes (7 min the first time, to build it; 20 s after)")
    _python("-m", "tests.lab", "up")
    _say("2/5 the image and the chart (1 min the first time)")
    _python("-m", "build.image")
    _python("-m", "build.chart")
    _say("3/5 the roll-out: ansible-playbook playbooks/site.yml (1 min)")
    cluster = DemoCluster(lab)
    cluster.playbook("site", *ROLLOUT)
    _say(f"4/5 offline work beside an online service, live, {seconds:.0f} s")
    _show(cluster, lab, seconds)
    print(f"\nThe whole demo took {(time.monotonic() - start) / 60:.1f} min.")
    if not keep:
        _say("5/5 taking everything down")
        return None
    _say("5/5 the cluster is kept, with the web console in it (1 min)")
    console.roll_out(cluster, *ROLLOUT)
    return Way(console.open_way(lab), console.person(cluster, "demo", "operator"))


def _show(cluster: DemoCluster, lab: Lab, seconds: float) -> None:
    nodes = cluster.nodes()
    image = cluster.image()
    cluster.kubectl("delete", "job", "-n", "demo", "batch", "--ignore-not-found")  # of an earlier demo that was kept
    cluster.programs()
    for place, node in enumerate(nodes):
        cluster.show("service.yaml.j2", node=node, image=image, phase=place / len(nodes))
    cluster.wait_running(*(f"shop-{node}" for node in nodes))
    print("The demo's policy publishes growth after 10 s (the default is 5 min), so that two minutes show some.")
    live = Live(cluster, nodes)
    alone = live.run("the service alone", seconds / 3)
    cluster.show("batch.yaml.j2", image=image)
    beside = live.run("the service, and a best-effort batch Job on what was published", seconds * 2 / 3)
    finished = cluster.finished()
    _say(f"colocation explain {nodes[0]}")
    _python("-m", "colocation", "explain", nodes[0], "--kubeconfig", str(lab.kubeconfig))
    _say("summary")
    print(summary(alone, beside, finished))


def _python(*args: str, check: bool = True) -> None:
    subprocess.run([sys.executable, *args], cwd=CLONE, check=check)


def _say(text: str) -> None:
    print(f"\n\x1b[1m==> {text}\x1b[0m" if sys.stdout.isatty() else f"\n==> {text}", flush=True)


def how_to_reach(lab: Lab, way: Way | None) -> str:
    """What is printed at the end where the cluster is kept."""
    lines = [
        "",
        "The cluster is up:",
        f"  export KUBECONFIG={lab.kubeconfig} PATH={lab.bin}:$PATH",
        f"  colocation doctor; kubectl colocation report; colocation explain {lab.nodes[0].name}",
        "  kubectl get ncol; kubectl get nodes -o yaml | grep -B1 -A2 be-cpu",
        f"  python3 -m tests.lab ssh {lab.nodes[0].name}",
        "  make lab-down    # when done",
    ]
    if way is not None:
        lines += [
            "",
            "The console, in a browser of this machine:",
            f"  {way.url}/",
            "Sign in with this token, good for 8 hours; its owner may change policies:",
            f"  {way.token}",
        ]
    return "\n".join(lines)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
