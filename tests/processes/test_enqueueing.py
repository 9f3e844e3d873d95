"""Tasks of transactions that end late, or never, while a manager runs: row 17 of the faults."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.db import connections, transaction

from django_partisan.models import Task
from tests.app.models import Ledger
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support.harness import Stopwatch
from tests.support.helpers import HANG_SECONDS, wait_until
from tests.support.ledger import Book, all_are, started


@pytest.mark.postgresql
def test_a_late_commit_with_an_older_place_in_the_queue_is_found_at_once(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"SLEEP_DELAY_SECONDS": 60})
    may_commit, ids = Event(), list[int]()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(_elsewhere, _enqueue_late, ids, may_commit)
        wait_until(lambda: len(ids) == 10)
        book.run(*[Note()] * 300)
        assert not started(ids), "nothing of it is seen before the commit"
        assert min(book.ids) > max(ids), "the claims have gone past its place"
        watch = Stopwatch()
        may_commit.set()
        late.result()
    book.ids += ids
    wait_until(lambda: all_are(ids, "finished"))
    book.recovered("late commit to the last outcome", watch.seconds, within=3)


def test_what_is_rolled_back_never_runs_and_what_surrounds_it_does(
    start_manager: StartManager, book: Book
) -> None:
    start_manager()
    with transaction.atomic():
        book.ids.append(Note().delay().pk)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            _enqueue_and_fail()
        with transaction.atomic():
            book.ids.append(Note().delay().pk)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        _enqueue_and_fail()
    book.ids.append(Note().delay().pk)
    wait_until(lambda: all_are(book.ids, "finished"))
    assert not Task.objects.exclude(pk__in=book.ids).exists()
    assert Ledger.objects.filter(note="started").count() == 3


def _enqueue_and_fail() -> None:
    Note("never").delay()
    raise ZeroDivisionError


def _enqueue_late(ids: list[int], may_commit: Event) -> None:
    with transaction.atomic():
        ids += [Note().delay().pk for _ in range(10)]
        may_commit.wait(HANG_SECONDS)


def _elsewhere(action: Callable[..., None], *arguments: Any) -> None:
    """Run on a connection of its own, in this thread."""
    try:
        action(*arguments)
    finally:
        connections.close_all()
