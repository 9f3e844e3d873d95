"""The transition table of the reference says what the moves that are no outcome do to a row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from django_partisan import lifecycle
from django_partisan.models import Attempt, Task
from tests.support import factories
from tests.support.factories import OWNER, claim_new, ended_attempt, enqueue, record
from tests.support.reference import NOTHING, table

pytestmark = pytest.mark.django_db

COUNTERS = ("rescues", "lease", "attempts", "retries", "postpones", "crashes")


def claim(task: Task) -> None:
    lifecycle.claim("default", 1, OWNER)


def take_over(task: Task) -> None:
    factories.take_over()


def claimed() -> Task:
    return Task.objects.get(pk=claim_new()[0].id)


def started() -> Task:
    Task.objects.filter(pk=claimed().pk).update(started_at=Now())
    return Task.objects.get()


def waiting() -> Task:
    return enqueue()[0]


@pytest.mark.parametrize(
    ("name", "begin", "move"),
    [
        ("claim", waiting, claim),
        ("take over", claimed, take_over),
        ("take over started", started, take_over),
    ],
)
def test_a_move_adds_what_the_transition_table_says(
    name: str, begin: Callable[[], Task], move: Callable[[Task], None]
) -> None:
    told = {verb: row for verb, *row in table("statuses", "Transitions")}[name]
    before = begin()
    move(before)
    after = Task.objects.get(pk=before.pk)
    changes = {c: getattr(after, c) - getattr(before, c) for c in COUNTERS}
    added = {f"{name} + {count}" for name, count in changes.items() if count}
    assert told[0] == f"{before.status} → {after.status}"
    assert set(told[2].split(", ")) == added
    assert told[3] == NOTHING
    assert not Attempt.objects.exists()


def test_a_new_task_is_what_the_transition_table_says() -> None:
    assert {getattr(waiting(), counter) for counter in COUNTERS} == {0}
    assert waiting().status == Task.STATUS_NEW


@pytest.mark.parametrize("kind", ["finished", "failed"])
def test_requeue_resets_every_counter_but_the_lease(kind: str) -> None:
    [task] = claim_new()
    record(ended_attempt(task, kind))
    lifecycle.requeue([task.id])
    row = Task.objects.get(pk=task.id)
    assert row.status == Task.STATUS_NEW
    assert {counter for counter in COUNTERS if getattr(row, counter)} == {"lease"}
