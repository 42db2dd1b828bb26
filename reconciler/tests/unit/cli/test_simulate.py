"""`colocation simulate`: folders and archives in, tables and JSON out, sentences for what it cannot read."""

import json
import tarfile
from pathlib import Path

import pytest

from colocation.cli import main


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    for day in ("one", "two"):
        (tmp_path / "trace" / day).mkdir(parents=True)
        for pod in range(4):
            rows = [f"{10 + (step * 7 + pod) % 20} 30.5" for step in range(60)]
            (tmp_path / "trace" / day / f"vm{pod}").write_text("\n".join(rows) + "\n")
    return tmp_path / "trace"


def test_a_table_of_all_rules_for_both_resources(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--trace", str(trace), "--pods-per-node", "2"]) == 0
    result = capsys.readouterr()
    assert result.out.count("\nRULE") == 2
    assert "cpu: 4 nodes of 2 pods" in result.out
    assert "4 of 4 nodes, memory" in result.err
    oracle = next(line for line in result.out.splitlines() if line.startswith("oracle"))
    assert oracle.split()[1:4] == ["0", "0.00%", "0.00%"]


def test_an_archive_says_the_same_as_its_folder(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = trace.parent / "trace.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(trace, "trace")
    result = []
    for path in (trace, packed):
        assert main(["simulate", "--trace", str(path), "--pods-per-node", "4", "-o", "json"]) == 0
        result.append(json.loads(capsys.readouterr().out))
    assert result[0] | {"trace": ""} == result[1] | {"trace": ""}
    assert {"rule", "usual", "curve", "savingsAt"} == result[0]["cpu"][0].keys()
    assert {"margin", "violations", "severity", "savings"} == result[0]["cpu"][0]["usual"].keys()


def test_one_column_is_cpu_alone_and_fewer_nodes_are_drawn(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in trace.rglob("vm*"):
        file.write_text("\n".join(["5"] * 60))
    assert main(["simulate", "--trace", str(trace), "--pods-per-node", "2", "--nodes", "3", "-o", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["nodes"] == 3
    assert "memory" not in result


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a b\n", "not a usage trace (one or two numbers a line"),
        ("1 2\n3\n", "not a usage trace"),
        ("1 2 3\n", "3 columns"),
        ("nan\n" * 60, "not a usage trace"),
        ("", "not a usage trace: 0 columns"),
        ("1\n2\n", "no folder has 20 pods"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    (tmp_path / "vm").write_text(text)
    assert main(["simulate", "--trace", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err


def test_no_such_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--trace", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
    (tmp_path / "odd.tar").write_text("no archive")
    assert main(["simulate", "--trace", str(tmp_path / "odd.tar")]) == 1


POLICY = """
apiVersion: colocation.openfuyao.com/v1alpha1
kind: ColocationPolicy
metadata: {name: %s}
spec: {oversell: {cpu: {strategy: %s}, memory: {strategy: usage, reclaimPercent: 90}, growAfterSeconds: 600}}
"""


def test_policies_are_played_through_a_trace(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(POLICY % ("a", "usage") + "---" + POLICY % ("b", "request") + "---" + POLICY % ("c", "predicted"))
    assert main(["simulate", str(file), "--trace", str(trace), "--pods-per-node", "2", "-o", "json"]) == 0
    rows = {(r["policy"], r["resource"]): r for r in json.loads(capsys.readouterr().out)["policies"]}
    # Pods use 10 to 29 % of their requests, and the node is as large as these: 60 - 10.5 .. 60 - 28.5 %.
    assert 0.3 < rows["a", "cpu"]["least"] < rows["a", "cpu"]["mean"] < rows["a", "cpu"]["most"] < 0.5
    assert rows["b", "cpu"]["most"] == 0  # going by requests there is nothing to publish here
    assert rows["b", "cpu"]["writes"] < rows["a", "cpu"]["writes"]
    assert 0 < rows["c", "cpu"]["mean"] < rows["a", "cpu"]["mean"]
    assert rows["a", "memory"]["most"] == pytest.approx(0.9 - 0.305, abs=0.01)
    assert all(row["tooMuch"] == 0 for row in rows.values())
    assert main(["simulate", str(file), "--trace", str(trace), "--pods-per-node", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("POLICY")


def test_more_published_than_was_free_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A burst that nobody could foresee: every tenth step takes the whole node."""
    for pod in range(2):
        (tmp_path / f"vm{pod}").write_text("\n".join("100 10" if step % 10 == 9 else "10 10" for step in range(60)))
    file = tmp_path.parent / "burst.yaml"
    file.write_text(POLICY % ("a", "usage"))
    assert main(["simulate", str(file), "--trace", str(tmp_path), "--pods-per-node", "2", "-o", "json"]) == 0
    cpu, memory = json.loads(capsys.readouterr().out)["policies"]
    # Published before each of the six bursts; the grow window of two steps hides none of them.
    assert cpu["tooMuch"] == pytest.approx(6 / 60)
    assert memory["tooMuch"] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod", "document 1: not a ColocationPolicy"),
        ("{", "neither YAML nor JSON"),
        ("", "there is no ColocationPolicy in it"),
        ("kind: ColocationPolicy", "it has no metadata.name"),
        (
            "kind: ColocationPolicy\nmetadata: {name: p}\nspec: {oversel: {}}",
            "spec.oversel: no such field; did you mean",
        ),
        (
            "kind: ColocationPolicy\nmetadata: {name: p}\nspec: {oversell: {cpu: {reclaimPercent: 101}}}",
            "spec.oversell.cpu.reclaimPercent: must be at most 100",
        ),
    ],
)
def test_a_policy_file_with_mistakes_is_told_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (tmp_path / "p.yaml").write_text(text)
    assert main(["simulate", str(tmp_path / "p.yaml")]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "says"),
    [([], "name what to simulate"), (["--delete", "p", "p.yaml", "--trace", "x"], "leave --trace out")],
)
def test_what_makes_no_sense_is_said(capsys: pytest.CaptureFixture[str], args: list[str], says: str) -> None:
    assert main(["simulate", *args]) == 1
    assert says in capsys.readouterr().err
