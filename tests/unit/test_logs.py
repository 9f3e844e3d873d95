"""Log records that name their task."""

import contextlib
import io
import json
import logging

import pytest

from django_partisan import logs


@pytest.fixture
def logger():
    """Return a logger that writes its lines into `logger.lines`."""
    logger = logging.Logger("django_partisan.test")
    logger.lines = io.StringIO()
    logger.addHandler(logging.StreamHandler(logger.lines))
    return logger


def written(logger, formatter):
    logger.handlers[0].setFormatter(formatter)
    return logger.lines


@contextlib.contextmanager
def bare_project():
    """Hide every handler, as in a project that configures none; pytest adds its own to each test."""
    logger = logging.getLogger(logs.LOGGER_NAME)
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [], False
    try:
        yield logger
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


def test_a_json_line_holds_the_task_it_is_about(logger):
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


def test_a_json_record_with_a_traceback_is_still_one_line(logger):
    lines = written(logger, logs.JsonFormatter())
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger.exception("two\nlines")
    assert lines.getvalue().count("\n") == 1
    assert "ValueError: first\nsecond" in json.loads(lines.getvalue())["exception"]


def test_a_json_line_survives_what_is_not_json(logger):
    lines = written(logger, logs.JsonFormatter())
    logger.warning("lone \ud800", extra={"task_id": object()})
    assert "object object" in json.loads(lines.getvalue())["task_id"]


def test_a_json_line_without_a_task_has_no_task_fields(logger):
    lines = written(logger, logs.JsonFormatter())
    logger.warning("started")
    assert set(json.loads(lines.getvalue())) == {"time", "level", "logger", "message"}


def test_a_console_line_ends_with_the_task_it_is_about(logger):
    lines = written(logger, logs.ConsoleFormatter())
    logger.warning("failed", extra=logs.task_extra(task_id=7, queue="mail"))
    assert lines.getvalue().endswith(" WARNING failed [task_id=7 queue=mail]\n")


def test_a_console_line_without_a_task_has_no_brackets(logger):
    lines = written(logger, logs.ConsoleFormatter())
    logger.warning("started")
    assert lines.getvalue().endswith(" WARNING started\n")


def test_fields_that_are_not_known_are_left_out():
    assert logs.task_extra(task_id=0, attempt=None) == {"task_id": 0}


def test_an_adapter_adds_its_task_and_the_call_may_add_more(logger):
    lines = written(logger, logs.JsonFormatter())
    adapter = logs.TaskAdapter(logger, task_id=7, queue="mail")
    adapter.warning("trying", extra={"attempt": 3})
    line = json.loads(lines.getvalue())
    assert (line["task_id"], line["queue"], line["attempt"]) == (7, "mail", 3)


@pytest.mark.parametrize(
    ("verbosity", "level"), [(0, "WARNING"), (1, "INFO"), (2, "DEBUG"), (3, "DEBUG")]
)
def test_a_bare_project_gets_one_handler_at_the_level_asked_for(verbosity, level):
    with bare_project() as logger:
        handler = logs.configure_console(verbosity)
        assert logger.handlers == [handler]
        assert logging.getLevelName(logger.level) == level


def test_configuring_twice_adds_nothing():
    with bare_project() as logger:
        logs.configure_console()
        assert logs.configure_console() is None
        assert len(logger.handlers) == 1


def test_a_project_with_its_own_handler_is_left_alone():
    with bare_project() as logger:
        logger.addHandler(own := logging.NullHandler())
        assert logs.configure_console(2, json=True) is None
        assert logger.handlers == [own]


def test_a_project_with_a_handler_on_the_root_is_left_alone(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    with bare_project() as logger:
        logger.propagate = True
        assert logs.configure_console(2, json=True) is None
        assert logger.handlers == []


def test_json_lines_are_chosen_by_the_caller():
    with bare_project():
        assert isinstance(logs.configure_console(json=True).formatter, logs.JsonFormatter)
