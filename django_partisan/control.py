"""Pausing and resuming queues and processors, and what is paused now."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django_partisan import lifecycle
from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.const import MAX_STORED_NAME_LENGTH
from django_partisan.config.moments import in_utc
from django_partisan.config.wording import close_match
from django_partisan.exceptions import ConfigurationError
from django_partisan.lifecycle.pauses import Target
from django_partisan.models import Pause
from django_partisan.processor.functions import ProcessorFunction
from django_partisan.registry.registry import registry
from django_partisan.settings import MAX_QUEUE_NAME_LENGTH, PARTISAN_CONFIG

logger = logging.getLogger(__name__)
_MAX_NAME: Final = 255
Processor = type[Any] | ProcessorFunction[..., Any] | str
"""A class, a function that ``@processor`` has decorated, or a stored name."""

__all__ = ["pause", "pauses", "resume"]


def pause(
    *,
    queue_name: str | None = None,
    processor: Processor | None = None,
    until: datetime | timedelta | None = None,
    reason: str = "",
    by: object = None,
) -> Pause:
    """Start no tasks of a queue, or of a processor, any more, on any host; return the pause.

    ``processor`` is the class, the decorated function, or the name that its tasks are stored under.
    ``until`` is an aware datetime (under ``USE_TZ = False`` a naive one is in ``TIME_ZONE``) or a
    timedelta from now; the pause then ends by itself. ``reason`` and ``by`` are kept for people to
    read.

    What runs goes on, what was claimed and has not started goes back uncharged within a second, and
    tasks can be enqueued and cancelled as ever. What is paused already is changed, and
    ``was_paused`` of what is returned is True. A name that nothing has is paused as well, with a
    warning in the log: it may be of another version of the code.

    Raises TypeError unless there is exactly one of ``queue_name`` and ``processor``, and for values
    of a wrong kind; ValueError for a moment without a zone or in the past, and for a name that no
    column can hold.
    """
    target = target_of(queue_name, processor)
    row = lifecycle.pause(target, _checked_end(until), str(reason), _name_of(by))
    if doubt := doubt_about(target):
        logger.warning("%s", doubt)
    logger.info("%s is paused%s", row, "" if row.until is None else f" until {row.until}")
    return row


def resume(*, queue_name: str | None = None, processor: Processor | None = None) -> bool:
    """End a pause before its time; return whether there was one. Raises as :func:`pause` does."""
    ended = lifecycle.resume(target_of(queue_name, processor))
    if ended is not None:
        logger.info("%s is resumed", ended)
    return ended is not None


def pauses() -> list[Pause]:
    """Return what is paused now, the oldest pause first."""
    return lifecycle.current_pauses()


def check(
    *, queue_name: str | None, processor: Processor | None, until: datetime | timedelta | None
) -> None:
    """Raise what :func:`pause` would raise, and pause nothing."""
    target_of(queue_name, processor)
    _checked_end(until)


def target_of(queue_name: str | None, processor: Processor | None) -> Target:
    """Return what is meant; raise TypeError or ValueError where that is unclear."""
    if (queue_name is None) == (processor is None):
        raise TypeError("give either queue_name= or processor=, to say what is meant")
    if processor is None:
        return Target(_checked_name(queue_name, "queue_name", MAX_QUEUE_NAME_LENGTH))
    if isinstance(processor, ProcessorFunction):
        return _of_class(processor.processor)
    if isinstance(processor, type):
        return _of_class(processor)
    name = _checked_name(processor, "processor", MAX_STORED_NAME_LENGTH)
    if registry.is_processor_registered(name):
        return _of_class(registry.get_processor_class_by_name(name))
    return Target(None, name, (name,))


def doubt_about(target: Target) -> str:
    """Return a warning about a name that nothing here has; an empty text for any other."""
    if target.queue_name is None:
        assert target.processor_class is not None
        if registry.is_processor_registered(target.processor_class):
            return ""
        what, name, known = "processor", target.processor_class, registry.names()
        where = "no registered processor has this name"
    else:
        what, name, known = "queue", target.queue_name, _queues()
        where = "PARTISAN_CONFIG has no such queue"
    if name in known:
        return ""
    close = close_match(name, known)
    hint = f"; did you mean {close!r}?" if close else "."
    return f"The {what} {name!r} is paused, though {where}{hint}"


def _of_class(processor_class: type[Any]) -> Target:
    name = registry.stored_name(processor_class)
    known = registry.classes_by_name()
    former = [each for each, found in known.items() if found is processor_class]
    return Target(None, name, tuple(dict.fromkeys([name, *former])))


def _checked_name(name: object, what: str, longest: int) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what} takes a name, got {name!r}")
    if not 0 < len(name) <= longest or "\0" in name:
        raise ValueError(f"{what} takes a name of 1 to {longest} characters, got {name[:80]!r}")
    return name


def _checked_end(until: object) -> datetime | timedelta | None:
    match until:
        case None:
            return None
        case timedelta():
            if not 0 < until.total_seconds() <= MAX_PAUSE_SECONDS:
                raise ValueError(
                    f"until takes a time of more than 0 and at most ten years, got {until!r}"
                )
            return until
        case datetime():
            return _checked_moment(until)
    raise TypeError(f"until takes a datetime or a timedelta, got {until!r}")


def _checked_moment(until: datetime) -> datetime:
    moment = in_utc(until, "until")
    if moment <= datetime.now(UTC):
        raise ValueError(f"until={until!r} has passed; give a later moment, or None for no end")
    return moment


def _name_of(by: object) -> str:
    """Return who it is as text, be it a name or a user."""
    return "" if by is None else str(by)[:_MAX_NAME]


def _queues() -> list[str]:
    try:
        return list(PARTISAN_CONFIG)
    except ConfigurationError:
        return []
