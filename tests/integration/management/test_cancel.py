"""`manage.py partisan cancel` cancels what can be, and says of every task what became of it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_partisan import lifecycle
from tests.support.factories import claim_new, enqueue, insert_in_bulk, statuses
from tests.support.rows import make_task

pytestmark = pytest.mark.django_db


def cancel(*arguments: object) -> tuple[int, str]:
    """Return the exit code and what was written."""
    stdout = io.StringIO()
    try:
        call_command("partisan", "cancel", *map(str, arguments), stdout=stdout)
    except SystemExit as error:
        return int(str(error.code)), stdout.getvalue()
    return 0, stdout.getvalue()


def test_waiting_tasks_are_cancelled_and_running_ones_stopped() -> None:
    [running] = claim_new()
    [waiting] = enqueue()
    code, output = cancel(waiting.pk, running.id, waiting.pk)
    assert code == 0
    assert [line.split() for line in output.splitlines()[1:]] == [
        [str(running.id), "stopping"],
        [str(waiting.pk), "cancelled"],
    ]
    assert statuses() == ["in_process", "cancelled"]


def test_what_cannot_be_cancelled_is_named_and_told_by_the_exit_code() -> None:
    ended = make_task("error", ended_ago=5)
    [waiting] = enqueue()
    code, output = cancel(ended.pk, waiting.pk, 10**9, "--format", "json")
    assert code == 1
    assert json.loads(output) == {
        str(ended.pk): "had ended before (error)",
        str(waiting.pk): "cancelled",
        "1000000000": "does not exist",
    }


@pytest.mark.parametrize("wrong", ["first", "-1", "0", str(2**63)])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    with pytest.raises(CommandError, match="is no id"):
        cancel("--", wrong)


def test_thousands_are_cancelled_in_one_go(settings: Any) -> None:
    tasks = insert_in_bulk(1200)
    assert cancel(*(task.pk for task in tasks))[0] == 0
    assert set(statuses()) == {"cancelled"}
    assert lifecycle.claim("default", 10, 1) == []
