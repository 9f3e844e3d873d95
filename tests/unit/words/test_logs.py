"""Log records that name their task."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator

import pytest

from django_partisan import logs


class Written(logging.Logger):
    """A logger that writes into `lines`."""

    def __init__(self) -> None:
        super().__init__("django_partisan.test")
        self.lines = io.StringIO()
        self.addHandler(logging.StreamHandler(self.lines))


@pytest.fixture
def logger() -> Written:
    return Written()


def written(logger: Written, formatter: logging.Formatter) -> io.StringIO:
    logger.handlers[0].setFormatter(formatter)
    return logger.lines


@contextlib.contextmanager
def bare_project() -> Iterator[logging.Logger]:
    """Hide every handler, as in a project that has none; pytest adds its own to each test."""
    logger = logging.getLogger(logs.LOGGER_NAME)
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [], False
    try:
        yield logger
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


@pytest.fixture(autouse=True)
def _speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the former test has said about the console."""
    monkeypatch.setattr(logs._console, "is_silent", False)


def test_a_json_line_holds_the_task_it_is_about(logger: Written) -> None:
    lines = written(logger, logs.JsonFormatter())
    extra = logs.task_extra(task_id=7, processor="shop.Send", queue="mail", attempt=2)
    logger.warning("failed: %s", "no route", extra=extra)
    line = json.loads(lines.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "django_partisan.test",
        "message": "failed: no route",
        "task_id": 7,
        "processor": "shop.Send",
        "queue": "mail",
        "attempt": 2,
    }


def test_a_json_record_with_a_traceback_is_still_one_line(logger: Written) -> None:
    lines = written(logger, logs.JsonFormatter())
    error = ValueError("first\nsecond")
    logger.error("two\nlines", exc_info=error)
    assert lines.getvalue().count("\n") == 1
    assert "ValueError: first\nsecond" in json.loads(lines.getvalue())["exception"]


def test_a_json_line_survives_what_is_not_json(logger: Written) -> None:
    lines = written(logger, logs.JsonFormatter())
    logger.warning("lone \ud800", extra={"task_id": object()})
    assert "object object" in json.loads(lines.getvalue())["task_id"]


def test_a_json_line_without_a_task_has_no_task_fields(logger: Written) -> None:
    lines = written(logger, logs.JsonFormatter())
    logger.warning("started")
    assert set(json.loads(lines.getvalue())) == {"time", "level", "logger", "message"}


def test_a_console_line_ends_with_the_task_it_is_about(logger: Written) -> None:
    lines = written(logger, logs.ConsoleFormatter())
    logger.warning("failed", extra=logs.task_extra(task_id=7, queue="mail"))
    assert lines.getvalue().endswith(" WARNING failed [task_id=7 queue=mail]\n")


def test_a_console_line_without_a_task_has_no_brackets(logger: Written) -> None:
    lines = written(logger, logs.ConsoleFormatter())
    logger.warning("started")
    assert lines.getvalue().endswith(" WARNING started\n")


def test_fields_that_are_not_known_are_left_out() -> None:
    assert logs.task_extra(task_id=0, attempt=None) == {"task_id": 0}


@pytest.mark.parametrize(
    ("verbosity", "level"), [(0, "WARNING"), (1, "INFO"), (2, "DEBUG"), (3, "DEBUG")]
)
def test_a_bare_project_gets_one_handler_at_the_level_asked_for(verbosity: int, level: str) -> None:
    with bare_project() as logger:
        handler = logs.configure_console(verbosity)
        assert logger.handlers == [handler]
        assert logging.getLevelName(logger.level) == level


def test_configuring_twice_adds_nothing() -> None:
    with bare_project() as logger:
        logs.configure_console()
        assert logs.configure_console() is None
        assert len(logger.handlers) == 1


def test_a_project_with_its_own_handler_is_left_alone() -> None:
    with bare_project() as logger:
        logger.addHandler(own := logging.NullHandler())
        assert logs.configure_console(2, json=True) is None
        assert logger.handlers == [own]


def test_a_project_with_a_handler_on_the_root_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    with bare_project() as logger:
        logger.propagate = True
        assert logs.configure_console(2, json=True) is None
        assert logger.handlers == []


def test_json_lines_are_chosen_by_the_caller() -> None:
    with bare_project():
        handler = logs.configure_console(json=True)
        assert handler is not None
        assert isinstance(handler.formatter, logs.JsonFormatter)


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\n\ttwo\n", "one\u2028two", "\n one \x0b two"])
def test_an_error_of_several_lines_takes_one(text: str) -> None:
    assert logs.one_line(text) == "one two"


def test_a_long_error_is_cut() -> None:
    assert len(logs.one_line("x" * 10_000)) == logs.SHORT


def test_a_console_line_stays_one_line(logger: Written) -> None:
    lines = written(logger, logs.ConsoleFormatter())
    logger.warning("no: %s", "first\n  second")
    assert lines.getvalue().endswith(" WARNING no: first second\n")


@pytest.mark.parametrize(
    ("level", "handler", "is_shown"),
    [
        (logging.INFO, logging.StreamHandler(io.StringIO()), True),
        (logging.WARNING, logging.StreamHandler(io.StringIO()), False),
        (logging.INFO, logging.NullHandler(), False),
        (logging.INFO, None, False),
    ],
)
def test_what_must_be_seen_is_seen_once(
    level: int,
    handler: logging.Handler | None,
    is_shown: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bare_project() as logger:
        logger.setLevel(level)
        logger.handlers = [] if handler is None else [handler]
        logs.say(logging.getLogger(f"{logs.LOGGER_NAME}.manager.test"), "here is %s", "life")
    stderr = capsys.readouterr().err
    assert ("INFO    here is life" in stderr) is not is_shown
    if isinstance(handler, logging.StreamHandler):
        assert (handler.stream.getvalue() == "here is life\n") is is_shown


def test_nothing_is_said_when_silence_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_project() as logger:
        logs.configure_console(verbosity=0)
        logs.say(logger, "here is life")
    assert capsys.readouterr().err == ""
