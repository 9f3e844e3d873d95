"""What `.delay()` was given, as a task that is about to be stored."""

from __future__ import annotations

from typing import Any, Final, Unpack

from django.core import mail
from django.db.models import Model

from django_partisan.config.labels import checked_name, checked_tags
from django_partisan.database.values import NewTask
from django_partisan.exceptions import ProcessorClassNotFound, ProcessorNotDiscovered
from django_partisan.models.object_keys import object_key
from django_partisan.payloads.encoding import canonical_hash
from django_partisan.processor.moments import due_time, expiry_of, repeat_of
from django_partisan.processor.options import DelayOptions
from django_partisan.processor.rules import checked_priority
from django_partisan.registry.autodiscover import advice_for_late
from django_partisan.registry.registry import registry
from django_partisan.settings import get_queue_settings

_TIMES_AS_LONG: Final = 10.0
"""How many times DEBOUNCE_SECONDS a task may be put off where DEBOUNCE_MAX_SECONDS is None."""


def template_of(source: Any, **options: Unpack[DelayOptions]) -> NewTask:
    """Return a task without arguments, by the rules of a processor or of its class.

    Raises ProcessorClassNotFound for a class that is not registered, ProcessorNotDiscovered for one
    that workers would not find, UnknownQueue for its queue, TypeError or ValueError, naming the
    keyword, for what cannot be.
    """
    processor_class = source if isinstance(source, type) else type(source)
    name = registry.stored_name(processor_class)
    if not registry.is_processor_registered(name):
        raise ProcessorClassNotFound(name)
    if name in registry.late_names and not _is_under_test():
        raise ProcessorNotDiscovered(name, advice_for_late(processor_class))
    get_queue_settings(source.QUEUE_NAME)
    priority, expires = options.get("priority"), options.get("expires")
    execute_after, repeat = options.get("execute_after"), options.get("repeat")
    debounce_max = None
    if source.DEBOUNCE_SECONDS is not None:
        _refuse_times(processor_class, execute_after, repeat)
        execute_after, debounce_max = source.DEBOUNCE_SECONDS, debounce_max_of(source)
    due_at, delay_seconds = due_time(execute_after)
    chain = repeat_of(repeat, options.get("repeat_until"), due_at)
    expiry = None
    if expires is not None or source.EXPIRES_SECONDS is not None:
        expiry = expiry_of(source.EXPIRES_SECONDS if expires is None else expires, due_at)
    is_unique = source.UNIQUE_FOR_PARAMS
    return NewTask(
        processor_class=name,
        queue_name=source.QUEUE_NAME,
        priority=source.PRIORITY if priority is None else checked_priority(priority),
        arguments="",
        due_at=due_at,
        delay_seconds=delay_seconds,
        unique_hash=None,
        # A chain is one task, from the first link to the last: it keeps other chains out while a
        # link runs as well, and each link takes the key over from the one before.
        is_unique_until_finish=is_unique and (source.UNIQUE_UNTIL == "finish" or chain is not None),
        repeat=chain,
        expiry=expiry,
        # A chain keeps its key until it ends, so there is nothing to throttle.
        unique_for_seconds=source.UNIQUE_FOR_SECONDS if chain is None else None,
        debounce_max_seconds=debounce_max,
        verbose_name=checked_name(options.get("verbose_name")),
        creator_key=_creator_key(options.get("creator")),
        tags=checked_tags(options.get("tags", ())) or None,
        object_label=source._object_label,  # noqa: SLF001
    )


def _creator_key(creator: Model | None) -> str | None:
    if creator is None:
        return None
    try:
        return object_key(creator)
    except TypeError as error:
        raise TypeError(f"creator {error}") from error
    except ValueError as error:
        raise ValueError(f"creator {error}") from error


def on_duplicate_of(source: Any) -> str:
    """Return what a duplicate does by the rules of a processor or of its class."""
    action: str = source.ON_DUPLICATE if source.DEBOUNCE_SECONDS is None else "debounce"
    return action


def debounce_max_of(source: Any) -> float:
    """Return for how long a debounced task may be put off, in seconds."""
    most: float | None = source.DEBOUNCE_MAX_SECONDS
    return _TIMES_AS_LONG * source.DEBOUNCE_SECONDS if most is None else most


def _refuse_times(processor_class: type[Any], execute_after: Any, repeat: Any) -> None:
    for name, given in (("execute_after", execute_after), ("repeat", repeat)):
        if given is not None:
            raise ValueError(
                f"{processor_class.__qualname__}.DEBOUNCE_SECONDS decides when its tasks are due; "
                f"leave {name} away, or derive a class with DEBOUNCE_SECONDS = None"
            )


def unique_hash(template: NewTask, arguments: str) -> str:
    """Return the identity of a unique task with these encoded arguments.

    Chains of repeats are duplicates of each other only: calling a task now does not depend on when
    the next link is due, and a link never has to give way to a task of the moment.
    """
    identity = arguments if template.repeat is None else f"repeat {arguments}"
    return canonical_hash(template.processor_class, identity)


def _is_under_test() -> bool:
    """Say whether Django's test environment is set up: tests run their own classes themselves."""
    return hasattr(mail, "outbox")
