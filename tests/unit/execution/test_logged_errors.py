"""Each end in error is logged with the error itself, without secrets and without our own frames."""

from __future__ import annotations

import copy
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import django_partisan
from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import CancelTask
from django_partisan.execution import execute
from django_partisan.execution.logged_error import exc_info_of
from django_partisan.logs import JsonFormatter
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry.registry import registry
from tests.support.factories import claimed_task

PACKAGE = str(Path(django_partisan.__file__).parent)
SECRET = "hunter2 & friends"


class OutOfStockError(LookupError):
    """An error of a project, with a constructor and a text of its own."""

    def __init__(self, shop: str, item: str) -> None:
        self.shop, self.item = shop, item

    def __str__(self) -> str:
        return f"{self.shop} has no {self.item}"


class OneOfAKindError(Exception):
    """An error that nobody may derive from."""

    def __init_subclass__(cls) -> None:
        raise TypeError("nobody derives from this")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit


class Meta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit


class UnnameableError(Exception, metaclass=Meta):
    pass


class Failing(BaseTaskProcessor):
    """Raises what its first argument names; the second is the secret where there is one."""

    def run(self) -> None:
        raise_it(*self.args)


class FailingInSecret(Failing):
    SENSITIVE_PARAMS = ("1",)


class RetryingInSecret(FailingInSecret):
    RETRY_ON_ERROR_CONFIG = ErrorsHandleConfig(
        retry_on_errors=(Exception,), retries_count=1, retry_pause=1
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the processors for one test: secrets of one mask what nobody knows."""
    for name in vars(registry):
        monkeypatch.setattr(registry, name, copy.copy(getattr(registry, name)))
    for processor in (Failing, FailingInSecret, RetryingInSecret):
        registry.register(processor)


def raise_it(kind: str, word: str = "shoes") -> None:
    if kind == "from another":
        try:
            raise_it("own", word)
        except LookupError as error:
            raise ValueError(f"cannot sell {word}") from error
    if kind == "in a group":
        raise ExceptionGroup(f"all about {word}", [OutOfStockError("here", word), KeyError(word)])
    if kind == "with a note":
        noted = RuntimeError("look at the note")
        noted.add_note(f"it is {word}")
        raise noted
    if kind == "deep":
        deeper(300)
    raise ERRORS[kind](word)


def deeper(count: int) -> None:
    if count:
        deeper(count - 1)
    raise RuntimeError("deep down")


ERRORS: dict[str, Any] = {
    "own": lambda word: OutOfStockError("the shop", word),
    "plain": lambda word: ValueError(f"no {word}"),
    "key": lambda word: {}[word],
    "system": lambda word: OSError(2, "no such thing", word),
    "encoding": lambda word: UnicodeDecodeError("utf-8", word.encode(), 0, 1, word),
    "syntax": lambda word: SyntaxError("no code", (word, 1, 1, word)),
    "exit": SystemExit,
    "unprintable": lambda _: UnprintableError(),
    "unnameable": UnnameableError,
    "one of a kind": OneOfAKindError,
    "long": lambda word: ValueError(f"no {word}" * 100_000),
    "surrogate": lambda _: ValueError("a lone \ud800"),
    "cancel": lambda word: CancelTask(f"no {word}"),
}
KINDS = [*(ERRORS.keys() - {"cancel"}), "from another", "in a group", "with a note", "deep"]


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    logger, handler = logging.getLogger("django_partisan.execution"), Records()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.all
    logger.removeHandler(handler)
    logger.setLevel(level)


def run(processor: type[BaseTaskProcessor], *args: str) -> None:
    execute(claimed_task(processor(*args)))


def frames_of(record: logging.LogRecord) -> list[Any]:
    assert record.exc_info
    return [frame for frame, _ in traceback.walk_tb(record.exc_info[2])]


def written(record: logging.LogRecord) -> str:
    return JsonFormatter().format(record)


def test_an_error_is_logged_itself_with_the_task_it_is_about(
    records: list[logging.LogRecord],
) -> None:
    run(Failing, "own")
    (record,) = records
    assert record.levelno == logging.ERROR
    line = json.loads(written(record))
    assert line["processor"].endswith("Failing")
    assert {"task_id", "queue", "attempt"} <= set(line)
    assert line["message"].endswith("OutOfStockError: the shop has no shoes")
    assert record.exc_info
    assert type(record.exc_info[1]) is OutOfStockError, "its attributes help, as in any log"
    assert "\n" not in written(record)


@pytest.mark.parametrize("processor", [Failing, FailingInSecret])
def test_frames_of_the_package_are_left_out(
    processor: type[BaseTaskProcessor], records: list[logging.LogRecord]
) -> None:
    run(processor, "own", SECRET)
    (record,) = records
    assert [frame.f_code.co_name for frame in frames_of(record)] == ["run", "raise_it"]
    assert PACKAGE not in written(record)
    assert "raise_it(*self.args)" in written(record), "the source is shown"


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_reaches_the_log(kind: str, records: list[logging.LogRecord]) -> None:
    run(FailingInSecret, kind, SECRET)
    (record,) = records
    assert record.exc_info
    assert "hunter2" not in written(record)
    assert "hunter2" not in repr(vars(record))
    seen: list[Any] = [record.exc_info[1]]
    for error in seen:
        assert "hunter2" not in f"{error} {error!r} {error.args} {vars(error)}"
        members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        causes = (error.__cause__, error.__context__, *members)
        seen += [cause for cause in causes if cause is not None and cause not in seen]
    for frame in frames_of(record):
        assert "hunter2" not in repr(frame.f_locals), "trackers send local variables along"


@pytest.mark.parametrize("kind", ["own", "plain", "key", "system", "encoding", "exit"])
def test_a_masked_error_keeps_its_type(kind: str, records: list[logging.LogRecord]) -> None:
    run(FailingInSecret, kind, SECRET)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is
        raise_it(kind, SECRET)
    assert records[0].exc_info
    shown = records[0].exc_info[0]
    assert shown is not None
    assert issubclass(shown, raised.type)
    assert (shown.__name__, shown.__module__) == (raised.type.__name__, raised.type.__module__)
    assert "********" in written(records[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_can_be_written(kind: str, records: list[logging.LogRecord]) -> None:
    run(Failing, kind)
    (record,) = records
    record.getMessage().encode()
    text = json.loads(written(record))["exception"]
    text.encode()
    assert len(text) < 100_000


def test_what_an_error_was_raised_from_is_logged_with_it(records: list[logging.LogRecord]) -> None:
    run(FailingInSecret, "from another", SECRET)
    text = json.loads(written(records[0]))["exception"]
    assert "OutOfStockError: the shop has no ********" in text
    assert "The above exception was the direct cause" in text
    assert text.endswith("ValueError: cannot sell ********")


def test_a_retry_is_a_warning_on_one_line(records: list[logging.LogRecord]) -> None:
    run(RetryingInSecret, "plain", f"{SECRET}\nand\r\nmore")
    (record,) = records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "hunter2" not in record.getMessage()
    assert "will be retried: ValueError: no" in record.getMessage()
    assert len(record.getMessage().splitlines()) == 1


def test_a_cancelled_task_is_no_error(records: list[logging.LogRecord]) -> None:
    run(Failing, "cancel")
    (record,) = records
    assert (record.levelno, record.exc_info) == (logging.INFO, None)


def test_an_error_without_a_processor_is_logged_as_well(records: list[logging.LogRecord]) -> None:
    execute(claimed_task(Failing("own"))._replace(processor_class="gone.Processor"))
    (record,) = records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert record.exc_info[2] is None, "all frames are the package's own"


def test_a_handler_that_raises_changes_no_outcome() -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("the disk of the logs is full")

    logger, handler = logging.getLogger("django_partisan.execution"), Broken()
    logger.addHandler(handler)
    try:
        outcome = execute(claimed_task(RetryingInSecret("plain", SECRET)))
    finally:
        logger.removeHandler(handler)
    assert outcome.kind == "retried"


def test_a_source_line_that_holds_the_secret_is_not_shown() -> None:
    with pytest.raises(ValueError, match="no hay") as raised:
        raise_it("plain", {"needle": "hay"}["needle"])  # the needle stands in this line
    info = exc_info_of(raised.value, ["needle"], 10_000)
    text = "".join(traceback.format_exception(*info))
    assert "needle" not in text
    assert info[2] is not None
    assert f"line {info[2].tb_lineno}" in text


def test_causes_that_go_round_in_a_circle_end(records: list[logging.LogRecord]) -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    for secrets in ([], ["first"]):
        info = exc_info_of(first, secrets, 1000)
        assert info[1].__context__ is not None
        assert str(info[1].__context__) == "second"
    assert sys.exc_info() == (None, None, None)
