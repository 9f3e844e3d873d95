"""Flows are run by real managers in their order, whatever is killed meanwhile."""

from __future__ import annotations

import random
from contextlib import nullcontext
from functools import partial

import pytest
from django.db import transaction

from django_partisan.flows import Flow, chain, group
from django_partisan.models import Task, Untold
from tests.app.functions import add
from tests.app.partisan_tasks import AtomicNote, Exit, Fail, Note
from tests.processes.conftest import StartManager
from tests.shop_app.models import Order
from tests.support.dependents import assert_in_order
from tests.support.factories import at_once
from tests.support.harness import SHORT_LIVES
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

pytestmark = pytest.mark.django_db(transaction=True)


def is_done(*flows: Flow) -> bool:
    return all(flow.progress.is_done for flow in flows)


def has_come_so_far(target: int, flows: list[Flow]) -> bool:
    return Task.objects.exclude(finished_at=None).count() >= target or is_done(*flows)


@pytest.mark.parametrize("kind", [Note, AtomicNote])
def test_a_flow_runs_in_its_order_and_no_step_waits_for_a_poll(
    start_manager: StartManager, book: Book, kind: type[Note]
) -> None:
    # Long, so that only what the manager expects itself wakes it.
    manager = start_manager(queue={"SLEEP_DELAY_SECONDS": 60})
    steps = iter(range(100))
    flow = chain(
        kind(next(steps)),
        group(kind(next(steps)) for _ in range(10)),
        group(chain(kind(next(steps)), kind(next(steps))) for _ in range(5)),
        kind(next(steps)),
    ).delay(on_complete=kind(next(steps)))
    wait_until(lambda: is_done(flow), message=lambda: manager.log)
    assert {task.status for task in flow.tasks} == {"finished"}
    assert_in_order()


def test_calls_of_functions_and_methods_run_as_steps(
    start_manager: StartManager, book: Book
) -> None:
    order = Order.objects.create()
    manager = start_manager()
    flow = chain(
        add.step(1, times=2),
        group(add.step(number) for number in range(3)),
        order.send.step("home", copies=2),
    ).delay()
    wait_until(lambda: is_done(flow), message=lambda: manager.log)
    *numbers, sent = flow.tasks.values_list("result", flat=True)
    assert (numbers, sent["sent"]) == ([2, 0, 1, 2], "Order home 2")
    assert_in_order()


def test_a_step_in_another_queue_is_started_by_its_own_manager(
    start_manager: StartManager, book: Book
) -> None:
    first = start_manager(queue={"SLEEP_DELAY_SECONDS": 60})
    flow = chain(Note(1), Note(2), Note(3)).delay()
    Task.objects.filter(flow_id=flow.pk, arguments__args=[2]).update(queue_name="other")
    wait_until(lambda: Task.objects.filter(queue_name="other", status="new").exists())
    assert not is_done(flow)
    first.stop()
    second = start_manager(arguments=("--queue_name", "*"))
    wait_until(lambda: is_done(flow), message=lambda: second.log)
    assert_in_order()


def test_what_follows_a_killed_worker_s_task_is_cancelled_once_that_is_given_up(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(settings={"PARTISAN_MAX_RESCUES": 1})
    flow = chain(group([Exit(3), Note(1)]), Note(2)).delay(on_complete=Note(3))
    wait_until(lambda: is_done(flow), message=lambda: manager.log)
    assert sorted(task.status for task in flow.tasks) == [
        *("cancelled", "error", "finished", "finished")
    ]


def test_flows_lose_nothing_and_start_nothing_early_while_managers_are_killed(
    start_manager: StartManager, book: Book
) -> None:
    chance = random.Random(17)
    flows = []
    for number in range(12):
        fails = [Fail(number)] if number % 3 == 0 else []
        flows.append(
            chain(
                group([*(Note(f"{number} a {n}") for n in range(8)), *fails]),
                group(AtomicNote(f"{number} b {n}") for n in range(4)),
                Note(f"{number} c"),
            ).delay(on_complete=Note(f"{number} d"))
        )
    for _ in range(3):
        manager = start_manager(settings=SHORT_LIVES)
        ended = Task.objects.exclude(finished_at=None).count()
        target = ended + chance.randrange(1, 25)
        wait_until(partial(has_come_so_far, target, flows))
        manager.kill()
    manager = start_manager(settings=SHORT_LIVES)
    wait_until(partial(is_done, *flows), message=lambda: manager.log)
    wait_until(lambda: not Untold.objects.exists())
    assert_in_order()
    for number, flow in enumerate(flows):
        progress = flow.progress
        assert (progress.failed, progress.cancelled) == ((1, 5) if number % 3 == 0 else (0, 0))


def test_who_enqueues_dependents_beside_a_manager_meets_no_lock(
    start_manager: StartManager, book: Book
) -> None:
    """With SQLite a transaction that reads before it writes could find the database locked."""
    manager = start_manager()
    for ids in at_once(*[partial(_enqueue_dependents, kind) for kind in (Note, AtomicNote)]):
        book.ids += ids
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    assert_in_order()
    assert "locked" not in manager.log


def _enqueue_dependents(kind: type[Note]) -> list[int]:
    tasks: list[Task] = []
    for number in range(60):
        with transaction.atomic() if number % 2 else nullcontext():
            after = list(Task.objects.order_by("-pk")[: number % 4])
            tasks.append(kind(number).delay(after=after))
    return [task.pk for task in tasks]
