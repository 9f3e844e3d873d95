"""Hosts whose clocks are ten minutes wrong, in both directions: row 15 of the faults."""

from __future__ import annotations

import pytest
from django.db.models import F

from django_partisan.models import ManagerProcess, Task
from tests.app.partisan_tasks import Note, PostponeTwice, SucceedAtThird
from tests.faults import skewed
from tests.processes.conftest import StartManager
from tests.support.harness import SHORT_LIVES, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def test_managers_whose_clocks_are_wrong_agree_by_the_databases_clock(
    start_manager: StartManager, book: Book
) -> None:
    ahead, behind = (
        start_manager(
            settings={**SHORT_LIVES, "PARTISAN_NODE_NAME": name},
            environment=skewed.variables(seconds),
        )
        for name, seconds in (("ahead", 600), ("behind", -600))
    )
    watch = Stopwatch()
    later = [Note().delay(execute_after=3).pk for _ in range(4)]
    book.ids += later
    book.enqueue(*[Note()] * 100, *[SucceedAtThird()] * 4, *[PostponeTwice()] * 4)
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: ahead.log)
    assert watch.seconds > 2.5, "nobody began early"
    assert not Task.objects.filter(started_at__lt=F("execute_after")).exists()
    assert not Task.objects.exclude(rescues=0).exists(), "nobody held the other one for dead"
    assert ManagerProcess.objects.count() == 2

    ids = book.enqueue(*[Note()] * 200)
    ahead.kill()
    wait_until(lambda: all_are(ids, "finished"), message=lambda: behind.log)
