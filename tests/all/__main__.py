# SPDX-License-Identifier: Apache-2.0
"""Run suites and record their results.

    python -m tests.all                  every suite that has no passing result on this code; then docs/verified.md
    python -m tests.all run SUITE...     these, whatever their last result; then docs/verified.md
    python -m tests.all list             which suites there are, and how each stands on this code
    python -m tests.all page             docs/verified.md again, without running anything

Interrupted (Ctrl-C), it records nothing of the suite that ran; started again, it goes on with that one.
Logs are in build/out/verified/. Exit status: 0 all passed, 1 one failed or could not run here, 2 wrong arguments.
"""

from __future__ import annotations

import os
import signal
import sys

from tests.all import code, results, run
from tests.all.page import PAGE, page
from tests.all.suites import Suite, suites


def main(arguments: list[str]) -> int:
    """Do what was asked for."""
    # A shell starts what runs in the background with SIGINT ignored; suites that hang are interrupted by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    known = suites()
    match arguments:
        case []:
            return _run(list(known.values()), again=False)
        case ["run", *names] if names:
            if unknown := sorted(set(names) - set(known)):
                print(f"no suite {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
                return 2
            return _run([known[name] for name in names], again=True)
        case ["list"]:
            _list(known)
            return 0
        case ["page"]:
            _write()
            return 0
    print(__doc__, file=sys.stderr)
    return 2


def _run(chosen: list[Suite], *, again: bool) -> int:
    failed, impossible = [], []
    for suite in chosen:
        # Anew for each: a suite takes long enough for somebody to edit a file.
        if not again and results.holds(results.load().get(suite.name), code.digest()):
            run.say(f"{suite.name}: passed before on this code")
            continue
        if suite.root and os.geteuid() != 0:
            run.say(f"{suite.name}: not run, it needs root")
            impossible.append(suite.name)
            continue
        result = run.suite(suite)
        results.save(result)
        run.say(f"{suite.name}: {result.outcome} after {result.minutes:.1f} min")
        if result.outcome != "passed":
            failed.append(suite.name)
        _write()
    _write()
    _summary(failed, impossible)
    return 1 if failed or impossible else 0


def _summary(failed: list[str], impossible: list[str]) -> None:
    run.say(f"failed: {', '.join(failed) or 'none'}")
    if impossible:
        run.say(f"not run, because they need root: {', '.join(impossible)}")
    run.say(f"results: docs/{PAGE.name}")


def _list(known: dict[str, Suite]) -> None:
    recorded, now = results.load(), code.digest()
    for suite in known.values():
        last = recorded.get(suite.name)
        if last is None:
            state = "no record"
        elif last.code != now:
            state = f"{last.outcome} on older code"
        else:
            state = f"{last.outcome} on this code"
        print(f"{suite.name:18} {state:22} {suite.about}")


def _write() -> None:
    text = page(suites(), results.load(), code.commit(), code.digest(), code.changed_since)
    PAGE.write_text(text)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        run.say("interrupted: start it again to go on")
        sys.exit(130)
