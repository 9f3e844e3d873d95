"""Which queues are served is decided before anything starts, in sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.db.models import Q
from django.test import override_settings

from django_partisan.exceptions import ConfigurationError, UnknownQueue
from django_partisan.manager.queue_choice import QueueChoice, choose_queues


@pytest.fixture(autouse=True)
def four_queues() -> Iterator[None]:
    """Configure some queues beside 'default'."""
    with override_settings(PARTISAN_CONFIG={"mail": {}, "reports": {}, "slow": {}}):
        yield


@pytest.mark.parametrize(
    ("names", "excluded", "served"),
    [
        (None, (), ["default"]),
        ("mail", (), ["mail"]),
        (["reports", "mail", "reports"], (), ["reports", "mail"]),
        (["*"], (), ["default", "mail", "reports", "slow"]),
        (["slow", "*"], (), ["slow", "default", "mail", "reports"]),
        (["*"], ["mail", "slow"], ["default", "reports"]),
        ("*", "mail", ["default", "reports", "slow"]),
        (None, ["default"], ["mail", "reports", "slow"]),
        (["mail"], ["slow"], ["mail"]),
    ],
)
def test_what_is_served(
    names: Sequence[str] | None, excluded: str | list[str], served: list[str]
) -> None:
    choice = choose_queues(names, excluded)
    assert choice.at_start() == served
    assert all(map(choice.allows, served))
    assert not any(map(choice.allows, choice.excluded))


def test_without_a_name_the_default_queue_decides_what_there_is_only_one_of() -> None:
    assert choose_queues(["*"]).first == "default"
    assert choose_queues(["reports", "*"]).first == "reports"


@pytest.mark.parametrize(
    ("names", "excluded", "said"),
    [
        (["mial"], [], "Queue 'mial' is not in PARTISAN_CONFIG; did you mean 'mail'?"),
        (["*"], ["mial"], "Queue 'mial' is not in PARTISAN_CONFIG; did you mean 'mail'?"),
    ],
)
def test_an_unknown_queue_is_refused(names: list[str], excluded: list[str], said: str) -> None:
    with pytest.raises(UnknownQueue) as caught:
        choose_queues(names, excluded)
    assert said in str(caught.value)


@pytest.mark.parametrize("names", [["mail", "slow"], ["*", "mail"]])
def test_excluding_what_is_named_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose_queues(names, ["mail"])
    assert "--exclude_queue mail: the queue 'mail' is named by --queue_name" in str(caught.value)


def test_excluding_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="would leave no queue to serve"):
        choose_queues(["mail"], ["*"])


@pytest.mark.parametrize("name", ["", "!cancel mail", "!42", "x" * 51])
def test_what_only_managers_say_to_each_other_is_no_queue_that_was_found(name: str) -> None:
    assert not choose_queues(["*"]).may_find(name)
    assert choose_queues(["*"]).may_find("found")
    assert not choose_queues(["mail"]).may_find("found")


@pytest.mark.parametrize(
    ("choice", "words", "title"),
    [
        (choose_queues, "queue 'default'", "default"),
        (lambda: choose_queues(["mail", "slow"]), "queues 'mail', 'slow'", "mail,slow"),
        (lambda: choose_queues(["*"]), "all queues", "*"),
        (
            lambda: choose_queues(["mail", "*"], ["slow", "reports"]),
            "queues 'mail', and all others except 'reports', 'slow'",
            "mail,*",
        ),
        (lambda: choose_queues(None, ["slow"]), "all queues except 'slow'", "*"),
        (
            lambda: QueueChoice(names=tuple("abcdefgh")),
            "queues 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'",
            "a,b,c,d,e,+3",
        ),
    ],
)
def test_a_choice_is_told_in_words_and_in_a_title(choice: object, words: str, title: str) -> None:
    made = choice()  # type: ignore[operator]
    assert (str(made), made.title) == (words, title)


def test_tasks_of_the_chosen_queues_are_told_from_others() -> None:
    assert choose_queues(["mail", "slow"]).condition() == Q(queue_name__in=("mail", "slow"))
    assert choose_queues(["*"], ["slow"]).condition() == ~Q(queue_name__in=frozenset({"slow"}))
