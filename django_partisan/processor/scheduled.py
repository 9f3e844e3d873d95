"""The schedules of a processor: what they may be, and the tasks that are made for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django_partisan.config.schedules import Schedule, check_schedule
from django_partisan.database.values import NewTask
from django_partisan.payloads.encoding import canonical_hash, encode_arguments
from django_partisan.processor.new_task import template_of
from django_partisan.processor.rules import checked_priority
from django_partisan.registry.registry import registry
from django_partisan.settings import get_process_settings, get_queue_settings


def own_schedules(cls: type[Any]) -> Sequence[Schedule]:
    """Return the schedules that a class itself has: as names, they are not inherited."""
    schedules: Sequence[Schedule] = vars(cls).get("SCHEDULES", ())
    return schedules


def check_schedules(cls: type[Any]) -> None:
    """Raise TypeError or ValueError, naming class and schedule, for one that cannot be."""
    schedules = own_schedules(cls)
    if isinstance(schedules, Schedule) or not isinstance(schedules, (tuple, list)):
        raise TypeError(
            f"{cls.__qualname__}.SCHEDULES must be a list of Schedule(...), got {schedules!r}"
        )
    keys: dict[str, int] = {}
    for place, schedule in enumerate(schedules):
        where = f"{cls.__qualname__}.SCHEDULES[{place}]"
        if not isinstance(schedule, Schedule):
            raise TypeError(f"{where} must be a Schedule, got {schedule!r}")
        try:
            key = schedule.key(registry.stored_name(cls))
            _check(cls, schedule, key)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if key in keys:
            raise ValueError(
                f"{where} and SCHEDULES[{keys[key]}] have one name, {key!r}: "
                "give each a name= of its own"
            )
        keys[key] = place


def check_call(cls: type[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise what a processor raises that does not take these arguments, as ``.delay()`` would."""
    _stored(cls, cls(*args, **kwargs)._called_with or (args, kwargs))  # noqa: SLF001


def scheduled_task(
    cls: type[Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    queue_name: str,
    priority: int | None,
    tick: datetime | None,
) -> NewTask:
    """Return the task of a schedule, without running any code of the project but its validators.

    With a ``tick``, that is part of the unique key: each tick then gets a task of its own, also
    while others wait. Raises as ``.delay()`` does.
    """
    template = template_of(cls, priority=priority)
    if queue_name:
        get_queue_settings(queue_name)
        template = template._replace(queue_name=queue_name)
    arguments = _stored(cls, (args, kwargs))
    key = cls._unique_hash(template, arguments) if cls.UNIQUE_FOR_PARAMS else None
    if key is not None and tick is not None:
        key = canonical_hash(key, tick.isoformat())
    return template._replace(arguments=arguments, unique_hash=key)


def _check(cls: type[Any], schedule: Schedule, key: str) -> None:
    check_schedule(schedule, key)
    if schedule.priority is not None:
        checked_priority(schedule.priority)
    # Whether the processor takes them, `manage.py check` finds out: its module is whole by then.
    _encoded(cls, (tuple(schedule.args), dict(schedule.kwargs)))


def _stored(cls: type[Any], call: tuple[Sequence[Any], Mapping[str, Any]]) -> str:
    """Return the arguments as they are stored: validated, where the class has Params."""
    if cls._params_model is None:
        return _encoded(cls, call)
    args, kwargs = call
    text: str = cls._encoded_params(args, kwargs, get_process_settings().MAX_ARGUMENTS_BYTES)
    return text


def _encoded(cls: type[Any], call: tuple[Sequence[Any], Mapping[str, Any]]) -> str:
    args, kwargs = call
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, Mapping):
        raise TypeError(f"arguments are a list, and a dict by name, got {args!r} and {kwargs!r}")
    return encode_arguments(
        tuple(args),
        dict(kwargs),
        processor=cls.__name__,
        max_bytes=get_process_settings().MAX_ARGUMENTS_BYTES,
    )
