"""Real workers run processors whose `run()` is a coroutine."""

from __future__ import annotations

from django_partisan.models import Attempt, Task
from tests.app.async_tasks import (
    AsyncFailing,
    AsyncLimited,
    AsyncMisbehave,
    AsyncNote,
    AsyncSleep,
    AsyncTell,
    add_slowly,
)
from tests.app.models import Ledger
from tests.processes.conftest import StartManager
from tests.shop_app.models import Order
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, started, statuses


def test_coroutines_end_in_all_the_ways_in_which_tasks_do(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 1})
    order = Order.objects.create()
    good = book.enqueue(*map(AsyncFailing, ("return", "retry", "postpone")), *[AsyncNote()] * 20)
    functions = [add_slowly.delay(1, 2).pk, order.fetch.delay("home").pk]
    book.ids += functions
    bad = book.enqueue(AsyncFailing("fail"), AsyncFailing("exit"))
    wait_until(
        lambda: all_are([*good, *functions], "finished") and all_are(bad, "error"),
        message=lambda: str(statuses(book.ids)),
    )
    results = dict(Task.objects.values_list("pk", "result"))
    assert [results[pk] for pk in good[:3]] == ["return", "retry", "postpone"]
    assert [results[pk] for pk in functions] == [3, "fetched home"]
    assert started(good[:3]) == dict(zip(good[:3], (1, 3, 2), strict=True))
    errors = Attempt.objects.filter(task_id__in=bad).values_list("error_type", flat=True)
    assert {name.rpartition(".")[2] for name in errors} == {"FailTask", "SystemExit"}
    workers = set(Ledger.objects.filter(note="done").values_list("pid", flat=True))
    assert len(workers) == 1


def test_nothing_of_a_coroutine_reaches_the_next_one(
    start_manager: StartManager, book: Book
) -> None:
    start_manager(queue={"WORKERS_COUNT": 1})
    book.run(AsyncTell())
    book.run(AsyncMisbehave())
    book.run(AsyncTell())
    before, _, after = Task.objects.order_by("pk").values_list("result", flat=True)
    assert before == after
    assert not Ledger.objects.filter(note="never committed").exists()
    assert len(set(Ledger.objects.values_list("pid", flat=True))) == 1


def test_a_coroutine_is_stopped_where_it_waits_and_where_it_blocks_its_loop(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(queue={"WORKERS_COUNT": 3})
    late = book.enqueue(*map(AsyncLimited, ("wait", "block", "go on")))
    wait_until(lambda: all_are(late, "error"), message=lambda: manager.log)
    attempts = Attempt.objects.order_by("task_id")
    assert [attempt.error_type.rpartition(".")[2] for attempt in attempts] == ["TaskTimedOut"] * 3
    assert ["killed" in attempt.message for attempt in attempts] == [False, False, True]
    assert "await asyncio.sleep(60)" in attempts[0].traceback
    assert "time.sleep(60)" in attempts[1].traceback


def test_a_cancelled_coroutine_may_tidy_up_asynchronously(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager()
    (task_id,) = book.begin(AsyncSleep(60))
    Task.objects.get(pk=task_id).cancel()
    wait_until(lambda: all_are([task_id], "cancelled"), message=lambda: manager.log)
    assert Ledger.objects.filter(task_id=task_id, note="cancelled").exists()
