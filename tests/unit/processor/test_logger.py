"""A processor's own logger: the project's, with the task's fields, and into the task's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from django_partisan.attempt import ClaimedTask
from django_partisan.logs import running
from django_partisan.processor import BaseTaskProcessor
from tests.support.claimed_tasks import claimed_task

TASK = claimed_task(41, attempts=2)


class Talk(BaseTaskProcessor):
    def run(self) -> None:
        self.logger.info("hello %s", "you")


class HasItsOwn(BaseTaskProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.logger = "mine"  # type: ignore[assignment]

    def run(self) -> Any:
        return self.logger


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Return the lines that are put into the log of tasks, with their ids."""
    found: list[tuple[int, str]] = []

    def write_line(task: ClaimedTask, line: str) -> None:
        found.append((task.id, line.partition(" ")[2]))

    monkeypatch.setattr(running, "write_line", write_line)
    return found


@pytest.fixture
def project() -> Iterator[logging.Logger]:
    """Return the project's logger of this module, on which nothing is configured yet."""
    logger = logging.getLogger(__name__)
    logger.propagate = False
    yield logger
    logger.propagate = True
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


class Noted(logging.Handler):
    """Keeps records."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def bound() -> Talk:
    talk = Talk()
    talk.bind(TASK)
    return talk


def test_records_carry_the_fields_of_the_task_and_those_of_the_call(
    project: logging.Logger,
) -> None:
    handler = Noted()
    project.addHandler(handler)
    bound().logger.warning("careful", extra={"order": 17})
    [record] = handler.records
    told = vars(record)
    assert (told["task_id"], told["attempt"], told["order"]) == (41, 2, 17)
    assert (told["processor"], told["queue"]) == ("shop.Mail", "default")
    assert (record.name, record.filename, record.funcName) == (
        __name__,
        "test_logger.py",
        "test_records_carry_the_fields_of_the_task_and_those_of_the_call",
    )


def test_the_project_decides_what_it_logs_and_the_task_has_it_from_info_on(
    project: logging.Logger, lines: list[tuple[int, str]]
) -> None:
    handler = Noted()
    project.addHandler(handler)
    project.setLevel(logging.WARNING)
    talk = bound()
    talk.logger.debug("at DEBUG")
    talk.logger.info("at INFO")
    talk.logger.error("at ERROR")
    assert [record.getMessage() for record in handler.records] == ["at ERROR"]
    assert lines == [(41, "INFO    at INFO"), (41, "ERROR   at ERROR")]
    project.setLevel(logging.DEBUG)
    talk.logger.debug("at DEBUG")
    assert lines[-1] == (41, "DEBUG   at DEBUG")


def test_a_traceback_stands_below_its_line(
    project: logging.Logger, lines: list[tuple[int, str]]
) -> None:
    try:
        dict[str, int]()["gone"]
    except KeyError:
        bound().logger.exception("no such thing")
    [(_, line)] = lines
    assert line.startswith("ERROR   no such thing\nTraceback (most recent call last):\n")
    assert line.endswith("KeyError: 'gone'")


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
@pytest.mark.parametrize("filters", [[], [lambda _: False]])
def test_a_line_that_a_handler_prints_is_not_put_there_again(
    project: logging.Logger,
    lines: list[tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    level: int,
    filters: list[Any],
) -> None:
    printing = logging.StreamHandler(sys.__stderr__)
    printing.setLevel(level)
    for each in filters:
        printing.addFilter(each)
    monkeypatch.setattr(printing, "emit", lambda _: None)
    project.addHandler(printing)
    project.setLevel(logging.INFO)
    monkeypatch.setattr("django_partisan.processor.logger._CAPTURED", {printing.stream.fileno()})
    bound().logger.info("hello")
    is_printed = level == logging.INFO and not filters
    assert lines == ([] if is_printed else [(41, "INFO    hello")])


def test_the_console_of_rich_prints_as_well(
    project: logging.Logger, lines: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Console:
        file = sys.stderr

    handler = Noted()
    vars(handler)["console"] = Console()
    project.addHandler(handler)
    monkeypatch.setattr("django_partisan.processor.logger._CAPTURED", {Console.file.fileno()})
    bound().logger.warning("hello")
    assert lines == []


def test_without_a_worker_it_is_the_projects_logger(
    project: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = Noted()
    project.addHandler(handler)
    project.setLevel(logging.INFO)
    Talk().run_now()
    [record] = handler.records
    assert record.getMessage() == "hello you"
    assert vars(record)["processor"] == f"{__name__}.Talk"
    assert "task_id" not in vars(record)
    project.setLevel(logging.WARNING)
    assert not Talk().logger.isEnabledFor(logging.INFO)
    assert Talk.logger.isEnabledFor(logging.WARNING)
    assert capfd.readouterr() == ("", "")


def test_a_processor_may_have_a_logger_of_its_own() -> None:
    assert HasItsOwn().run_now() == "mine"
