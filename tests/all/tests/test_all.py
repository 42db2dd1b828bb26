# SPDX-License-Identifier: Apache-2.0
"""test-all: which suites there are, what a log counts, whether a result holds, what the page says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.all import code, counts, results, run
from tests.all.page import page
from tests.all.results import Result
from tests.all.suites import MAKEFILE, Suite, suites
from tests.lab.waiting import eventually

MAKE = """\
.PHONY: all
unit: setup  ## pure logic
\t@$(PYTEST) -q reconciler/tests/unit

lab-up: need-root setup  ## only the cluster
\t@$(BIN)/python -m tests.lab up

test-v2: need-root setup  ## the same (root; 27 min)
\t$(call step,a step)
\t@MACHINE=v2 $(PYTEST) -v tests/survive

build: image chart  ## image
\t@$(BIN)/python -m build.collection
"""


def a_result(**over: object) -> Result:
    given: dict[str, object] = {
        "suite": "unit", "outcome": "passed", "commit": "abc", "code": "now", "date": "2026-12-01T04:28:16+00:00",
        "minutes": 0.6, "machine": "2 cores", "runs": 1, "passed": 7,
    }  # fmt: skip
    return Result(**{**given, **over})  # type: ignore[arg-type]


def test_suites_are_the_targets_that_run_tests() -> None:
    assert suites(MAKE) == {
        "unit": Suite("unit", "pure logic", root=False, limit=120),
        "test-v2": Suite("test-v2", "the same (root; 27 min)", root=True, limit=120),
    }


def test_a_long_suite_may_take_four_times_what_its_help_says() -> None:
    assert suites(MAKE.replace("27 min", "45 min"))["test-v2"].limit == 180


def test_every_folder_of_tests_belongs_to_a_suite() -> None:
    """A folder of tests that no target names would never be run by anybody."""
    recipes = MAKEFILE.read_text()
    folders = {path.parent.relative_to(code.CLONE) for path in code.CLONE.glob("tests/**/test_*.py")}
    folders |= {path.parent.relative_to(code.CLONE) for path in code.CLONE.glob("reconciler/tests/**/test_*.py")}
    orphans = [str(f) for f in folders if not any(str(p) in recipes for p in (f, *f.parents) if len(p.parts) > 1)]
    assert not orphans


def test_there_are_the_suites_that_everybody_knows() -> None:
    known = suites()
    assert {"lint", "unit", "component", "chart-test", "sanity", "e2e", "test-v2", "bench", "fuzz"} <= set(known)
    assert not {"demo", "test", "test-all", "lab-up", "build", "image"} & set(known)
    assert known["e2e"].root
    assert not known["unit"].root


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("12 passed in 3.40s", (1, 12, 0, 0)),
        ("==== 1 failed, 4 passed, 2 skipped, 1 warning in 61.20s (0:01:01) ====", (1, 4, 1, 2)),
        ("\x1b[32m\x1b[1m3 passed\x1b[0m, \x1b[33m1 xfailed\x1b[0m\x1b[32m in 0.1s\x1b[0m", (1, 3, 0, 1)),
        ("2 errors in 0.50s", (1, 0, 2, 0)),
        ("1 xpassed, 5 deselected in 0.50s", (1, 0, 1, 0)),
        ("2 passed in 1.00s\nsomething else\n3 passed, 1 skipped in 2.00s", (2, 5, 0, 1)),
        ("200 requests passed in 3 rounds\n5 passed inside", (0, 0, 0, 0)),
        ("no tests ran in 0.01s", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_what_pytest_says_at_its_end_is_counted(log: str, expected: tuple[int, int, int, int]) -> None:
    found = counts.read(log.splitlines())
    assert (found.runs, found.passed, found.failed, found.skipped) == expected


def test_why_tests_were_skipped_is_kept() -> None:
    log = ["SKIPPED [2] tests/a.py:7: no AppArmor here", "SKIPPED [1] tests/b.py:9: no AppArmor here"]
    assert counts.read(log).reasons == {"no AppArmor here": 3}


def test_the_counts_are_those_of_a_real_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip('why not')\ndef test_c(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "--rootdir", ".", "test_it.py"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    found = counts.read(done.stdout.splitlines())
    assert (found.passed, found.failed, found.skipped, found.reasons) == (1, 1, 1, {"why not": 1})


LISTING = "100644 {} 0\tMakefile\n100644 {} 0\tdocs/budget.md\n100644 {} 0\tcharts/x/README.md\n"


def test_documentation_does_not_make_a_result_old() -> None:
    assert code.of(LISTING.format("a", "b", "c")) == code.of(LISTING.format("a", "x", "y"))
    assert code.of(LISTING.format("a", "b", "c")) != code.of(LISTING.format("z", "b", "c"))


def test_the_digest_sees_files_that_are_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "CLONE", tmp_path)
    for command in (["init", "-q"], ["add", "-A"]):
        (tmp_path / "Makefile").write_text("a:\n")
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *name, "commit", "-qm", "first"], cwd=tmp_path, check=True)
    first = code.digest()
    assert not code.commit().endswith("+")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("text")
    assert code.digest() == first
    (tmp_path / "new.py").write_text("1")
    assert code.digest() != first
    assert code.commit().endswith("+")
    staged = subprocess.run(["git", "diff", "--cached", "--name-only"], cwd=tmp_path, capture_output=True, check=True)
    assert staged.stdout == b""  # what the user has staged stays as it was
    assert code.changed_since(code.commit()) == 0  # untracked; git diff does not list it
    assert code.changed_since("0123456789ab") is None


def test_results_are_read_as_they_were_saved(tmp_path: Path) -> None:
    result = a_result(reasons={"no AppArmor": 2})
    results.save(result, tmp_path)
    assert results.load(tmp_path) == {"unit": result}


@pytest.mark.parametrize(
    ("result", "holds"),
    [
        (None, False),
        (a_result(), True),
        (a_result(code="older"), False),
        (a_result(outcome="failed"), False),
        (a_result(outcome="changed"), False),
    ],
)
def test_only_what_passed_on_this_code_is_not_run_again(result: Result | None, holds: bool) -> None:
    assert results.holds(result, "now") is holds


def row(result: Result | None, *, changed: int | None = 3) -> str:
    found = {} if result is None else {"unit": result}
    text = page(suites(MAKE), found, "abc", "now", lambda _commit: changed)
    return next(line for line in text.splitlines() if line.startswith("| `unit`"))


def test_the_page_says_of_each_suite_how_it_stands_on_this_code() -> None:
    assert "| **yes** | passed | 7 | 0 | 0 | 0.6 | 2026-12-01 04:28 | `abc` | A |" in row(a_result())
    assert "no record" in row(None)
    assert "no: 3 files have changed since" in row(a_result(code="older"))
    assert "no: older code" in row(a_result(code="older"), changed=None)
    assert "**no**: failed" in row(a_result(outcome="failed", failed=1))


def test_a_row_has_as_many_cells_as_the_head() -> None:
    for result in (None, a_result(), a_result(runs=0), a_result(outcome="changed")):
        assert row(result).count("|") == 11


def a_make(tmp_path: Path, body: str) -> tuple[str, ...]:
    """A program in the place of make; it gets the suite's name."""
    script = tmp_path / "make"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return (str(script),)


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(run, "LOGS", tmp_path / "logs")
    # Started in the background by a shell, this process ignores SIGINT, and so would the suites.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("status", "outcome"), [(0, "passed"), (3, "failed")])
def test_a_run_is_recorded(tmp_path: Path, logs: None, status: int, outcome: str) -> None:
    result = run.suite(Suite("x", "", False, 1), a_make(tmp_path, f"echo '4 passed in 1.00s'; exit {status}"))
    assert (result.outcome, result.passed, result.code) == (outcome, 4, code.digest())
    assert (tmp_path / "logs/x.log").read_text() == "4 passed in 1.00s\n"


def test_code_that_changes_during_the_run_does_not_count(
    tmp_path: Path, logs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(("a", "b"))
    monkeypatch.setattr(code, "digest", lambda: next(digests))
    assert run.suite(Suite("x", "", False, 1), a_make(tmp_path, "exit 0")).outcome == "changed"


def test_a_suite_that_hangs_is_interrupted_and_may_tidy_up(tmp_path: Path, logs: None) -> None:
    body = f"trap 'echo gone >{tmp_path}/tidy; exit 0' INT; while :; do sleep 0.1; done"
    result = run.suite(Suite("x", "", False, 0.02), a_make(tmp_path, body))
    assert result.outcome == "failed"
    assert (tmp_path / "tidy").exists()


def test_ctrl_c_interrupts_the_suite_and_records_nothing(tmp_path: Path, logs: None) -> None:
    def interrupt() -> None:
        eventually((tmp_path / "ready").exists, 30, "the suite has set its trap")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    body = f"trap 'touch {tmp_path}/tidy; exit 0' INT; touch {tmp_path}/ready; while :; do sleep 0.1; done"
    with pytest.raises(KeyboardInterrupt):
        run.suite(Suite("x", "", False, 1), a_make(tmp_path, body))
    assert (tmp_path / "tidy").exists()
