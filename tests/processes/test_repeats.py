"""A real manager runs a chain of repeats, link by link, and ends it when it is told to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_partisan.models import Task
from tests.app.partisan_tasks import AtomicNote, Note
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, done

pytestmark = pytest.mark.django_db(transaction=True)

STEP = 0.1


def test_chains_run_until_their_end_beside_other_tasks(
    start_manager: StartManager, book: Book
) -> None:
    # Long, so that only what the manager expects itself wakes it.
    manager = start_manager(queue={"SLEEP_DELAY_SECONDS": 60})
    until = timezone.now() + timedelta(seconds=10 * STEP)
    begun = [each().delay(repeat=STEP, repeat_until=until) for each in (Note, AtomicNote)]
    book.run(*[Note(number) for number in range(50)])
    wait_until(lambda: not _alive(), message=lambda: manager.log)
    for first in begun:
        chain = Task.objects.filter(processor_class=first.processor_class)
        links = list(chain.exclude(repeat_slot=None).order_by("pk"))
        assert [link.status for link in links] == ["finished"] * len(links)
        assert done([link.pk for link in links]) == dict.fromkeys([link.pk for link in links], 1)
        slots = [link.repeat_slot for link in links]
        steps = [(slot - first.execute_after).total_seconds() / STEP for slot in slots]
        assert [round(step, 2) for step in steps] == sorted({round(step) for step in steps})
        assert len(slots) > 1
        assert slots[-1] <= until


def test_a_chain_whose_tasks_are_deleted_goes_on(start_manager: StartManager, book: Book) -> None:
    queue: dict[str, Any] = {"DELETE_TASKS_ON_COMPLETE": True, "SLEEP_DELAY_SECONDS": 60}
    book.is_deleting = True
    manager = start_manager(queue=queue)
    first = Note().delay(repeat=STEP)
    wait_until(lambda: _alive() and _alive()[-1] > first.pk + 3, message=lambda: manager.log)
    wait_until(_is_cancelled, message=lambda: manager.log)
    assert manager.stop() == 0
    assert not Task.objects.filter(status="finished").exists()


def _alive() -> list[int]:
    rows = Task.objects.filter(status__in=["new", "in_process"], repeat_seconds__isnull=False)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _is_cancelled() -> bool:
    for link in Task.objects.filter(pk__in=_alive()):
        link.cancel()
    return not _alive()
