"""The settings: read lazily from Django's, validated, cached until a setting changes."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from pydantic import BaseModel, ValidationError

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.config.wording import close_match, did_you_mean, explain, shown
from django_partisan.exceptions import ConfigurationError, UnknownQueue
from django_partisan.settings.settings_models import ProcessSettings, QueueSettings

__all__ = [
    "PARTISAN_CONFIG",
    "ProcessSettings",
    "QueueSettings",
    "get_process_settings",
    "get_queue_settings",
    "merge_overrides",
    "settings_of",
    "unknown_settings",
    "validate_settings",
]
PREFIX = "PARTISAN_"
"""Begins the name of every setting of the whole process."""
QUEUES_SETTING = "PARTISAN_CONFIG"
"""The setting that holds the settings of each queue."""
MAX_QUEUE_NAME_LENGTH = 50
"""Characters of the column that holds a queue's name."""
FLAT_NAMES = (
    "MIN_QUEUE_SIZE",
    "MAX_QUEUE_SIZE",
    "CHECKS_BEFORE_CLEANUP",
    "WORKERS_COUNT",
    "SLEEP_DELAY_SECONDS",
    "TASKS_PER_WORKER_INSTANCE",
    "DELETE_TASKS_ON_COMPLETE",
    "DEFAULT_POSTPONE_DELAY_SECONDS",
    "DEFAULT_POSTPONES_COUNT",
)
"""The names that also work as plain Django settings, for every queue, as they did in 1.6.1."""
_queues: dict[str, QueueSettings] = {}
_process: list[ProcessSettings] = []


def get_queue_settings(queue_name: str = DEFAULT_QUEUE_NAME) -> QueueSettings:
    """Return the validated settings of one queue.

    Raises UnknownQueue, listing the known ones, or ConfigurationError naming queue and key.
    """
    found = _queues.get(queue_name)
    if found is None:
        found = _queues[queue_name] = merge_overrides(queue_name)
    return found


def get_process_settings() -> ProcessSettings:
    """Return the validated PARTISAN_* settings; raises ConfigurationError naming the wrong one."""
    if not _process:
        _process.append(_build_process_settings())
    return _process[0]


def merge_overrides(queue_name: str, **command_line: Any) -> QueueSettings:
    """Return a queue's settings with the command line's values on top.

    Keywords are setting names in either case; None means "not given". Raises as
    `get_queue_settings` does, and ConfigurationError naming the option when that is wrong.
    """
    return _merged(queue_name, command_line)


def settings_of(queue_name: str, **command_line: Any) -> QueueSettings:
    """Return the settings of a queue that tasks are in, whether PARTISAN_CONFIG has it or not.

    Where it has not, those that hold for every queue: plain settings, and the defaults. Otherwise
    as `merge_overrides`.
    """
    if queue_name in PARTISAN_CONFIG:
        return (
            merge_overrides(queue_name, **command_line)
            if command_line
            else (get_queue_settings(queue_name))
        )
    return _merged(queue_name, command_line, is_known=False)


def validate_settings() -> list[ConfigurationError]:
    """Return everything that is wrong with the settings at once: nothing when all is well."""
    errors: list[ConfigurationError] = []
    try:
        names = list(PARTISAN_CONFIG)
    except ConfigurationError as error:
        errors.append(error)
        names = []
    for name in names:
        errors += _build_queue(name, {})[0]
    # A wrong flat setting is wrong for every queue, and is one mistake all the same.
    unique = {error.message: error for error in errors + _process_errors()}
    return list(unique.values())


def unknown_settings() -> list[ConfigurationError]:
    """Return one finding per Django setting PARTISAN_* that nobody reads."""
    fields = [PREFIX + name for name in ProcessSettings.model_fields]
    known = [QUEUES_SETTING, *fields]
    return [
        ConfigurationError(f"{name}: {_unknown_reason(name, known)}", key=name)
        for name in dir(django_settings)
        if name.startswith(PREFIX) and name.isupper() and name not in known
    ]


class _Queues(Mapping[str, QueueSettings]):
    """PARTISAN_CONFIG as validated settings by queue name; 'default' is always there."""

    def __getitem__(self, queue_name: str) -> QueueSettings:
        try:
            return get_queue_settings(queue_name)
        except UnknownQueue as error:
            raise KeyError(queue_name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((DEFAULT_QUEUE_NAME, *_configured_queues())))

    def __len__(self) -> int:
        return len({DEFAULT_QUEUE_NAME, *_configured_queues()})

    def __contains__(self, queue_name: object) -> bool:
        return queue_name == DEFAULT_QUEUE_NAME or queue_name in _configured_queues()

    def __repr__(self) -> str:
        return f"<PARTISAN_CONFIG of queues {', '.join(map(repr, self))}>"


PARTISAN_CONFIG: Mapping[str, QueueSettings] = _Queues()
"""The settings of each queue, read anew at each look."""


def _configured_queues() -> Mapping[str, Any]:
    configured = getattr(django_settings, QUEUES_SETTING, None)
    if configured is None:
        return {}
    if not isinstance(configured, Mapping):
        raise ConfigurationError(
            f"{QUEUES_SETTING}: must be a dict of queue names and their settings, "
            f"got {shown(configured)}",
            key=QUEUES_SETTING,
        )
    return configured


def _merged(
    queue_name: str, command_line: dict[str, Any], *, is_known: bool = True
) -> QueueSettings:
    given = {key.upper(): value for key, value in command_line.items() if value is not None}
    errors, built = _build_queue(queue_name, given, is_known=is_known)
    if built is None:
        raise errors[0]
    return built


def _build_queue(
    queue_name: str, command_line: dict[str, Any], *, is_known: bool = True
) -> tuple[list[ConfigurationError], QueueSettings | None]:
    """Return what is wrong with one queue, or its settings."""
    if is_known and queue_name not in PARTISAN_CONFIG:
        return [_unknown_queue(queue_name)], None
    own = _configured_queues().get(queue_name, {})
    where = f"{QUEUES_SETTING}[{queue_name!r}]"
    problem = _queue_problem(queue_name, own)
    if problem:
        return [ConfigurationError(f"{where}: {problem}", queue=queue_name)], None
    flat = {name: getattr(django_settings, name) for name in FLAT_NAMES if _is_set(name)}
    try:
        return [], QueueSettings.model_validate({**flat, **own, **command_line})
    except ValidationError as invalid:
        places = {
            **{key: key for key in flat},
            **{key: f"{where}[{key!r}]" for key in own},
            **{key: f"--{key.lower()}" for key in command_line},
        }
        return _in_words(invalid, QueueSettings, "MIN_QUEUE_SIZE", places, queue_name), None


def _is_set(name: str) -> bool:
    return hasattr(django_settings, name)


def _queue_problem(queue_name: object, own: object) -> str:
    if not isinstance(queue_name, str) or not 0 < len(queue_name) <= MAX_QUEUE_NAME_LENGTH:
        return f"a queue's name must be text of 1 to {MAX_QUEUE_NAME_LENGTH} characters"
    if not isinstance(own, Mapping):
        return f"must be a dict of settings, got {shown(own)}"
    return ""


def _unknown_queue(queue_name: str) -> UnknownQueue:
    known = list(PARTISAN_CONFIG)
    close = close_match(queue_name, known)
    listed = ", ".join(map(str, known))
    meant = f"; did you mean {close!r}?" if close else "."
    return UnknownQueue(
        f"Queue {queue_name!r} is not in {QUEUES_SETTING}{meant} Known queues: {listed}.",
        queue=queue_name,
    )


def _process_values() -> dict[str, Any]:
    return {
        name: getattr(django_settings, PREFIX + name)
        for name in ProcessSettings.model_fields
        if _is_set(PREFIX + name)
    }


def _build_process_settings() -> ProcessSettings:
    errors = _process_errors()
    if errors:
        raise errors[0]
    return ProcessSettings.model_validate(_process_values())


def _process_errors() -> list[ConfigurationError]:
    values = _process_values()
    places = {name: PREFIX + name for name in ProcessSettings.model_fields}
    try:
        ProcessSettings.model_validate(values)
    except ValidationError as invalid:
        return _in_words(invalid, ProcessSettings, "DEAD_AFTER_SECONDS", places, None)
    return []


def _in_words(
    invalid: ValidationError,
    model: type[BaseModel],
    whole_key: str,
    places: Mapping[Any, str],
    queue_name: str | None,
) -> list[ConfigurationError]:
    """Return one error per finding; one about the model as a whole is laid on `whole_key`."""
    errors = []
    for finding in invalid.errors(include_url=False):
        key = finding["loc"][0] if finding["loc"] else whole_key
        field = model.model_fields.get(str(key))
        or_none = field is not None and _allows_none(field.annotation)
        place = places.get(key, str(key))
        message = f"{place}: {explain(finding, model.model_fields, or_none=or_none)}"
        # A flat setting is not about this queue alone.
        queue = None if place == key else queue_name
        errors.append(ConfigurationError(message, queue=queue, key=str(key)))
    return errors


def _allows_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation)


def _unknown_reason(name: str, known: list[str]) -> str:
    bare = name.removeprefix(PREFIX)
    if bare in QueueSettings.model_fields:
        return f"nobody reads it; write {QUEUES_SETTING} = {{'default': {{{bare!r}: ...}}}}"
    return f"nobody reads it{did_you_mean(name, known)}"


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith(PREFIX) or setting in FLAT_NAMES:
        _queues.clear()
        _process.clear()


setting_changed.connect(_forget, dispatch_uid="django_partisan.settings")
