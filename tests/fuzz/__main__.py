"""`make fuzz`: every target under a coverage-guided fuzzer (atheris, on libFuzzer), SECONDS each.

What was found interesting is kept in the cache folder, so that the next run goes on from there. A crash is written
to .fuzz/, and the command ends with how to run it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.lab.config import CLONE, cache_dir
from tests.lab.extras import extras

CRASHES = CLONE / ".fuzz"
LONGEST = 8192
"""Bytes of an input; a cgroup file is read up to so many."""


def main() -> int:
    """Run the chosen targets one after the other; 1 if one of them crashed."""
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input through --target and stop")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args, rest = parser.parse_known_args()
    chosen = args.target or list(TARGETS)
    if args.replay:
        for name in chosen:
            TARGETS[name].feed(args.replay.read_bytes())
        return 0
    if args.child:
        return fuzz(chosen[0], rest)
    path = extras("fuzz")
    crashed = [name for name in chosen if not run(name, args.seconds, path)]
    for name in crashed:
        print(f"fuzz: {name} fails; see {CRASHES}/ and run", file=sys.stderr)
        print(f"  .venv/bin/python -m tests.fuzz --target {name} --replay .fuzz/{name}-crash-...", file=sys.stderr)
    return 1 if crashed else 0


def run(name: str, seconds: int, path: Path) -> bool:
    """One target in a process of its own; False if it crashed."""
    corpus = cache_dir() / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed{number}").write_bytes(b"\0" + seed if TARGETS[name].is_json else seed)
    CRASHES.mkdir(exist_ok=True)
    words = corpus.parent / f"{name}.dict"
    words.write_text("".join(f'"{word}"\n' for word in dictionary(name)))
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=1024"]
    options += [f"-artifact_prefix={CRASHES}/{name}-", "-print_final_stats=1", str(corpus)]
    if words.stat().st_size:  # libFuzzer takes no empty one
        options.append(f"-dict={words}")
    env = {**os.environ, "PYTHONPATH": f"{path}:{os.environ.get('PYTHONPATH', '')}"}
    argv = [sys.executable, "-m", "tests.fuzz", "--child", "--target", name, *options]
    log = CRASHES / f"{name}.log"
    with log.open("wb") as out:
        code = subprocess.run(argv, cwd=CLONE, env=env, stdout=out, stderr=out, check=False).returncode
    text = log.read_text(errors="replace")
    kept = sum(1 for _ in corpus.iterdir())
    stats = {line.split()[0]: line.split()[1] for line in text.splitlines() if line.startswith("stat::")}
    runs = stats.get("stat::number_of_executed_units:", "?")
    print(f"{name:14} {'ok' if code == 0 else 'CRASHED'}: {runs} inputs in {seconds} s, {kept} kept")
    if code:
        print(text[-2500:], file=sys.stderr)
    return code == 0


def dictionary(name: str) -> list[str]:
    """Words of the seeds, which libFuzzer puts together."""
    import re  # noqa: PLC0415 (the child does without)

    words = {word.decode() for seed in TARGETS[name].seeds for word in re.findall(rb"[A-Za-z_.-]{3,40}", seed)}
    return sorted(words)


def fuzz(name: str, options: list[str]) -> int:
    """In the child: instrument what is imported of ours, and never return."""
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 (only here, only in the child)

    for module in list(sys.modules):
        if module.startswith("colocation") or module == "tests.fuzz.targets":
            del sys.modules[module]
    with atheris.instrument_imports(include=["colocation"]):
        from tests.fuzz.targets import TARGETS as TRACED  # noqa: PLC0415
    atheris.Setup([sys.argv[0], *options], TRACED[name].feed)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
