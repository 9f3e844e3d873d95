"""Log records about tasks: their fields, and how they are written for people or as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from datetime import UTC, datetime
from typing import Any, TextIO, TypedDict

from django_partisan.attempt import ClaimedTask

LOGGER_NAME = "django_partisan"
"""The logger above all loggers of django-partisan."""
MOST_REASONS = 10
"""How many reasons of one failure are logged."""
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
        fields = " ".join(f"{name}={value}" for name, value in _fields_of(record).items())
        line = super().formatMessage(record)
        return f"{line} [{fields}]" if fields else line


def configure_console(verbosity: int = 1, json: bool = False) -> logging.Handler | None:
    """Log to stderr when the project itself does nothing with the records of django-partisan.

    `verbosity` is Django's: 0 warnings, 1 what happens, 2 and more everything. Returns the new
    handler, or None when the project has configured one, also on the root logger; then nothing
    is changed. Calling it again changes nothing.
    """
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
