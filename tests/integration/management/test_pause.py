"""The verbs `pause` and `resume` on the command line."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from django_partisan.control import pauses
from tests.support.factories import claim, enqueue
from tests.support.processors import Plain

pytestmark = pytest.mark.django_db


def partisan(*arguments: str) -> str:
    output = StringIO()
    call_command("partisan", *arguments, stdout=output)
    return output.getvalue()


def test_what_is_paused_is_told_with_who_why_and_until() -> None:
    assert partisan("pause") == "Nothing is paused.\n"
    said = partisan("pause", "--queue", "default", "--until", "2h", "--reason", "the relay is down")
    assert said.startswith("queue 'default' is paused, until 20")
    table = partisan("pause")
    assert "the relay is down" in table
    assert "@" in table
    [row] = json.loads(partisan("pause", "--format", "json"))
    assert (row["queue"], row["processor"], row["reason"]) == ("default", None, "the relay is down")
    assert row["until"] > row["since"]


def test_pausing_again_says_what_it_does() -> None:
    partisan("pause", "--queue_name", "default")
    assert "was paused already; its end and reason are changed" in partisan(
        "pause", "--queue-name", "default", "--until", "2100-01-01T08:00+01:00"
    )
    assert pauses()[0].until is not None


def test_a_processor_is_paused_and_resumed_by_its_bare_name() -> None:
    enqueue(2)
    assert "tests.support.processors.Plain is paused" in partisan("pause", "--processor", "Plain")
    assert claim() == []
    name = Plain(0).processor_name
    assert partisan("resume", "--processor", name) == f"processor {name!r} goes on.\n"
    assert len(claim()) == 2


def test_resuming_what_is_not_paused_ends_with_1() -> None:
    with pytest.raises(SystemExit) as ended:
        partisan("resume", "--queue", "default")
    assert ended.value.code == 1
    with pytest.raises(CommandError, match="Say what to resume"):
        partisan("resume")


def test_an_unknown_name_is_paused_with_a_warning() -> None:
    assert "Warning: The queue 'defualt' is paused, though PARTISAN_CONFIG" in partisan(
        "pause", "--queue", "defualt"
    )


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("2100-01-01T08:00", "has no time zone; write 2100-01-01T08:00"),
        ("soon", "is no duration"),
        ("2100-13-01T08:00Z", "is no moment that any calendar has"),
        ("2000-01-01T08:00Z", "has passed; give a later moment"),
        ("0", "more than 0"),
    ],
)
def test_an_end_that_cannot_be_is_refused_in_words(until: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        partisan("pause", "--queue", "default", "--until", until)
    assert pauses() == []
