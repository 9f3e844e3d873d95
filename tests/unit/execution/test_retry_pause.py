"""The pause before a retry: by its processor, by its error, by the configuration."""

from __future__ import annotations

import decimal
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_partisan import execution, registry
from django_partisan.attempt import Outcome
from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import FailTask, TaskTimedOut
from django_partisan.execution import execute, retry_pause
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import claimed_task

CONFIGURED = 7.0
NAN, INFINITE = float("nan"), float("inf")


class TooManyRequestsError(Exception):
    def __init__(self, seconds: Any) -> None:
        super().__init__("429")
        self.retry_after_seconds = seconds


class UnreadableError(Exception):
    @property
    def retry_after_seconds(self) -> float:
        raise SystemExit("no header")


@registry.register
class Fetch(BaseTaskProcessor):
    """Raises the error that a test has put there."""

    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=[TooManyRequestsError, UnreadableError, ConnectionError, TaskTimedOut],
        retries_count=3,
        retry_pause=CONFIGURED,
        max_pause=60.0,
        jitter=0.0,
    )
    error: BaseException = TooManyRequestsError(30)

    def run(self) -> None:
        raise type(self).error


@registry.register
class Decide(Fetch):
    """Answers with what a test has put there; what can be called is called."""

    answer: Any = None
    asked: tuple[BaseException, int] | None = None

    def retry_delay(self, error: BaseException, attempt: int) -> Any:
        type(self).asked = error, attempt
        answer = type(self).answer
        return answer() if callable(answer) else answer


@pytest.fixture(autouse=True)
def told_nothing_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin with a process that has logged no reason."""
    retry_pause._told.clear()
    monkeypatch.setattr(Fetch, "error", TooManyRequestsError(30))
    monkeypatch.setattr(Decide, "answer", None)
    monkeypatch.setattr(Decide, "asked", None)
    yield
    retry_pause._told.clear()


def attempt_at(processor: BaseTaskProcessor, **columns: Any) -> Outcome:
    return execute(claimed_task(processor, **columns))


def leave() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("given", "pause"),
    [
        (30, 30.0),
        (0, 0.0),
        (0.25, 0.25),
        (61, 61.0),
        (10**400, MAX_PAUSE_SECONDS),
        (1e300, MAX_PAUSE_SECONDS),
        (None, CONFIGURED),
    ],
)
def test_an_error_sets_the_pause_of_its_retry(given: Any, pause: float) -> None:
    Fetch.error = TooManyRequestsError(given)
    outcome = attempt_at(Fetch())
    assert (outcome.kind, outcome.delay_seconds) == ("retried", pause)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (12, 12.0),
        (0, 0.0),
        (timedelta(minutes=2), 120.0),
        (timedelta.max, MAX_PAUSE_SECONDS),
        (None, 30.0),
    ],
)
def test_a_processor_is_asked_before_its_error(answer: Any, pause: float) -> None:
    Decide.answer = answer
    outcome = attempt_at(Decide(), attempts=2)
    assert (outcome.kind, outcome.delay_seconds) == ("retried", pause)
    assert Decide.asked == (Fetch.error, 2)


def test_without_either_the_pause_is_the_configured_one() -> None:
    Fetch.error = ConnectionError()
    assert attempt_at(Fetch()).delay_seconds == CONFIGURED
    assert attempt_at(Decide()).delay_seconds == CONFIGURED


@pytest.mark.parametrize(
    ("error", "columns"),
    [(TooManyRequestsError(1), {"retries": 3}), (ValueError(), {}), (FailTask("no"), {})],
)
def test_whether_it_is_retried_is_still_the_configurations(
    error: Exception, columns: dict[str, int]
) -> None:
    error.__dict__["retry_after_seconds"] = 1
    Fetch.error, Decide.answer = error, 1
    assert attempt_at(Decide(), **columns).kind == "failed"
    assert Decide.asked is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (-1, "negative"),
        (-INFINITE, "negative"),
        (INFINITE, "not finite"),
        (NAN, "not finite"),
        ("120", "no number of seconds, but of type str"),
        (True, "no number of seconds, but of type bool"),
        (decimal.Decimal(3), "no number of seconds, but of type Decimal"),
        (timedelta(seconds=3), "no number of seconds, but of type timedelta"),
    ],
)
def test_an_error_that_names_no_pause_waits_as_configured_and_is_told_of(
    given: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    Fetch.error = TooManyRequestsError(given)
    outcome = attempt_at(Fetch())
    assert (outcome.kind, outcome.delay_seconds) == ("retried", CONFIGURED)
    [record] = warnings_of(caplog)
    text = record.getMessage()
    assert f"of {Fetch().processor_name} waits" in text
    assert f"retry_after_seconds of {__name__}.TooManyRequestsError is {reason}. Set it" in text
    assert record.__dict__["task_id"] == 7


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (-2, "is negative"),
        (timedelta(seconds=-2), "is negative"),
        (NAN, "is not finite"),
        ([1], "is no number of seconds, but of type list"),
        (leave, "raised SystemExit: 3"),
        (lambda: 1 / 0, "raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_processor_that_names_no_pause_leaves_it_to_the_error_and_is_told_of(
    answer: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    Decide.answer = answer
    outcome = attempt_at(Decide())
    assert (outcome.kind, outcome.delay_seconds) == ("retried", 30.0)
    [record] = warnings_of(caplog)
    assert (
        f"{Decide().processor_name}.retry_delay() {reason}. Return seconds" in record.getMessage()
    )
    assert bool(record.exc_info) == ("raised" in reason)


def test_an_attribute_that_raises_is_told_of_as_well(caplog: pytest.LogCaptureFixture) -> None:
    Fetch.error = UnreadableError()
    assert attempt_at(Fetch()).delay_seconds == CONFIGURED
    assert "UnreadableError raised SystemExit: no header" in warnings_of(caplog)[0].getMessage()


def test_each_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    for seconds in (-1, -2, "soon", "later"):
        Fetch.error = TooManyRequestsError(seconds)
        attempt_at(Fetch())
    assert len(warnings_of(caplog)) == 2


def test_a_log_that_cannot_be_written_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError

    monkeypatch.setattr(retry_pause.logger, "warning", refuse)
    Fetch.error = TooManyRequestsError(-1)
    assert attempt_at(Fetch()).delay_seconds == CONFIGURED


def test_the_process_is_restored_after_a_processor_was_asked() -> None:
    notes: list[str] = []

    class Host(execution.PlainHost):
        def restore(self, processor_class: str) -> None:
            notes.append("restored")

    Decide.answer = lambda: notes.append("asked")
    assert execute(claimed_task(Decide()), Host()).kind == "retried"
    assert notes == ["restored", "asked", "restored"]


def test_where_its_worker_was_killed_no_code_of_the_task_is_run() -> None:
    error = TaskTimedOut(5, killed=" It was killed.")
    outcome = execution.killed_outcome(claimed_task(Decide()), error, None)
    assert (outcome.kind, outcome.delay_seconds) == ("retried", CONFIGURED)
    assert Decide.asked is None


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == retry_pause.__name__]
