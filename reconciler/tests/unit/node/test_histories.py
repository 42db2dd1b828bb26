"""What is on disk: whole or ignored."""

import json
import logging
from pathlib import Path

import pytest

from colocation.model.report import PodUsage
from colocation.node.histories import EVERY_SECONDS, HistoryWriter
from colocation.predict.peak import Histories


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "histories.json"


def learnt() -> Histories:
    made = Histories()
    for minute in range(1, 100):
        made.learn(60.0 * minute, [PodUsage(uid="a", cpu=300, memory=2**30, memory_peak=2**30)], ["a"])
    return made


def test_what_is_saved_is_taken_up(path: Path) -> None:
    made = learnt()
    HistoryWriter(path).save(made, 6000.0)
    back = HistoryWriter(path).load(3.0)
    assert back.pods["a"].prediction == made.pods["a"].prediction
    assert not list(path.parent.glob("*.new"))


def test_none_yet_is_no_cause_for_a_word(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert HistoryWriter(path).load(0.0).pods == {}
    assert not caplog.records


def _pod(file: dict) -> list:
    return file["kept"]["pods"][0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: text[:-1],
        lambda text: "\0" * len(text),
        lambda _: "[]",
        lambda text: text.replace('"version":1', '"version":9'),
        lambda text: json.dumps(_with(text, lambda pod: pod[1].__setitem__(0, -1.0))),
        lambda text: json.dumps(_with(text, lambda pod: pod[1].__setitem__(1, "QQ=="))),
        lambda text: json.dumps(_with(text, lambda pod: pod[2].__setitem__(2, "x"))),
    ],
)
def test_a_torn_or_garbage_file_is_ignored_with_a_word(path: Path, caplog: pytest.LogCaptureFixture, spoil) -> None:
    HistoryWriter(path).save(learnt(), 6000.0)
    path.write_text(spoil(path.read_text()))
    assert HistoryWriter(path).load(0.0).pods == {}
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == ["histories ignored; learning again"]


def _with(text: str, change) -> dict:
    file = json.loads(text)
    change(_pod(file))
    return file


def test_it_is_written_every_five_minutes(path: Path) -> None:
    keeper, made = HistoryWriter(path), learnt()
    keeper.save_if_due(made, 10.0)
    keeper.save_if_due(made, 9.0 + EVERY_SECONDS)
    assert not path.exists()
    keeper.save_if_due(made, 10.0 + EVERY_SECONDS)
    keeper.save(made, 10.0 + EVERY_SECONDS)  # waits for the one on its way
    assert HistoryWriter(path).load(0.0).pods.keys() == {"a"}


def test_a_disk_that_refuses_is_said_once_and_nothing_else_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    keeper = HistoryWriter(tmp_path / "state" / "histories.json")
    for _ in range(3):
        keeper.save(learnt(), 6000.0)
    assert [r.message for r in caplog.records] == ["histories not saved"]
