"""The review of all registered processors: what `manage.py check` tells of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from django.apps import apps
from pydantic import BaseModel

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.exceptions import ConfigurationError, UnknownQueue
from django_partisan.payloads.secret_fields import is_complete
from django_partisan.payloads.unique_part import check_names
from django_partisan.processor.attributes import Attributes
from django_partisan.processor.base import BaseTaskProcessor
from django_partisan.processor.rules import check_rules
from django_partisan.processor.run_method import check_run
from django_partisan.processor.scheduled import check_schedules, own_schedules
from django_partisan.processor.typed import check_params, upgrades
from django_partisan.registry.autodiscover import module_names
from django_partisan.registry.registry import registry
from django_partisan.settings import PARTISAN_CONFIG, get_queue_settings

NO_PROCESSOR: Final = "no processor"
UNKNOWN_QUEUE: Final = "unknown queue"
CANNOT_RUN: Final = "cannot run"
MISTYPED: Final = "mistyped"
NOT_REGISTERED: Final = "not registered"
UNUSED_QUEUE: Final = "unused queue"
WRONG_SCHEDULE: Final = "wrong schedule"
UNUSED_SCHEDULES: Final = "unused schedules"
GAP: Final = "gap"
WRONG_PARAMS: Final = "wrong params"
NO_UPGRADE: Final = "no upgrade"

_ATTRIBUTES: Final = frozenset(name for name in vars(Attributes) if name.isupper())
_CLOSE: Final = 0.8
# What other queues call it, and what is no close match.
_ELSEWHERE: Final = {
    "RETRIES": "RETRY_ON_ERROR_CONFIG",
    "MAX_RETRIES": "RETRY_ON_ERROR_CONFIG",
    "RETRIES_COUNT": "RETRY_ON_ERROR_CONFIG",
    "RETRY_COUNT": "RETRY_ON_ERROR_CONFIG",
    "AUTORETRY_FOR": "RETRY_ON_ERROR_CONFIG",
    "MAX_POSTPONES": "POSTPONE_CONFIG",
    "POSTPONES": "POSTPONE_CONFIG",
    "TIME_LIMIT": "TIMEOUT_SECONDS",
    "SOFT_TIME_LIMIT": "TIMEOUT_SECONDS",
    "TIMEOUTS": "TIMEOUT_SECONDS",
    "ALIAS": "ALIASES",
    "EXPIRES": "EXPIRES_SECONDS",
    "EXPIRE_SECONDS": "EXPIRES_SECONDS",
    "TTL": "EXPIRES_SECONDS",
    "TRANSACTIONAL": "ATOMIC",
    "SCHEDULE": "SCHEDULES",
    "UNIQUE": "UNIQUE_FOR_PARAMS",
    "UNIQUE_FOR": "UNIQUE_FOR_SECONDS",
    "UNIQUE_ON": "UNIQUE_KEY",
    "THROTTLE": "UNIQUE_FOR_SECONDS",
    "THROTTLE_SECONDS": "UNIQUE_FOR_SECONDS",
    "DEBOUNCE": "DEBOUNCE_SECONDS",
    "DEBOUNCE_MAX_WAIT": "DEBOUNCE_MAX_SECONDS",
    "VERSION": "SCHEMA_VERSION",
    "PARAMS_VERSION": "SCHEMA_VERSION",
}

_LIKE_PARAMS: Final = {"params", "PARAMS", "Param", "Parameters", "Arguments", "Args", "Payload"}


class Finding(NamedTuple):
    """What is wrong, of which kind, and what to do about it."""

    kind: str
    message: str
    remedy: str


def review() -> Iterator[Finding]:
    """Yield what is wrong with the registered processors, and with what should be registered."""
    queues = set()
    keys: dict[str, str] = {}
    for name in registry.names():
        processor_class = registry.get_processor_class_by_name(name)
        if issubclass(processor_class, BaseTaskProcessor):
            queues.add(processor_class.QUEUE_NAME)
            yield from _faults_of(name, processor_class)
            yield from review_schedules(name, processor_class, keys)
        else:
            yield Finding(
                NO_PROCESSOR,
                f"{name} is registered and is no processor.",
                "Derive it from django_partisan.processor.BaseTaskProcessor, or take the decorator "
                "@registry.register away.",
            )
    yield from _forgotten()
    yield from _mistyped_queues(queues)


def _faults_of(name: str, processor_class: type[BaseTaskProcessor]) -> Iterator[Finding]:
    try:
        get_queue_settings(processor_class.QUEUE_NAME)
    except UnknownQueue as error:
        remedy = "Correct its QUEUE_NAME, or add the queue to PARTISAN_CONFIG."
        yield Finding(UNKNOWN_QUEUE, f"{name}.QUEUE_NAME: {error}", remedy)
    except ConfigurationError:
        pass  # told as a wrong setting
    if inspect.isabstract(processor_class):
        missing = ", ".join(sorted(processor_class.__abstractmethods__))
        message = f"{name} is registered and cannot be run: it has no {missing}()."
        remedy = "Write the method, or take the decorator away from what is only a base class."
        yield Finding(CANNOT_RUN, message, remedy)
    yield from _broken_rules(name, processor_class)
    yield from _faults_of_params(name, processor_class)
    yield from _gaps(name, processor_class)
    yield from _mistyped_attributes(name, processor_class)


def _broken_rules(name: str, processor_class: type[BaseTaskProcessor]) -> Iterator[Finding]:
    """Look again: an attribute may have been set after the class was made."""
    try:
        check_rules(processor_class)
        check_run(processor_class)
        check_schedules(processor_class)
        check_names(processor_class)
    except (TypeError, ValueError) as error:
        message = f"{name} cannot be run: {error}."
        yield Finding(CANNOT_RUN, message, "Correct it; it was set after the class was made.")


def _faults_of_params(name: str, processor_class: type[BaseTaskProcessor]) -> Iterator[Finding]:
    """Yield what is wrong with typed arguments now that every module is whole."""
    model, taken = getattr(processor_class, "Params", None), processor_class._params_model  # noqa: SLF001
    try:
        check_params(processor_class, BaseTaskProcessor.__init__)
    except (TypeError, ValueError) as error:
        remedy = "Correct it; it was set after the class was made."
        yield Finding(WRONG_PARAMS, f"{name}: {error}.", remedy)
        return
    if model is not taken:
        message = f"{name}.Params was set after the class was made, so nobody looks at it."
        yield Finding(WRONG_PARAMS, message, "Write class Params inside of the class.")
    elif model is not None and not is_complete(model):
        message = f"{name}.Params has annotations that name nothing: its tasks cannot be enqueued."
        remedy = "Import what they name in its module, outside of `if TYPE_CHECKING:`."
        yield Finding(WRONG_PARAMS, message, remedy)
    if taken is not None and processor_class.SCHEMA_VERSION > 1 and not upgrades(processor_class):
        yield Finding(
            NO_UPGRADE,
            f"{name} has SCHEMA_VERSION {processor_class.SCHEMA_VERSION} and no upgrade_params(): "
            "tasks that are stored under an older one would end in error.",
            "Write that classmethod, and look with `manage.py partisan check-payloads`.",
        )


def review_schedules(
    name: str, processor_class: type[BaseTaskProcessor], keys: dict[str, str]
) -> Iterator[Finding]:
    """Yield what is wrong with a processor's schedules; ``keys`` are those found so far."""
    for place, schedule in enumerate(own_schedules(processor_class)):
        where, key = f"{name}.SCHEDULES[{place}]", schedule.key(name)
        if keys.setdefault(key, name) != name:
            message = f"{where} has the name {key!r}, which one of {keys[key]} has already."
            yield Finding(WRONG_SCHEDULE, message, "Give each a name= of its own.")
        extra = {schedule.scheduled_for_kwarg: None} if schedule.scheduled_for_kwarg else {}
        try:
            if schedule.queue_name:
                get_queue_settings(schedule.queue_name)
            processor_class.check_arguments(schedule.args, {**schedule.kwargs, **extra})
        except UnknownQueue as error:
            remedy = "Correct its queue_name, or add the queue to PARTISAN_CONFIG."
            yield Finding(WRONG_SCHEDULE, f"{where}: {error}", remedy)
        except ConfigurationError:
            pass  # told as a wrong setting
        except Exception as error:  # noqa: BLE001 - whatever a constructor raises
            message = f"{where} has arguments that the processor does not take: {error}."
            yield Finding(WRONG_SCHEDULE, message, "Correct its args and kwargs.")
    yield from _inherited_schedules(name, processor_class)


def _inherited_schedules(name: str, processor_class: type[BaseTaskProcessor]) -> Iterator[Finding]:
    if "SCHEDULES" in vars(processor_class):
        return
    for base in processor_class.__mro__[1:]:
        is_unused = not registry.is_processor_registered(f"{base.__module__}.{base.__qualname__}")
        if vars(base).get("SCHEDULES") and is_unused:
            message = f"The SCHEDULES of {base.__qualname__} do not count for {name}."
            remedy = "Schedules are not inherited: write SCHEDULES on the registered class."
            yield Finding(UNUSED_SCHEDULES, message, remedy)
            return


def _gaps(name: str, processor_class: type[BaseTaskProcessor]) -> Iterator[Finding]:
    """Yield rules that keep duplicates out with a gap in which nobody expects one."""
    seconds, limit = processor_class.UNIQUE_FOR_SECONDS, processor_class.TIMEOUT_SECONDS
    is_over_at_start = processor_class.UNIQUE_UNTIL == "start"
    if seconds is not None and limit is not None and is_over_at_start and seconds < limit:
        yield Finding(
            GAP,
            f"{name} may run for {limit:g} s, and keeps duplicates out for {seconds:g} s after its "
            "start only: then another one may run beside it.",
            "Set UNIQUE_UNTIL = 'finish', or make UNIQUE_FOR_SECONDS longer than TIMEOUT_SECONDS.",
        )


def _mistyped_attributes(name: str, processor_class: type[BaseTaskProcessor]) -> Iterator[Finding]:
    own = processor_class.__mro__[: processor_class.__mro__.index(BaseTaskProcessor)]
    for attribute in dict.fromkeys(attribute for each in own for attribute in vars(each)):
        meant = attribute_meant(attribute, getattr(processor_class, attribute, None))
        if meant:
            yield Finding(
                MISTYPED,
                f"{name}.{attribute} does nothing; did you mean {meant}?",
                f"Write {meant}, or choose a name that is less alike.",
            )


def attribute_meant(attribute: str, value: Any) -> str | None:
    """Return the attribute that was probably meant; None for one that may be the project's own."""
    if attribute.startswith("_") or attribute in _ATTRIBUTES or attribute == "QUEUE":
        return None
    if isinstance(value, type) and issubclass(value, BaseModel):
        return "Params" if attribute in _LIKE_PARAMS else None
    upper = attribute.upper()
    if attribute != upper:
        is_rule = upper in _ATTRIBUTES and isinstance(value, (int, float, str))
        return upper if is_rule else None
    if attribute in _ELSEWHERE:
        return _ELSEWHERE[attribute]
    begun = sorted(name for name in _ATTRIBUTES if name.startswith(f"{attribute}_"))
    close = get_close_matches(attribute, sorted(_ATTRIBUTES), n=1, cutoff=_CLOSE)
    return next(iter([*begun, *close]), None)


def _forgotten() -> Iterator[Finding]:
    """Yield the classes in discovered modules that nobody registered or derived another from."""
    modules = {f"{app.name}.{name}" for app in apps.get_app_configs() for name in module_names()}
    registered = set(registry.names())
    for each in dict.fromkeys(_leaves(BaseTaskProcessor)):
        name = f"{each.__module__}.{each.__qualname__}"
        is_base = inspect.isabstract(each) or each.__name__.startswith("_")
        if each.__module__ in modules and not is_base and name not in registered:
            message = f"{name} is not registered, so its tasks can neither be enqueued nor run."
            yield Finding(NOT_REGISTERED, message, "Decorate the class with @registry.register.")


def _leaves(processor_class: type[Any]) -> Iterator[type[Any]]:
    for subclass in processor_class.__subclasses__():
        if subclass.__subclasses__():
            yield from _leaves(subclass)
        else:
            yield subclass


def _mistyped_queues(used: set[str]) -> Iterator[Finding]:
    """Yield the configured queues that no processor uses and that look like one that is used."""
    configured = _configured()
    for queue in configured:
        if queue in used or queue == DEFAULT_QUEUE_NAME:
            continue
        meant = get_close_matches(queue, sorted({*used, DEFAULT_QUEUE_NAME}), n=1, cutoff=_CLOSE)
        if meant and meant[0] not in set(configured) - {DEFAULT_QUEUE_NAME}:
            yield Finding(
                UNUSED_QUEUE,
                f"PARTISAN_CONFIG[{queue!r}]: no processor uses this queue; did you mean "
                f"{meant[0]!r}?",
                "Correct the name, in PARTISAN_CONFIG or in the QUEUE_NAME of the processors.",
            )


def _configured() -> list[str]:
    try:
        return list(map(str, PARTISAN_CONFIG))
    except ConfigurationError:  # told as a wrong setting
        return []
