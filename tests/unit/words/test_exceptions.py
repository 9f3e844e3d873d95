"""What the exceptions accept, say and carry."""

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_partisan import exceptions
from django_partisan.attempt import CRASHED, ErrorReport
from django_partisan.exceptions import (
    ConfigurationError,
    ManagerDied,
    MaxPostponesReached,
    PartisanException,
    Postpone,
    PostponeTask,
    ProcessDied,
    ProcessorClassAlreadyRegistered,
    ProcessorClassException,
    ProcessorClassNotFound,
    UnknownQueue,
    WorkerDied,
)
from django_partisan.lifecycle.transitions import orphan_outcome
from tests.support.claimed_tasks import claimed_task

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(300, 300.0), (0, 0.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), (None, None)],
)
def test_a_postpone_takes_seconds_or_a_timedelta_and_keeps_zero(
    given: Any, seconds: float | None
) -> None:
    assert PostponeTask(given).postpone_for_seconds == seconds


def test_a_postpone_without_a_time_leaves_the_default_to_the_tasks_queue() -> None:
    postpone = PostponeTask()
    assert (postpone.postpone_for_seconds, postpone.until) == (None, None)


def test_a_postpone_takes_an_aware_moment() -> None:
    assert PostponeTask(until=NOON).until == NOON


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        PostponeTask(until=NOON.replace(tzinfo=None))


def test_seconds_and_a_moment_together_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        PostponeTask(0, until=NOON)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), 10**400, timedelta(days=-1)])
def test_a_time_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="0 seconds to ten years"):
        PostponeTask(wrong)


@pytest.mark.parametrize("wrong", ["5", True, [5], NOON])
def test_what_is_no_time_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="seconds or a timedelta"):
        PostponeTask(wrong)
    with pytest.raises(TypeError, match="takes a datetime"):
        PostponeTask(until="tomorrow")  # type: ignore[arg-type]


def test_a_postpone_is_not_an_error_of_the_framework() -> None:
    assert not issubclass(PostponeTask, PartisanException)
    assert issubclass(MaxPostponesReached, PartisanException)
    assert issubclass(MaxPostponesReached, Postpone)


def test_a_missing_processor_is_named_with_the_remedy() -> None:
    message = str(ProcessorClassNotFound("shop.tasks.Send"))
    assert message.startswith("Processor class shop.tasks.Send cannot be found. Is it registered?")
    assert "ALIASES" in message


def test_a_name_taken_twice_is_named_with_the_remedy() -> None:
    message = str(ProcessorClassAlreadyRegistered("shop.tasks.Send"))
    assert message.startswith("Processor class shop.tasks.Send already registered")


def test_braces_in_a_name_do_not_break_the_message() -> None:
    assert "{0}{x}" in str(ProcessorClassNotFound("{0}{x}"))


@pytest.mark.parametrize(
    "error",
    [
        ProcessorClassNotFound("a.B", "Did you mean a.C?"),
        PostponeTask(3),
        PostponeTask(until=NOON),
        MaxPostponesReached(15),
        ConfigurationError("wrong", queue="mail", key="WORKERS_COUNT"),
        UnknownQueue("unknown", queue="mail"),
        WorkerDied("worker 7 was killed by SIGSEGV"),
        ManagerDied(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_travel_between_processes_unchanged(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("death", "error_type", "message"),
    [
        (WorkerDied("worker 7 exited"), "WorkerDied", "worker 7 exited while it ran the task"),
        (WorkerDied(), "WorkerDied", "The worker died while it ran the task"),
        (ManagerDied("It was silent for 30 s."), "ManagerDied", "It was silent for 30 s."),
        (ManagerDied(), "ManagerDied", "The manager that held the task died."),
    ],
)
def test_a_death_is_recorded_by_the_bare_name_of_its_class(
    death: ProcessDied, error_type: str, message: str
) -> None:
    error = orphan_outcome(claimed_task(), CRASHED, death).error
    assert error == ErrorReport(error_type, message, "")


def test_max_postpones_says_how_many_and_where_to_allow_more() -> None:
    message = str(MaxPostponesReached(15))
    assert "Maximum postpones (15) reached" in message
    assert "DEFAULT_POSTPONES_COUNT" in message


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (ProcessorClassNotFound, ProcessorClassException),
        (ProcessorClassException, PartisanException),
        (UnknownQueue, ConfigurationError),
        (ConfigurationError, PartisanException),
        (exceptions.LeaseLost, PartisanException),
        (WorkerDied, ProcessDied),
        (ManagerDied, ProcessDied),
        (ProcessDied, PartisanException),
        (exceptions.ManagerAlreadyRunning, PartisanException),
        (exceptions.WorkerBootError, PartisanException),
        (exceptions.NotMigrated, PartisanException),
    ],
)
def test_each_exception_has_its_place_in_the_family(
    narrow: type[Exception], wide: type[Exception]
) -> None:
    assert issubclass(narrow, wide)
