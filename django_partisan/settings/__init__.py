"""The settings of queues and of processes, read from Django's and validated."""

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.settings.reading import (
    FLAT_NAMES,
    MAX_QUEUE_NAME_LENGTH,
    PARTISAN_CONFIG,
    PREFIX,
    QUEUES_SETTING,
    get_process_settings,
    get_queue_settings,
    merge_overrides,
    settings_of,
    unknown_settings,
    validate_settings,
)
from django_partisan.settings.settings_models import ProcessSettings, QueueSettings

__all__ = [
    "DEFAULT_QUEUE_NAME",
    "FLAT_NAMES",
    "MAX_QUEUE_NAME_LENGTH",
    "PARTISAN_CONFIG",
    "PREFIX",
    "QUEUES_SETTING",
    "ProcessSettings",
    "QueueSettings",
    "get_process_settings",
    "get_queue_settings",
    "merge_overrides",
    "settings_of",
    "unknown_settings",
    "validate_settings",
]
