"""The logger of a processor: that of its module, with the task's fields and into the task's log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from django_partisan.logs import extra_of, running, task_extra

if TYPE_CHECKING:
    from django_partisan.attempt import ClaimedTask

_LEAST: Final = logging.INFO
"""What is at least of this level stands in the task's log, whatever the project's logging shows."""
_CAPTURED: Final = frozenset({1, 2})


class OwnLogger:
    """The attribute of a processor that holds its logger; a processor may have one of its own."""

    def __get__(self, processor: object, owner: type[Any]) -> TaskLogger:
        """Return the logger; without a task outside of one."""
        claimed = None if processor is None else vars(processor).get("_claimed")
        fields = _fields_of(processor, claimed)
        if "processor" not in fields:
            fields["processor"] = f"{owner.__module__}.{owner.__qualname__}"
        return TaskLogger(_Logger(owner.__module__, claimed), fields)


class TaskLogger(logging.LoggerAdapter["logging.Logger"]):
    """Gives each record the fields of a task, beside those of the call."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Return the message, and the arguments with the task's fields among them."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


class _Logger(logging.Logger):
    """Hands records to the project's logger of the same name, and lines to the task's log."""

    def __init__(self, name: str, task: ClaimedTask | None) -> None:
        super().__init__(name)
        self._target = logging.getLogger(name)
        self._task = task

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        """Say whether anybody wants records of a level."""
        return self._target.isEnabledFor(level) or (level >= _LEAST and self._has_log)

    def getEffectiveLevel(self) -> int:  # noqa: N802 - logging's own name
        """Return the level from which on somebody wants records."""
        level = self._target.getEffectiveLevel()
        return min(level, _LEAST) if self._has_log else level

    def handle(self, record: logging.LogRecord) -> None:
        """Have the record logged, and its line kept where it is not printed anyhow."""
        is_wanted = self._target.isEnabledFor(record.levelno)
        if is_wanted:
            self._target.handle(record)
        task, write_line = self._task, running.write_line
        if task is None or write_line is None:
            return
        if not (is_wanted and _is_printed(self._target, record)):
            write_line(task, _FORMATTER.format(record))

    @property
    def _has_log(self) -> bool:
        return self._task is not None and running.write_line is not None


def _is_printed(logger: logging.Logger | None, record: logging.LogRecord) -> bool:
    """Say whether a handler has written the record to what is captured."""
    has_handlers = False
    while logger is not None:
        has_handlers = has_handlers or bool(logger.handlers)
        if any(_prints(handler, record) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    last = logging.lastResort
    return not has_handlers and last is not None and _prints(last, record)


def _prints(handler: logging.Handler, record: logging.LogRecord) -> bool:
    if handler.level > record.levelno or _number_of(handler) not in _CAPTURED:
        return False
    return bool(handler.filter(record))


def _number_of(handler: logging.Handler) -> int | None:
    """Return the descriptor that a handler writes to; also of one that is rich's."""
    try:
        stream = getattr(handler, "stream", None) or handler.console.file  # type: ignore[attr-defined]
        return int(stream.fileno())
    except (AttributeError, OSError, TypeError, ValueError):
        return None


def _fields_of(processor: object, claimed: ClaimedTask | None) -> dict[str, Any]:
    if claimed is not None:
        return extra_of(claimed)
    row = None if processor is None else vars(processor).get("_task_obj")
    if row is None:
        return {}
    values: Mapping[str, Any] = vars(row)
    return task_extra(
        task_id=row.pk,
        processor=values.get("processor_class"),
        queue=values.get("queue_name"),
        attempt=values.get("attempts"),
    )


_FORMATTER: Final = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
