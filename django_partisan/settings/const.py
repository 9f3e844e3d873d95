"""Where 1.6.1 kept names of settings; they are deprecated, and go with the next major version."""

import warnings

from django_partisan.config.const import DEFAULT_QUEUE_NAME
from django_partisan.settings.reading import FLAT_NAMES

(
    MIN_QUEUE_SIZE,
    MAX_QUEUE_SIZE,
    CHECKS_BEFORE_CLEANUP,
    WORKERS_COUNT,
    SLEEP_DELAY_SECONDS,
    TASKS_PER_WORKER_INSTANCE,
    DELETE_TASKS_ON_COMPLETE,
    DEFAULT_POSTPONE_DELAY_SECONDS,
    DEFAULT_POSTPONES_COUNT,
) = FLAT_NAMES

__all__ = [
    "CHECKS_BEFORE_CLEANUP",
    "DEFAULT_POSTPONES_COUNT",
    "DEFAULT_POSTPONE_DELAY_SECONDS",
    "DEFAULT_QUEUE_NAME",
    "DELETE_TASKS_ON_COMPLETE",
    "MAX_QUEUE_SIZE",
    "MIN_QUEUE_SIZE",
    "SLEEP_DELAY_SECONDS",
    "TASKS_PER_WORKER_INSTANCE",
    "WORKERS_COUNT",
]

warnings.warn(
    "django_partisan.settings.const is deprecated: import DEFAULT_QUEUE_NAME from "
    "django_partisan.config.const, and write the names of settings as text",
    DeprecationWarning,
    stacklevel=2,
)
