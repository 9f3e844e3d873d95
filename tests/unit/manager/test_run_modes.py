"""What makes a manager end by itself is refused before it starts where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from django_partisan.exceptions import ConfigurationError
from django_partisan.manager.duties.run_modes import RunMode
from django_partisan.manager.heartbeat import MAX_LABEL_LENGTH, checked_label
from django_partisan.manager.start_limit import StartLimit
from django_partisan.models import ManagerProcess


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"once": True, "until_done": True}, "--once and --until_done: "),
        ({"duration": 0.0}, "--duration: 0 is no time to run; give a number of seconds above 0"),
        ({"duration": -1.0}, "--duration: -1 is no time to run"),
        ({"duration": float("nan")}, "--duration: nan is no time to run"),
        ({"duration": float("inf")}, "--duration: inf is no time to run"),
        ({"max_tasks": 0}, "--max_tasks: 0 tasks are none to run; give 1 or more."),
    ],
)
def test_a_run_that_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunMode(**options)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("options", "ends"),
    [
        ({}, False),
        ({"until_done": True}, True),
        ({"once": True}, True),
        ({"duration": 0.5}, True),
        ({"max_tasks": 1}, True),
    ],
)
def test_a_run_mode_knows_whether_it_ends(options: dict[str, Any], ends: bool) -> None:
    assert RunMode(**options).ends is ends


def test_what_is_in_hand_counts_as_started_and_what_comes_back_does_not() -> None:
    limit = StartLimit(5)
    assert limit.left(held=2) == 3
    limit.ended()
    assert limit.left(held=1) == 3
    assert limit.left(held=0) == 4, "one came back unstarted"
    limit.ended(4)
    assert limit.left(0) == 0
    assert limit.left(3) == 0


@pytest.mark.parametrize("label", ["x" * (MAX_LABEL_LENGTH + 1), "two\nlines", "\0"])
def test_a_label_that_cannot_be_shown_or_stored_is_refused(label: str) -> None:
    with pytest.raises(ConfigurationError, match="--label: "):
        checked_label(label)


def test_a_label_fits_into_its_column() -> None:
    assert ManagerProcess._meta.get_field("label").max_length == MAX_LABEL_LENGTH
    assert checked_label("night shift") == "night shift"
