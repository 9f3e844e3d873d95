"""Log records about tasks: their fields, and how they are written for people or as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO, TypedDict

from django_partisan.attempt import ClaimedTask, ErrorReport

LOGGER_NAME = "django_partisan"
"""The logger above all loggers of django-partisan."""
MOST_REASONS = 10
"""How many reasons of one failure are logged."""
SHORT: Final = 500
"""Characters of an error on one line."""
_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+\s*")
_FIELDS = ("task_id", "processor", "queue", "attempt")
_LEVELS = {0: logging.WARNING, 1: logging.INFO}


class TaskExtra(TypedDict, total=False):
    """The fields that a record about a task carries."""

    task_id: int
    processor: str
    queue: str
    attempt: int


def task_extra(
    *,
    task_id: int | None = None,
    processor: str | None = None,
    queue: str | None = None,
    attempt: int | None = None,
) -> dict[str, Any]:
    """Return the `extra=` of a log call about a task, with the fields that are known."""
    given = {"task_id": task_id, "processor": processor, "queue": queue, "attempt": attempt}
    return {field: value for field, value in given.items() if value is not None}


def extra_of(task: ClaimedTask) -> dict[str, Any]:
    """Return the fields that every log record about a task carries."""
    return task_extra(
        task_id=task.id,
        processor=task.processor_class,
        queue=task.queue_name,
        attempt=task.attempts,
    )


def one_line(text: object, limit: int = SHORT) -> str:
    """Return what an error or a text of several lines says on one line, cut if it is too long."""
    line = _BREAKS.sub(" ", str(text).strip())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def short_error(error: ErrorReport) -> str:
    """Return an error on one line."""
    return one_line(f"{error.type}: {error.message}")


def say(logger: logging.Logger, text: str, *args: object) -> None:
    """Log at ``INFO`` what must be seen, and write it to standard error where no handler shows it.

    At ``-v 0`` it is not.
    """
    logger.info(text, *args)
    if not _console.is_silent and sys.stderr is not None and not _is_shown(logger, logging.INFO):
        record = logger.makeRecord(logger.name, logging.INFO, "", 0, text, args, None)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{ConsoleFormatter().format(record)}\n")
            sys.stderr.flush()


class _Console:
    """What was said about the console on the command line."""

    is_silent = False


_console: Final = _Console()


def _is_shown(logger: logging.Logger | None, level: int) -> bool:
    """Say whether a handler writes the records of a logger at a level."""
    if logger is None or not logger.isEnabledFor(level):
        return False
    while logger is not None:
        if any(handler.level <= level for handler in logger.handlers if _writes(handler)):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _writes(handler: logging.Handler) -> bool:
    return not isinstance(handler, logging.NullHandler)


class Running:
    """Which task runs in this process, and where its own lines go; a worker says it."""

    task: ClaimedTask | None = None
    has_spoken = False
    """Whether django-partisan itself has logged something; whoever reads it sets it back."""
    write_line: Callable[[ClaimedTask, str], None] | None = None
    """Puts a line into the log of a task; None where no output is kept."""


running: Final = Running()
running_beside: Final = ContextVar[ClaimedTask | None]("running_beside", default=None)
"""Which task it is where several run in this process: in its own code, and what that awaits."""


class TaskFilter(logging.Filter):
    """Gives a record the fields of the task that runs in this process, where it has none itself.

    Every handler has one in a worker; handlers that are made later get it by Django's ``LOGGING``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if record.name.startswith(LOGGER_NAME):
            running.has_spoken = True
        task = running.task or running_beside.get()
        if task is not None:
            for field, value in extra_of(task).items():
                vars(record).setdefault(field, value)
        return True


def name_tasks() -> None:
    """Have all handlers that there are name the task whose code logs."""
    known = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    for handler in (*handlers, logging.lastResort):
        if handler and not any(isinstance(each, TaskFilter) for each in handler.filters):
            handler.addFilter(TaskFilter())


def configure_last_resort(json: bool = False) -> None:
    """Write what no handler wants, warnings and errors of the project, as our own records."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(JsonFormatter() if json else ConsoleFormatter())


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON.

    Fields: time (UTC, ISO 8601), level, logger, message; task_id, processor, queue and attempt
    where the record has them; exception (the traceback) where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; what is not JSON is written as its text."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """Write a record as a readable line, with the task it is about in brackets at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line without a traceback."""
        record.message = _BREAKS.sub(" ", record.message)
        fields = " ".join(f"{name}={value}" for name, value in _fields_of(record).items())
        line = super().formatMessage(record)
        return f"{line} [{fields}]" if fields else line


def configure_console(verbosity: int = 1, json: bool = False) -> logging.Handler | None:
    """Log to stderr when the project itself does nothing with the records of django-partisan.

    `verbosity` is Django's: 0 warnings, 1 what happens, 2 and more everything. Returns the new
    handler, or None when the project has configured one, also on the root logger; then nothing
    is changed. Calling it again changes nothing.
    """
    _console.is_silent = verbosity < 1
    logger = logging.getLogger(LOGGER_NAME)
    if logger.hasHandlers():
        return None
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if json else ConsoleFormatter())
    logger.addHandler(handler)
    logger.setLevel(_LEVELS.get(verbosity, logging.DEBUG))
    return handler


def flush_or_forget(*streams: TextIO) -> None:
    """Write what standard streams still hold; forget it where there is no room, or no reader.

    Else Python tries once more at its end, and turns the exit code into 120.
    """
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


class Reasons:
    """The reasons of one failure that lasts: each is told once, and there is an end to it.

    ``most`` bounds how many are remembered; what comes after them counts as told.
    """

    def __init__(self, most: int = MOST_REASONS) -> None:
        self._most = most
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._told)

    def add(self, error: BaseException) -> bool:
        """Remember the reason of an error; True when it was not known, so that it may be told."""
        # The same reason comes with other ports, blocks and file names.
        reason = re.sub(r"\d+", "0", f"{type(error).__name__}: {error}")
        if reason in self._told or len(self._told) >= self._most:
            return False
        self._told.add(reason)
        return True

    def forget(self) -> None:
        """Begin anew: the failure is over."""
        self._told.clear()


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    present = vars(record)
    return {field: present[field] for field in _FIELDS if present.get(field) is not None}
