"""An attempt ends in exactly one outcome, whatever the task's code does."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from django_partisan import attempt, execution, registry
from django_partisan.attempt import RECORDED, ClaimedTask, ErrorReport, Outcome
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.exceptions import (
    CancelTask,
    FailTask,
    PostponeTask,
    TaskCancelled,
    TaskTimedOut,
)
from django_partisan.execution import execute
from django_partisan.processor import BaseTaskProcessor
from tests.support.factories import claimed_task


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text here")


class Trap:
    def __repr__(self) -> str:
        raise SystemExit


class FinalLookupError(KeyError):
    """Its parent is retried on, itself never."""


@registry.register
class Doing(BaseTaskProcessor):
    """Calls what its first argument names."""

    def run(self) -> Any:
        return ACTIONS[self.args[0]](*self.args[1:])


@registry.register
class Retrying(Doing):
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(LookupError, RecursionError),
        never_retry=(FinalLookupError,),
        retries_count=2,
        retry_pause=4,
        retry_pause_strategy="I",
    )


@registry.register
class RetryingOnEverything(Doing):
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(Exception,), retries_count=None, retry_pause=0
    )


@registry.register
class RetryingWhenLate(Doing):
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(TaskTimedOut,), retries_count=2, retry_pause=4
    )


@registry.register
class PostponingTwice(Doing):
    POSTPONE_CONFIG = PostponeConfig(max_postpones=2)


@registry.register
class PostponingForever(Doing):
    POSTPONE_CONFIG = PostponeConfig(max_postpones=None)


@registry.register
class AtomicRetrying(Retrying):
    ATOMIC = True


@registry.register
class CannotBeMade(BaseTaskProcessor):
    def __init__(self, required: int) -> None:
        super().__init__(required)

    def run(self) -> None:
        """Never gets there."""


def _raise(name: str) -> None:
    raise ERRORS[name]


def _recurse() -> None:
    _recurse()


ERRORS: dict[str, BaseException] = {
    "exit": SystemExit(3),
    "exit cleanly": SystemExit(),
    "interrupt": KeyboardInterrupt(),
    "close": GeneratorExit("closed"),
    "unprintable": UnprintableError(),
    "cancel": CancelTask("no address"),
    "fail": FailTask("no address"),
    "stopped": TaskCancelled(),
    "key": KeyError("k"),
    "lookup": FinalLookupError("k"),
    "value": ValueError("bad \0 \ud800 value"),
    "long": ValueError("x" * 5_000_000),
    "group": ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
}
MOMENT = datetime(2040, 1, 1, tzinfo=UTC)
POSTPONES = {
    "default": PostponeTask(),
    "seconds": PostponeTask(7),
    "zero": PostponeTask(0),
    "delta": PostponeTask(timedelta(minutes=2)),
    "until": PostponeTask(until=MOMENT),
}


def _postpone(name: str) -> None:
    raise POSTPONES[name]


ACTIONS: dict[str, Any] = {
    "return": lambda value: value,
    "return a set": lambda: {1},
    "return a trap": Trap,
    "return nan": lambda: float("nan"),
    "return much": lambda: "x" * 300_000,
    "raise": _raise,
    "recurse": _recurse,
    "postpone": _postpone,
    "defer": lambda name: DEFERRED[name](),
}


def run(
    *args: Any, processor: type[BaseTaskProcessor] = Doing, **columns: Any
) -> tuple[Outcome, ErrorReport]:
    """Execute a claimed task; return its outcome and the error in it, an empty one if none."""
    outcome = execute(claimed_task(processor(*args), **columns))
    return outcome, outcome.error or ErrorReport("", "", "")


def test_an_outcome_names_the_task_its_lease_and_when_it_ran() -> None:
    before = time.monotonic()
    outcome, _ = run("return", None, id=42, lease=9)
    assert (outcome.task_id, outcome.lease) == (42, 9)
    assert outcome.started is not None
    assert before <= outcome.started <= outcome.ended <= time.monotonic()


@pytest.mark.parametrize("value", [0, False, "", [], {"a": [1, None]}, "ü", 1.5])
def test_a_return_value_is_kept_as_json(value: Any) -> None:
    outcome, _ = run("return", value)
    assert outcome.kind == "finished"
    assert outcome.result is not None
    assert json.loads(outcome.result) == value


def test_a_task_that_returns_nothing_has_no_result() -> None:
    outcome, _ = run("return", None)
    assert outcome == Outcome(7, 3, "finished", outcome.started, outcome.ended)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("return a set", "is not JSON"),
        ("return nan", "is not JSON"),
        ("return much", "is larger than PARTISAN_MAX_RESULT_BYTES (262144)"),
    ],
)
def test_a_return_value_that_cannot_be_kept_becomes_its_repr_with_a_warning(
    action: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "django_partisan.execution"):
        outcome, _ = run(action)
    assert outcome.kind == "finished"
    assert outcome.result is not None
    assert set(json.loads(outcome.result)) == {"repr"}
    assert len(outcome.result) <= 262_144
    assert f"{reason}; its repr is kept" in caplog.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("exit", "SystemExit"),
        ("exit cleanly", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("close", "GeneratorExit"),
        ("key", "KeyError"),
        ("group", "ExceptionGroup"),
    ],
)
def test_whatever_is_raised_becomes_a_failure(name: str, kind: str) -> None:
    outcome, error = run("raise", name)
    assert outcome.kind == "failed"
    assert error.type == kind
    assert "raise ERRORS[name]" in error.traceback


def test_an_error_whose_text_raises_is_still_reported() -> None:
    _, error = run("raise", "unprintable")
    assert error.type == "tests.unit.execution.test_execute.UnprintableError"
    assert error.message == "<UnprintableError, whose text raised RuntimeError>"
    assert "UnprintableError" in error.traceback


def test_endless_recursion_is_a_failure_like_any_other() -> None:
    outcome, error = run("recurse")
    assert (outcome.kind, error.type) == ("failed", "RecursionError")
    assert len(error.traceback) < 65_536
    assert sys.getrecursionlimit() > 100


@pytest.mark.parametrize("name", ["value", "long"])
def test_the_text_of_an_error_is_capped_and_can_be_stored(name: str) -> None:
    _, error = run("raise", name)
    for text in (error.message, error.traceback):
        assert 0 < len(text.encode()) <= 65_536
        assert "\0" not in text


@override_settings(PARTISAN_MAX_ERROR_BYTES=300)
def test_the_cap_of_an_error_is_a_setting_and_keeps_head_and_tail() -> None:
    _, error = run("raise", "long")
    assert len(error.traceback.encode()) <= 300
    assert error.traceback.startswith("Traceback")
    assert "bytes left out" in error.traceback


def test_a_task_whose_class_is_gone_fails_and_says_so() -> None:
    outcome = execute(claimed_task(Doing(), processor_class="shop.partisan_tasks.Gone"))
    assert outcome.kind == "failed"
    assert outcome.error is not None
    assert outcome.error.type == "django_partisan.exceptions.ProcessorClassNotFound"
    assert "shop.partisan_tasks.Gone cannot be found" in outcome.error.message


@pytest.mark.parametrize(
    "stored", ["", "{", "[]", "null", '{"args": 5}', '{"kwargs": []}', "[" * 100_000, "\0"]
)
def test_arguments_that_cannot_be_decoded_are_a_failure(stored: str) -> None:
    outcome = execute(claimed_task(Doing(), arguments=stored))
    assert outcome.kind == "failed"


def test_arguments_that_the_constructor_refuses_are_a_failure() -> None:
    outcome = execute(claimed_task(CannotBeMade(1), arguments='{"args": [1, 2]}'))
    assert outcome.error is not None
    assert (outcome.kind, outcome.error.type) == ("failed", "TypeError")


@pytest.mark.parametrize(("retries", "pause"), [(0, 4), (1, 8)])
def test_an_error_of_the_policy_earns_a_retry_after_its_pause(retries: int, pause: float) -> None:
    outcome, error = run("raise", "key", processor=Retrying, retries=retries)
    assert (outcome.kind, outcome.delay_seconds) == ("retried", pause)
    assert error.type == "KeyError"


def test_the_last_retry_is_followed_by_a_failure() -> None:
    assert run("raise", "key", processor=Retrying, retries=2)[0].kind == "failed"


def test_a_recursion_error_can_earn_a_retry() -> None:
    assert run("recurse", processor=Retrying)[0].kind == "retried"


@pytest.mark.parametrize("name", ["value", "lookup", "exit"])
def test_an_error_outside_the_policy_fails_at_once(name: str) -> None:
    assert run("raise", name, processor=Retrying)[0].kind == "failed"


@pytest.mark.parametrize(
    ("name", "delay", "due_at"),
    [
        ("default", 5.0, None),
        ("seconds", 7.0, None),
        ("zero", 0.0, None),
        ("delta", 120.0, None),
        ("until", None, MOMENT.timestamp()),
    ],
)
def test_a_postpone_carries_its_wait(name: str, delay: float | None, due_at: float | None) -> None:
    outcome, _ = run("postpone", name)
    assert (outcome.kind, outcome.delay_seconds, outcome.due_at) == ("postponed", delay, due_at)
    assert outcome.error is None


@override_settings(
    PARTISAN_CONFIG={"slow": {"DEFAULT_POSTPONE_DELAY_SECONDS": 60, "DEFAULT_POSTPONES_COUNT": 1}}
)
def test_a_postpone_without_a_time_asks_the_tasks_own_queue() -> None:
    assert run("postpone", "default", queue_name="slow")[0].delay_seconds == 60
    assert run("postpone", "default", queue_name="slow", postpones=1)[0].kind == "failed"
    assert run("postpone", "default", postpones=1)[0].kind == "postponed"


def test_a_queue_allows_fifteen_postpones_by_default() -> None:
    assert run("postpone", "zero", postpones=14)[0].kind == "postponed"
    outcome, error = run("postpone", "zero", postpones=15)
    assert outcome.kind == "failed"
    assert error.type == "django_partisan.exceptions.MaxPostponesReached"
    assert "Maximum postpones (15) reached" in error.message
    assert "raise POSTPONES[name]" in error.traceback


def test_a_processors_own_limit_of_postpones_wins() -> None:
    assert run("postpone", "zero", processor=PostponingTwice, postpones=1)[0].kind == "postponed"
    assert run("postpone", "zero", processor=PostponingTwice, postpones=2)[0].kind == "failed"
    outcome, _ = run("postpone", "zero", processor=PostponingForever, postpones=10_000)
    assert outcome.kind == "postponed"


def test_a_postpone_is_never_taken_for_an_error_to_retry_on() -> None:
    class RetryingAll(Doing):
        RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
            retry_on_errors=(Exception,), retries_count=None, retry_pause=1
        )

    registry.register(RetryingAll)
    assert run("postpone", "zero", processor=RetryingAll)[0].kind == "postponed"
    assert run("postpone", "zero", processor=RetryingAll, postpones=15)[0].kind == "failed"


@override_settings(PARTISAN_CONFIG={"default": {}})
def test_a_postpone_in_a_queue_that_is_not_configured_goes_by_the_defaults() -> None:
    outcome, _ = run("postpone", "default", queue_name="removed")
    assert (outcome.kind, outcome.delay_seconds) == ("postponed", 5.0)
    assert run("postpone", "default", queue_name="removed", postpones=15)[0].kind == "failed"


def test_a_return_value_whose_repr_ends_the_process_is_a_failure() -> None:
    outcome, error = run("return a trap")
    assert (outcome.kind, error.type) == ("failed", "SystemExit")


# --- the host


class NotingHost(execution.PlainHost):
    """Notes what is asked of it, and fails where the test says so."""

    def __init__(self, *, fails_on: str = "") -> None:
        self.notes: list[str] = []
        self._fails_on = fails_on

    def run(self, task: ClaimedTask, processor: execution.Processor) -> Any:
        self._note("run")
        return processor.run()

    def restore(self, processor_class: str) -> None:
        self._note(f"restore {processor_class.rpartition('.')[2]}")

    def atomically(self, task: ClaimedTask, attempt: Callable[[], Outcome]) -> Outcome:
        self._note("begin")
        outcome = attempt()
        self._note("commit")
        return outcome._replace(kind=RECORDED)

    def _note(self, what: str) -> None:
        self.notes.append(what)
        if what == self._fails_on:
            raise KeyError(what)


class Noted:
    """A value that notes when something is made of it."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def __repr__(self) -> str:
        self._notes.append("result")
        return "noted"


def hosted(
    processor: type[BaseTaskProcessor], action: Callable[[], Any], host: NotingHost
) -> Outcome:
    ACTIONS["hosted"] = action
    return execute(claimed_task(processor("hosted")), host)


def test_the_process_is_restored_before_anything_is_made_of_what_a_task_returns() -> None:
    host = NotingHost()
    outcome = hosted(Doing, lambda: Noted(host.notes), host)
    assert host.notes == ["run", "restore Doing", "result"]
    assert outcome.result == '{"repr":"noted"}'


def test_an_atomic_task_is_restored_after_its_code_and_after_its_commit() -> None:
    host = NotingHost()
    outcome = hosted(AtomicRetrying, lambda: Noted(host.notes), host)
    restored = "restore AtomicRetrying"
    assert host.notes == ["begin", "run", restored, "result", "commit", restored]
    assert outcome.kind == RECORDED


@pytest.mark.parametrize("processor", [Retrying, AtomicRetrying])
def test_the_process_is_restored_while_the_error_of_a_task_is_known(
    processor: type[BaseTaskProcessor],
) -> None:
    class Host(NotingHost):
        def restore(self, processor_class: str) -> None:
            self.notes.append(repr(sys.exception()))

    host = Host()
    assert hosted(processor, lambda: _raise("key"), host).kind == "retried"
    assert set(host.notes) - {"begin", "run"} == {"KeyError('k')"}


def test_a_task_that_could_not_be_made_is_restored_and_fails_by_nobodys_rules() -> None:
    host = NotingHost()
    outcome = execute(claimed_task(RetryingOnEverything(), arguments="{"), host)
    assert host.notes == ["restore RetryingOnEverything"]
    assert outcome.kind == "failed"


@pytest.mark.parametrize(
    ("processor", "moment"),
    [
        (Retrying, "run"),
        (Retrying, "restore Retrying"),
        (AtomicRetrying, "begin"),
        (AtomicRetrying, "restore AtomicRetrying"),
        (AtomicRetrying, "commit"),
    ],
)
def test_what_fails_around_a_task_counts_as_its_own_error(
    processor: type[BaseTaskProcessor], moment: str
) -> None:
    outcome = hosted(processor, lambda: None, NotingHost(fails_on=moment))
    assert outcome.kind == "retried"
    assert outcome.error is not None
    assert outcome.error.message == repr(moment)


def test_every_kind_of_outcome_is_one_that_can_be_recorded_or_is_already() -> None:
    from django_partisan.lifecycle.transitions import TRANSITION_OF

    kinds = {value for name, value in vars(attempt).items() if name.isupper()}
    assert kinds - {RECORDED} == set(TRANSITION_OF)


def test_a_task_whose_worker_was_killed_for_its_time_ends_by_the_processors_own_rules() -> None:
    error = TaskTimedOut(5, killed=" It was killed.")
    failed = execution.killed_outcome(claimed_task(Doing()), error, 100.0)
    assert (failed.kind, failed.started) == ("failed", 100.0)
    assert failed.error is not None
    assert failed.error.message.endswith("TIMEOUT_SECONDS (5). It was killed.")
    assert (
        execution.killed_outcome(claimed_task(RetryingWhenLate()), error, 100.0).kind == "retried"
    )
    unknown = claimed_task(Doing(), processor_class="gone.Processor")
    assert execution.killed_outcome(unknown, error, 100.0).kind == "failed"


@pytest.mark.parametrize("processor", [Doing, RetryingOnEverything])
@pytest.mark.parametrize(("name", "kind"), [("cancel", "cancelled"), ("fail", "failed")])
def test_a_task_ends_itself_with_a_reason_whatever_its_config_says(
    processor: type[BaseTaskProcessor], name: str, kind: str
) -> None:
    outcome, error = run("raise", name, processor=processor)
    assert (outcome.kind, error.message) == (kind, "no address")
    assert error.type == f"django_partisan.exceptions.{name.title()}Task"


def test_a_task_that_was_stopped_is_cancelled_whatever_its_config_says() -> None:
    assert run("raise", "stopped", processor=RetryingOnEverything)[0].kind == "cancelled"
    killed = TaskCancelled(killed=" It was killed.")
    outcome = execution.killed_outcome(claimed_task(Doing()), killed, None)
    assert (outcome.kind, outcome.started) == ("cancelled", None)


async def _never_awaited() -> None:
    """Awaited by nobody."""


def _future() -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.create_future()
    finally:
        loop.close()


async def _never_iterated() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("processor_class", [Doing, AtomicRetrying])
@pytest.mark.parametrize("name", ["coroutine", "generator", "async_generator", "Future"])
def test_work_that_was_returned_instead_of_done_is_an_error(
    processor_class: type[Doing], name: str
) -> None:
    outcome = execute(claimed_task(processor_class("defer", name)))
    assert outcome.kind == attempt.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "TypeError"
    assert f"returned a {name}" in outcome.error.message
    assert "async_to_sync" in outcome.error.message


DEFERRED: dict[str, Callable[[], Any]] = {
    "coroutine": _never_awaited,
    "generator": lambda: (number for number in range(3)),
    "async_generator": _never_iterated,
    "Future": _future,
}
