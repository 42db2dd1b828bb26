# SPDX-License-Identifier: Apache-2.0
"""The command: ``python3 -m tests.lab up|down|status|build|ssh|load-image|stop|start``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from . import binaries, control_plane, lifecycle, machines
from .config import Lab
from .errors import LabError
from .progress import say, step

_EPILOG = """\
after `up`:
  .lab/bin/kubectl --kubeconfig .lab/kubeconfig get nodes
  ansible -i .lab/inventory.yml colocation_nodes -m ping
  python3 -m tests.lab ssh node1 journalctl -u kubelet

environment:
  LAB_ID            0 to 99 (0): labs with different numbers run side by side; number N is in .lab-N
  LAB_NODES         how many nodes (2)
  LAB_DEBIAN        what the nodes run: 12 or 13 (12)
  MEM_KB            memory a node shows, and may use, in kB (8388608)
  COLOCATION_CACHE  built programs and the base system (~/.cache/openfuyao-colocation)
  LAB_KEEP_FAILED   set: a failed `up` leaves what it started, to be looked at

The first `up` on a machine builds Kubernetes from source (about 12 minutes on 2 cores); later ones take seconds.
"""
_PARTS = f"{', '.join(control_plane.COMPONENTS)}, or a node"


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors meant for people are printed without a traceback."""
    args = _parser().parse_args(argv)
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _interrupt)
    try:
        return int(args.run(Lab.from_env(), args) or 0)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Begin to tidy up; whoever is impatient and asks again must not interrupt that."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.lab",
        description="A real Kubernetes cluster on this machine: a control plane, and nodes that are machines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("up", help="start the lab and wait until every node is Ready (root)")
    command.set_defaults(run=_up)
    command = commands.add_parser("down", help="stop everything and remove it; also half a lab, also twice")
    command.add_argument("--force", action="store_true", help="also what a lab without state folder left behind")
    command.set_defaults(run=lambda lab, args: lifecycle.down(lab, force=args.force))
    command = commands.add_parser("status", help="what runs, and whether it is healthy (exit status 0)")
    command.set_defaults(run=_status)
    command = commands.add_parser(
        "build", help="only build what a lab is made of, or the named programs, into the cache"
    )
    command.add_argument("tools", nargs="*", metavar="PROGRAM", help=", ".join(binaries.TOOLS))
    command.set_defaults(run=_build)
    command = commands.add_parser("ssh", help="a shell in a node, or one command")
    command.add_argument("node")
    command.add_argument("command", nargs=argparse.REMAINDER)
    command.set_defaults(run=_ssh)
    command = commands.add_parser("load-image", help="import a docker or OCI archive into every node")
    command.add_argument("archive", type=Path)
    command.set_defaults(run=_load_image)
    command = commands.add_parser("stop", help="stop one part, to see what its absence does")
    command.add_argument("part", help=_PARTS)
    command.set_defaults(run=lambda lab, args: lifecycle.stop_part(_running(lab), args.part))
    command = commands.add_parser("start", help="start a part that was stopped")
    command.add_argument("part", help=_PARTS)
    command.set_defaults(run=lambda lab, args: lifecycle.start_part(_running(lab), args.part))
    return parser


def _build(_lab: Lab, args: argparse.Namespace) -> None:
    if unknown := sorted(set(args.tools) - set(binaries.TOOLS)):
        raise LabError(f"no recipe for {', '.join(unknown)}; there are {', '.join(binaries.TOOLS)}")
    binaries.ensure(*args.tools) if args.tools else lifecycle.build()


def _up(lab: Lab, args: argparse.Namespace) -> None:
    lifecycle.up(lab)
    print(f"kubeconfig  {lab.kubeconfig}\ninventory   {lab.inventory}\nprograms    {lab.bin}")
    print(f"for kubectl, helm and colocation:\n  export KUBECONFIG={lab.kubeconfig} PATH={lab.bin}:$PATH")


def _status(lab: Lab, args: argparse.Namespace) -> int:
    if not lab.state.exists():
        print("no lab is up")
        return 1
    records = [control_plane.daemon(lab, name) for name in control_plane.COMPONENTS]
    records += [machines.daemon(lab, name) for name in machines.recorded(lab)]
    for record in records:
        print(f"{record.name:20} {f'pid {record.pid}' if record.pid else 'not running'}")
    for name, state in lifecycle.node_states(lab).items():
        print(f"Node {name:15} Ready={state}")
    return 0 if lifecycle.healthy(lab) else 1


def _ssh(lab: Lab, args: argparse.Namespace) -> None:
    lab = _running(lab)
    command = machines.ssh_command(lab, lab.node(args.node), *args.command)
    os.execvp(command[0], command)


def _load_image(lab: Lab, args: argparse.Namespace) -> None:
    if not args.archive.is_file():
        raise LabError(f"{args.archive}: no such file")
    lab = _running(lab)
    for node in lab.nodes:
        with step(f"importing {args.archive.name} into {node.name}"):
            say(machines.load_image(lab, node, args.archive).strip())


def _running(lab: Lab) -> Lab:
    if not lab.state.exists():
        raise LabError("no lab is up; start one with `python3 -m tests.lab up`")
    return lifecycle.running(lab)


if __name__ == "__main__":
    sys.exit(main())
