"""What colocation would bring on this cluster: how much is idle, what could be offered at which risk, and the policy.

Reads the use of the last days from Prometheus, replays it through the budget and the predictor that manager and agents
run, and recommends a ColocationPolicy for each node pool. Needs nothing installed, writes nothing to the cluster.

Prometheus is looked for through the API server. --prometheus names one, or anything that speaks its API. Without one,
--metrics-server samples metrics.k8s.io until Ctrl-C; --trace reads a file that --record wrote.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from colocation.assess import access, assessment, collect, discover, files, inventory, sampling, since
from colocation.assess.assessment import Assessment, Settings
from colocation.assess.prometheus import Prometheus, PrometheusError
from colocation.assess.shape import Header, NodeTrace
from colocation.cli.assess_options import add_arguments, folder, price, risk
from colocation.cli.assess_table import as_csv, render
from colocation.cli.common import CliError, fail, login, show
from colocation.cli.progress import progress
from colocation.kube.rest import ApiError, Rest

EXAMPLES: Final = """\
examples:
  colocation assess                                        a table, of the last 14 days
  colocation assess --html report.html --lang zh           also a page to hand around
  colocation assess --risk 0.5% -o policies | kubectl apply -f -
  colocation assess --prometheus https://metrics.example/tenant --prometheus-token-file token
  colocation assess --record use.gz --anonymous            use of the cluster in a file, without its names
  colocation assess --trace use.gz                         assess it elsewhere
"""
_FAILURES: Final = (
    CliError, access.AccessError, assessment.TooLittleError, collect.NoHistoryError, discover.NoPrometheusError,
    files.TraceFileError, inventory.InventoryError, PrometheusError, since.NothingPublishedError, OSError,
)  # fmt: skip

__all__ = ["EXAMPLES", "add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Read, replay, print."""
    if args.cluster_role:
        sys.stdout.write(inventory.CLUSTER_ROLE)
        return 0
    try:
        if args.since and (args.trace or args.metrics_server or args.record):
            raise CliError("--since asks Prometheus what happened: leave --trace, --metrics-server and --record out")
        with contextlib.ExitStack() as open_until_end:
            header, nodes = _use(args, open_until_end)
            if args.record:
                _record(args, header, nodes)
                return 0
            report = _assess(args, header, nodes)
            if args.since:
                report.since = _compare(args, header, report, open_until_end)
        _print(args, report)
    except _FAILURES as error:
        return fail(error)
    return 0


def _use(args: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Header, Iterator[NodeTrace]]:
    """The use that is assessed."""
    if args.trace:
        return files.read(args.trace)
    rest = Rest(login(args))
    stack.callback(rest.close)
    cluster = inventory.look(rest, args.pool_label, args.context or "")
    if args.metrics_server:
        return _sampled(args, rest, cluster)
    cache = None if args.no_cache else files.DiskCache(folder())
    server = _prometheus(args, rest, cache, stack)
    end = _since(args) or _window_end(cache)
    collector = collect.Collector(server, cluster, args.days, end)
    header = collector.header
    header.notes = [*cluster.notes, *collector.notes]
    sys.stderr.write(
        f"{server.title}: {header.nodes} nodes, {header.steps * 300 / 86400:.1f} days, "
        f"scraped each {header.scrape_seconds} s\n"
    )
    return header, _collected(collector, header, cache)


def _sampled(args: argparse.Namespace, rest: Rest, cluster: inventory.Cluster) -> tuple[Header, Iterator[NodeTrace]]:
    """Sample until Ctrl-C; what was sampled before counts too."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder() / "samples.gz"
    hours = math.inf if args.hours is None else args.hours
    sys.stderr.write(f"sampling metrics.k8s.io into {path}; Ctrl-C ends it, the same command continues\n")
    try:
        sampling.Sampler(rest, path).run(time.time() + hours * 3600, _say_steps)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
    except ApiError as error:
        raise CliError(f"metrics.k8s.io does not answer: {error}. Is metrics-server installed?") from error
    header, nodes = sampling.as_traces(path, cluster)
    header.notes[:0] = cluster.notes
    return header, iter(nodes)


def _say_steps(steps: int) -> None:
    sys.stderr.write(f"{steps * 5} minutes sampled\n")


def _since(args: argparse.Namespace) -> int | None:
    if not args.since:
        return None
    try:
        return since.moment(args.since)
    except ValueError as error:
        raise CliError(f"--since {args.since}: write it as 2026-11-21 or 2026-11-21T08:00Z ({error})") from error


def _compare(args: argparse.Namespace, header: Header, report: Assessment, stack: contextlib.ExitStack) -> since.Since:
    """Ask without the cache: these answers change with time."""
    rest = Rest(login(args))
    stack.callback(rest.close)
    server = _prometheus(args, rest, None, stack)
    return since.compare(server, header.end, int(server.now()) // 300 * 300, report.cpu, report.memory)


def _collected(collector: collect.Collector, header: Header, cache: files.DiskCache | None) -> Iterator[NodeTrace]:
    if cache is not None:
        cache.unfinished.write_bytes(msgspec.json.encode({"end": header.end}))
    try:
        for group in collector.groups():
            yield from group
    except KeyboardInterrupt:
        if cache is not None:
            sys.stderr.write("\nstopped; what was read is kept: the same command continues from here\n")
        raise
    header.notes = list(dict.fromkeys([*header.notes, *collector.notes]))
    if cache is not None:
        cache.unfinished.unlink(missing_ok=True)


def _window_end(cache: files.DiskCache | None) -> int | None:
    """That of a run that was stopped within the last day."""
    if cache is None:
        return None
    try:
        end = int(msgspec.json.decode(cache.unfinished.read_bytes())["end"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
    return end if 0 <= time.time() - end < 86400 else None


def _prometheus(
    args: argparse.Namespace, rest: Rest, cache: files.DiskCache | None, stack: contextlib.ExitStack
) -> Prometheus:
    if not args.prometheus:
        return discover.find(rest, cache)
    options = access.Access(
        url=args.prometheus,
        token_file=args.prometheus_token_file,
        user=args.prometheus_user,
        password_file=args.prometheus_password_file,
        ca=args.prometheus_ca,
        cert=args.prometheus_cert,
        key=args.prometheus_key,
        insecure=args.prometheus_insecure,
        headers=tuple(args.prometheus_header),
    )
    direct = Rest(access.login(options))
    stack.callback(direct.close)
    return Prometheus(direct, access.prefix(args.prometheus), args.prometheus, cache)


def _record(args: argparse.Namespace, header: Header, nodes: Iterable[NodeTrace]) -> None:
    renamer = files.Renamer() if args.anonymous else None
    done = progress("nodes", header.nodes)
    with files.Recording(
        args.record, renamer.header(header) if renamer else header, renamer.node if renamer else None
    ) as recording:
        for count, node in enumerate(nodes, 1):
            recording.write(node)
            done(count)
    sys.stderr.write(f"written: {args.record}, {args.record.stat().st_size / 2**20:.1f} MiB\n")


def _assess(args: argparse.Namespace, header: Header, nodes: Iterable[NodeTrace]) -> Assessment:
    settings = Settings(risk=risk(args.risk), price=price(args.price) if args.price else None)
    return assessment.assess(header, nodes, settings, progress("nodes", header.nodes))


def _print(args: argparse.Namespace, report: Assessment) -> None:
    if args.html:
        from colocation.assess.html import page  # noqa: PLC0415 (Jinja2 only where a page is asked for)

        args.html.write_text(page(report, args.lang))
        sys.stderr.write(f"written: {args.html}\n")
    if args.output == "table":
        text = render(report)
    elif args.output == "csv":
        text = as_csv(report)
    elif args.output == "policies":
        text = "---\n".join(show(pool.policy, "yaml") for pool in report.pools)
    else:
        text = show(msgspec.to_builtins(report), args.output)
    sys.stdout.write(text)
