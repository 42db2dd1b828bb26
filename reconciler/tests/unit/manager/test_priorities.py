"""The cluster's default PriorityClass: which one counts, what is wrong with it, and a look that fails."""

from __future__ import annotations

from typing import Any

import pytest

from colocation.kube.rest import ApiError
from colocation.manager.priorities import Default, Priorities, PriorityClass, PriorityClasses, default, mismatch
from colocation.model.wire import Metadata


def row(name: str, value: int, *, is_default: bool = True) -> PriorityClass:
    return PriorityClass(Metadata(name=name), value, is_default)


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        ([], ""),
        ([row("a", 1, is_default=False)], ""),
        ([row("a", 1, is_default=False), row("b", 5)], "b"),
        ([row("high", 5), row("low", -5)], "low"),
    ],
)
def test_of_several_defaults_the_lowest_counts_as_for_the_api_server(classes: list[PriorityClass], name: str) -> None:
    assert default(classes) == name


@pytest.mark.parametrize(
    ("now", "installed"), [("", ""), ("", "a"), ("a", "a"), ("priority-be", ""), ("priority-be", "a")]
)
def test_what_refuses_no_pod_is_not_reported(now: str, installed: str) -> None:
    assert mismatch(now, installed) == ""


def test_the_sentence_names_both_classes_and_the_remedy() -> None:
    assert mismatch("b", "a") == (
        "PriorityClass b has globalDefault, and admission was installed for PriorityClass a: best-effort pods that "
        "name no PriorityClass are refused. Run the playbook site, or helm upgrade with "
        "admission.globalDefaultPriorityClass=b"
    )
    assert "a cluster without such a class" in mismatch("b", "")


class Answers:
    """In the place of an API server, to fail when a test says so."""

    def __init__(self, *answers: list[PriorityClass] | ApiError) -> None:
        self._answers = list(answers)

    def get(self, _path: str, _kind: Any, *, label: str) -> PriorityClasses:
        assert label == "priorityclasses"
        given = self._answers.pop(0)
        if isinstance(given, ApiError):
            raise given
        return PriorityClasses(given)


def looked(*answers: list[PriorityClass] | ApiError) -> list[bool]:
    """What the loop is sent by as many looks: whether pods are refused."""
    sent: list[Default] = []
    priorities = Priorities(Answers(*answers), "a", sent.append)  # type: ignore[arg-type]
    for _ in answers:
        priorities.step()
    return [bool(message.why) for message in sent]


def test_only_a_change_is_sent_and_a_look_that_fails_changes_nothing() -> None:
    right, wrong, away = [row("a", 1)], [row("b", 1)], ApiError(503, "", "away")
    assert looked(right, right) == [False]
    assert looked(wrong, away, wrong, right) == [True, False]
    assert looked(away, away) == []
