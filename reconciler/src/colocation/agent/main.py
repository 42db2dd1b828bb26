"""``colocation agent``: options, wiring, signals."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from colocation import logs
from colocation.agent.engine import RubikEngine
from colocation.agent.loop import Loop
from colocation.agent.reporter import ReportSender
from colocation.agent.server import serve
from colocation.agent.specs import KubeApi, Specs
from colocation.agent.status import capabilities
from colocation.kube.login import LoginError, find
from colocation.kube.rest import Rest
from colocation.node.apply import Applier
from colocation.node.histories import HistoryWriter
from colocation.node.journal import Journal, restore
from colocation.node.probe import probe
from colocation.node.sampler import Sampler

log = logging.getLogger(__name__)
STATE_DIR: Final = "/var/lib/openfuyao-colocation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``colocation agent``."""
    add = parser.add_argument
    add("--node", default=os.environ.get("NODE_NAME", ""), help="name of this Node (default: $NODE_NAME)")
    add("--cgroup-root", default="/sys/fs/cgroup", metavar="DIR", help="where the node's cgroups are mounted")
    add("--proc-root", default="/proc", metavar="DIR", help="where the node's /proc is")
    add(
        "--state-dir",
        default=STATE_DIR,
        type=Path,
        metavar="DIR",
        help="journal, last known spec and histories of pods",
    )
    add("--kubeconfig", metavar="FILE", help="log in by this file (default: the pod's ServiceAccount)")
    add("--interval", default=1.0, type=_seconds, metavar="SECONDS", help="length of a round")
    add(
        "--listen",
        default="[::]:9101",
        metavar="HOST:PORT",
        help="serve /healthz, /readyz and /metrics here (default: %(default)s, which is every address, IPv6 and IPv4)",
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--once", action="store_true", help="sample once, print the report as JSON; writes nothing")
    modes.add_argument("--dry-run", action="store_true", help="run, but change no cgroup, file or API object")
    modes.add_argument("--restore", action="store_true", help="put back every changed value and exit")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM; the exit status. On SIGTERM values stay in place: an update must not unprotect."""
    journal_path = str(args.state_dir / "journal")
    if args.restore:
        return _restore(journal_path, args.cgroup_root)
    _raise_file_limit()
    idle = args.once or args.dry_run
    features = probe(args.cgroup_root, args.proc_root, try_writes=not idle)
    if not features["cgroup_version"]:
        log.error("no cgroups here", extra={"path": args.cgroup_root})
        return 1
    sampler = Sampler(args.cgroup_root, args.proc_root)
    specs = Specs(args.state_dir / "state" / "spec.json", read_only=idle)
    if args.once:
        return _once(args, features, sampler, specs)
    if not args.node:
        log.error("give --node or set NODE_NAME")
        return 2
    stop = threading.Event()
    logs.answer_signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as held:
        if not args.dry_run and not _lock(args.state_dir, stop, held):
            return 0
        applier = _applier(args, sampler)
        try:
            api = KubeApi(Rest(find(args.kubeconfig)), args.node)
        except LoginError as error:
            log.error("cannot log in to the API server", extra={"error": str(error)})  # noqa: TRY400
            return 1
        sender = None if args.dry_run else ReportSender(api)
        loop = Loop(
            sampler=sampler,
            applier=applier,
            specs=specs,
            capabilities=capabilities(features),
            sender=sender,
            interval=args.interval,
            keeper=None if args.dry_run else HistoryWriter(args.state_dir / "state" / "histories.json"),
            rubik=None if args.dry_run else RubikEngine(args.state_dir / "rubik", capabilities(features)),
        )
        try:
            serve(args.listen, loop, sampler, applier, sender)
        except (OSError, ValueError, OverflowError) as error:
            log.error("cannot listen", extra={"listen": args.listen, "error": str(error)})  # noqa: TRY400
            return 1
        api.watch(specs.emit)
        if sender is not None:
            sender.start()
        known = msgspec.to_builtins(capabilities(features))
        log.info("agent started", extra={"node": args.node, "capabilities": known})
        loop.run(stop)
        loop.close()
    log.info("agent stopped; values stay in place")
    return 0


def _once(args: argparse.Namespace, features: dict[str, Any], sampler: Sampler, specs: Specs) -> int:
    loop = Loop(sampler=sampler, applier=_applier(args, sampler), specs=specs, capabilities=capabilities(features))
    loop.step()
    time.sleep(args.interval)
    loop.step()
    text = msgspec.json.format(msgspec.json.encode(loop.status()), indent=2)
    sys.stdout.write(text.decode() + "\n")
    return 0


def _applier(args: argparse.Namespace, sampler: Sampler) -> Applier:
    journal = Journal(str(args.state_dir / "journal"), args.cgroup_root)
    return Applier(sampler.layout, journal, dry_run=args.once or args.dry_run)


def _restore(journal_path: str, cgroup_root: str) -> int:
    """Put everything back, say what was done as JSON; 1 if the kernel refused something."""
    done = restore(journal_path, cgroup_root)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(done), indent=2).decode() + "\n")
    return 1 if done["failed"] else 0


def _lock(state_dir: Path, stop: threading.Event, held: contextlib.ExitStack) -> bool:
    """Wait until no other agent works on this node (one that is being replaced may still end). False: stopped."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        file = held.enter_context((state_dir / "lock").open("w"))
    except OSError as error:  # a read-only disk: better to protect what can be than to do nothing
        log.warning("state folder cannot be locked", extra={"path": str(state_dir), "error": str(error)})
        return True
    given = False
    while not stop.is_set():
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not given:
                log.warning("another agent works on this node; waiting until it ends")
            given = True
            stop.wait(0.5)
        else:
            return True
    return False


def _raise_file_limit() -> None:
    """Every counter is kept open: 250 pods need about 2,000 descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if hard == resource.RLIM_INFINITY else min(hard, 16384)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError("must be between 0.1 and 60")
    return value
