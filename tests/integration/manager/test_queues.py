"""One manager serves several queues: each gets its share, and an idle one costs next to nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_partisan.attempt import RETRIED, ClaimedTask
from django_partisan.database.values import Survey
from django_partisan.lifecycle import managers, survey
from django_partisan.manager import WorkersManager
from django_partisan.manager.claiming import queues
from django_partisan.manager.duties import discovery
from django_partisan.manager.duties.discovery import Discovery
from django_partisan.manager.duties.pruning import PruningOfQueues
from django_partisan.models import ManagerProcess, Task
from tests.support.duties import claimer_of, takeover_of
from tests.support.factories import claim, ended_attempt, enqueue, statuses
from tests.support.helpers import wait_until
from tests.support.manager_rows import Clock, row
from tests.support.managing import managing, turn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def three_queues() -> Iterator[None]:
    """Configure queues of different settings."""
    configured: dict[str, Any] = {
        "default": {},
        "mail": {"WEIGHT": 3},
        "logs": {"DELETE_TASKS_ON_COMPLETE": True, "KEEP_FAILED_SECONDS": 0},
    }
    with override_settings(PARTISAN_CONFIG=configured):
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock that stands still until the test moves it, for everything in this process."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def enqueue_in(queue_name: str, count: int = 1, **options: Any) -> list[int]:
    ids = [task.pk for task in enqueue(count, **options)]
    Task.objects.filter(pk__in=ids).update(queue_name=queue_name, unique_key=None)
    return ids


def claimed_by(manager: WorkersManager) -> Counter[str]:
    """Let the manager go on until it claims nothing more; return how many of which queue."""
    before = -1
    while before != manager.queue.qsize():
        before = manager.queue.qsize()
        turn(manager)
        manager.link.finish(time.monotonic())
        if manager.queues.must_look_ahead:
            manager.queues.look_ahead(time.monotonic())
    return Counter(task.queue_name for task in _waiting(manager))


def _waiting(manager: WorkersManager) -> list[ClaimedTask]:
    return list(manager.queue._tasks())


def statements(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if "django_partisan_task" in query["sql"]]


def test_tasks_of_every_queue_that_is_named_are_claimed_and_no_others() -> None:
    for name in ("default", "mail", "logs"):
        enqueue_in(name, 3)
    with managing(queue_name=["mail", "logs"]) as manager:
        wait_until(lambda: claimed_by(manager) == {"mail": 3, "logs": 3})
        assert claimed_by(manager).total() == 6


def test_idle_queues_are_looked_at_together_in_one_statement(clock: Clock) -> None:
    with managing(queue_name="*") as manager:
        with CaptureQueriesContext(manager.link.connection) as queries:
            turn(manager)
        assert len(statements(queries)) == 1
        clock.now += 10
        with CaptureQueriesContext(manager.link.connection) as queries:
            turn(manager)
            turn(manager)
        assert len(statements(queries)) == 1, "their polls are due together from then on"
        assert set(manager.queues.to_survey(clock.now)) == {"default", "mail", "logs"}


def test_a_survey_is_about_fifty_queues_at_most(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"queue {number}" for number in range(120)]
    asked: list[int] = []
    with override_settings(PARTISAN_CONFIG={name: {} for name in names}):
        enqueue_in(names[-1])
        with managing(queue_name=names) as manager:

            def counted(names: Sequence[str]) -> Survey:
                asked.append(len(names))
                return survey(names)

            monkeypatch.setattr("django_partisan.lifecycle.survey", counted)
            assert len(manager.queues.to_survey(clock.now)) == 0, "nothing is known of any"
            for _ in range(3):
                turn(manager)
                clock.now += 5
            assert max(asked) == 50
            wait_until(lambda: claimed_by(manager) == {names[-1]: 1})


@pytest.mark.postgresql
def test_an_announcement_has_only_the_queue_claimed_from_that_it_names() -> None:
    enqueue_in("mail")
    with managing(queue_name="*") as manager:
        wait_until(lambda: claimed_by(manager) == {"mail": 1})
        enqueue_in("mail")
        manager.queues.announced("mail", time.monotonic())
        with CaptureQueriesContext(manager.link.connection) as queries:
            turn(manager)
        assert len(queries) == 1, "no survey comes before the claim"
        assert manager.queue.qsize() == 2


def test_the_queue_that_has_had_the_least_for_its_weight_is_claimed_from_first() -> None:
    enqueue_in("mail", 3)
    enqueue_in("default", 3)
    with managing(queue_name=["default", "mail"], min_queue_size=1, max_queue_size=2) as manager:
        assert manager.queues.has_several
        turn(manager)
        first = _waiting(manager)[0]
        manager.queue.get()
        outcome = ended_attempt(first).outcome
        manager.pool._observer.ended(_Worker(), first, outcome)  # type: ignore[arg-type]
        turn(manager)
        wait_until(lambda: set(claimed_by(manager)) == {"default", "mail"})


class _Worker:
    places = 1
    pid = 1
    output = None


def test_in_strict_order_nothing_is_claimed_from_a_queue_while_one_before_it_has_more() -> None:
    enqueue_in("mail", 5)
    enqueue_in("default", 2)
    options: dict[str, Any] = {"min_queue_size": 0, "max_queue_size": 3}
    with managing(queue_name=["mail", "default"], strict_order=True, **options) as manager:
        wait_until(lambda: claimed_by(manager) == {"mail": 3})
        manager.queue.take_all()
        wait_until(lambda: claimed_by(manager) == {"mail": 2, "default": 1})


def test_in_strict_order_a_queue_that_has_its_maximum_here_keeps_later_ones_out() -> None:
    enqueue_in("mail", 5)
    enqueue_in("logs", 2)
    sizes = {"MIN_QUEUE_SIZE": 1, "MAX_QUEUE_SIZE": 2}
    with (
        override_settings(PARTISAN_CONFIG={"default": {}, "mail": sizes, "logs": {}}),
        managing(queue_name=["default", "mail", "logs"], strict_order=True) as manager,
    ):
        wait_until(lambda: claimed_by(manager) == {"mail": 2})
        assert claimed_by(manager) == {"mail": 2}


def test_what_waits_here_of_all_queues_is_bounded_by_the_first_ones_maximum() -> None:
    for name in ("default", "mail", "logs"):
        enqueue_in(name, 10)
    with managing(queue_name="*", max_queue_size=8) as manager:
        wait_until(lambda: claimed_by(manager).total() == 8)
        assert claimed_by(manager).total() == 8


def test_a_paused_queue_is_not_claimed_from_and_keeps_nobody_busy() -> None:
    enqueue_in("mail", 3)
    with managing(queue_name=["mail", "default"]) as manager:
        claimer_of(manager, "mail").is_paused = True
        assert claimed_by(manager) == {}
        assert manager.queues.next_deadline(0) > time.monotonic()
        assert "mail" not in manager.queues.to_survey(time.monotonic() + 10)
        claimer_of(manager, "mail").is_paused = False
        wait_until(lambda: claimed_by(manager) == {"mail": 3})


def test_each_queue_keeps_or_deletes_what_has_finished_by_its_own_settings() -> None:
    enqueue_in("mail", 2)
    enqueue_in("logs", 2)
    with managing(queue_name=["mail", "logs"]) as manager:
        wait_until(lambda: claimed_by(manager).total() == 4)
        tasks = manager.queue.take_all()
        for task in tasks:
            manager.round_trip.ended(task, ended_attempt(task).outcome)
        assert not manager.recorder.is_plain, "a deletion does not go along with a claim"
        manager.recorder.flush(time.monotonic())
        assert manager.recorder.counts == {"finished": 4}
        assert list(Task.objects.values_list("queue_name", flat=True)) == ["mail", "mail"]


def test_each_queue_is_pruned_by_its_own_settings() -> None:
    for name in ("mail", "logs"):
        pks = enqueue_in(name, 2)
        Task.objects.filter(pk__in=pks).update(status="error", finished_at="2020-01-01T00:00Z")
    with managing(queue_name=["mail", "logs"]) as manager:
        pruning = PruningOfQueues(manager.queues, manager._settings_of, manager.standing)

        def has_pruned() -> bool:
            pruning.turn(time.monotonic())
            return Task.objects.count() == 2

        wait_until(has_pruned)
        assert set(Task.objects.values_list("queue_name", flat=True)) == {"mail"}


def test_all_queues_are_found_that_have_tasks_but_the_excluded_ones(clock: Clock) -> None:
    with managing(queue_name="*", exclude_queue=["mail"]) as manager:
        duty = Discovery(manager.queues, manager.heartbeat)
        duty.turn(clock.now)
        assert not manager.queues.serves("born")
        enqueue_in("born", 2)
        enqueue_in("mail", 2)
        assert duty.next_deadline() <= clock.now + discovery.LOOK_SECONDS
        clock.now += discovery.LOOK_SECONDS
        duty.turn(clock.now)
        assert claimed_by(manager) == {"born": 2}
        assert ManagerProcess.objects.get().queues == ["default", "logs", "born"]


def test_a_queue_that_is_announced_is_served_at_once_and_told_of() -> None:
    with managing(queue_name="*", exclude_queue=["mail"]) as manager:
        duty = Discovery(manager.queues, manager.heartbeat)
        duty.turn(time.monotonic())
        enqueue_in("born")
        for name in ("born", "mail", "!4711", "x" * 51):
            manager.queues.announced(name, time.monotonic())
        assert duty.next_deadline() == 0.0
        duty.turn(time.monotonic())
        assert manager.queues.names == ["default", "logs", "born"]
        assert manager.heartbeat.queue_names == manager.queues.names
        wait_until(lambda: claimed_by(manager) == {"born": 1})


def test_a_queue_that_is_in_no_settings_is_forgotten_when_it_has_had_no_tasks_for_long(
    clock: Clock,
) -> None:
    with managing(queue_name="*") as manager:
        duty = Discovery(manager.queues, manager.heartbeat)
        pks = enqueue_in("born")
        duty.turn(clock.now)
        assert manager.queues.serves("born")
        Task.objects.filter(pk__in=pks).delete()
        clock.now += queues.FORGET_SECONDS
        duty.turn(clock.now)
        assert manager.queues.serves("born")
        clock.now += discovery.LOOK_SECONDS
        duty.turn(clock.now)
        assert manager.queues.names == ["default", "logs", "mail"]
        enqueue_in("born")
        ended = ended_attempt(claim(queue="born")[0], RETRIED)
        manager.round_trip.ended(ended.task, ended.outcome)


def test_a_queue_without_settings_of_its_own_is_served_by_those_of_every_queue() -> None:
    with (
        override_settings(SLEEP_DELAY_SECONDS=0.25),
        managing(queue_name="*", max_queue_size=7) as manager,
    ):
        settings = manager._settings_of("born")
    assert (settings.SLEEP_DELAY_SECONDS, settings.WEIGHT) == (0.25, 1.0)
    assert settings.MAX_QUEUE_SIZE == 7, "the command line holds for each queue"
    assert settings.WORKERS_COUNT == manager.settings.WORKERS_COUNT


def test_a_successor_takes_over_what_it_serves_and_gives_the_rest_back() -> None:
    dead = row()
    for name in ("default", "mail", "logs"):
        enqueue_in(name, 2)
    Task.objects.update(status="in_process", manager_id=dead.pk, lease=1)
    with managing(queue_name=["mail", "logs"]) as manager:
        assert dead.pk in manager.heartbeat.predecessors
        duty = takeover_of(manager)

        def has_taken_over() -> bool:
            duty.turn(time.monotonic())
            return not manager.heartbeat.predecessors

        wait_until(has_taken_over)
        assert Counter(t.queue_name for t in _waiting(manager)) == {"mail": 2, "logs": 2}
    assert Counter(statuses()) == {"in_process": 4, "new": 2}
    assert set(Task.objects.filter(status="new").values_list("queue_name", flat=True)) == {
        "default"
    }
    assert not ManagerProcess.objects.filter(pk=dead.pk).exists()


def test_what_is_given_back_wakes_the_managers_of_each_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = []
    monkeypatch.setattr(
        "django_partisan.manager.round_trip.notifications.announce",
        lambda _, queue_name: told.append(queue_name),
    )
    for name in ("mail", "logs"):
        enqueue_in(name, 2)
    with managing(queue_name=["mail", "logs"]) as manager:
        wait_until(lambda: claimed_by(manager).total() == 4)
        told.clear()
        manager.round_trip.release(manager.queue.take_all())
        manager.round_trip.flush_released(time.monotonic())
    assert sorted(told) == ["logs", "mail"]
    assert set(statuses()) == {"new"}


def test_the_row_tells_of_all_queues() -> None:
    with managing(queue_name=["mail", "default"]) as manager:
        assert manager.heartbeat.manager_id is not None
        served = ManagerProcess.objects.get(pk=manager.heartbeat.manager_id).queues
        assert served == ["mail", "default"]
        managers.note_queues(manager.heartbeat.manager_id, ["mail"])
        assert ManagerProcess.objects.get().queues == ["mail"]
