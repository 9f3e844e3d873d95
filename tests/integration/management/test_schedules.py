"""`manage.py partisan schedules` shows what there is, and pauses, resumes and runs by name."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_partisan.models import StoredSchedule, Task
from tests.support.schedules import make_schedule

pytestmark = pytest.mark.django_db


def schedules(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what was written."""
    stdout = io.StringIO()
    try:
        call_command("partisan", "schedules", *arguments, stdout=stdout)
    except SystemExit as error:
        return int(str(error.code)), stdout.getvalue()
    return 0, stdout.getvalue()


def test_all_are_shown_with_what_keeps_them() -> None:
    assert schedules() == (0, "No schedules.\n")
    make_schedule("nightly", cron="30 2 * * *", timezone="Europe/Paris")
    make_schedule("often", every_seconds=30).pause(by="ada")
    make_schedule("by hand", is_manual=True)
    StoredSchedule.objects.filter(key="by hand").update(removed_at=timezone.now())
    code, output = schedules()
    assert code == 0
    _, by_hand, nightly, often = output.splitlines()
    assert " ".join(by_hand.split()) == "by hand Scheduled by hand - - removed from the code"
    assert nightly.startswith("nightly  Scheduled  30 2 * * * Europe/Paris")
    assert nightly.endswith("active")
    assert often.endswith("paused by ada")


def test_for_programs_each_is_an_object() -> None:
    make_schedule("nightly", cron="30 2 * * *", timezone="Europe/Paris")
    make_schedule("other")
    [told] = json.loads(schedules("list", "nightly", "--format", "json")[1])
    assert (told["name"], told["cron"], told["every_seconds"]) == ("nightly", "30 2 * * *", None)
    assert (told["state"], told["origin"], told["last_run_at"]) == ("active", "people", None)
    assert told["next_run_at"]


def test_they_are_paused_resumed_and_run_by_name() -> None:
    first, second = make_schedule("first"), make_schedule("second")
    code, output = schedules("pause", "first", "second", "--until", "2h", "--reason", "full")
    assert (code, output.splitlines()[1].split()) == (0, ["first", "paused"])
    first.refresh_from_db()
    assert (first.paused_by, first.pause_reason) == ("manage.py partisan", "full")
    assert (first.paused_until - first.paused_at).total_seconds() == 7200
    code, output = schedules("run", "first")
    assert output.splitlines()[1].split() == ["first", "made", "task", str(Task.objects.get().pk)]
    assert schedules("resume", "first", "second")[0] == 0
    second.refresh_from_db()
    assert second.paused_at is None


def test_what_is_not_there_or_cannot_be_is_told_by_the_exit_code() -> None:
    make_schedule("there")
    StoredSchedule.objects.update(processor_class="shop.Gone")
    code, output = schedules("run", "there", "nowhere", "--format", "json")
    told = json.loads(output)
    assert code == 1
    assert told["there"].startswith("failed: Processor class shop.Gone cannot be found")
    assert told["nowhere"] == "does not exist"
    assert schedules("list", "nowhere")[0] == 1


@pytest.mark.parametrize("wrong", [["pause"], ["run", "--format", "xml"], ["stop", "x"]])
def test_what_makes_no_sense_is_refused(wrong: list[str]) -> None:
    with pytest.raises(CommandError):
        schedules(*wrong)
