"""The constants of django-partisan: default names, delay strategies, exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

DEFAULT_QUEUE_NAME = "default"
"""The queue of processors that name none; it needs no settings."""
DELAY_STRATEGY_CONSTANT = "C"
"""Every wait before another attempt is equally long."""
DELAY_STRATEGY_INCREMENTAL = "I"
"""The wait grows by the same time with each attempt."""
DELAY_STRATEGY_EXPONENTIAL = "E"
"""The wait is multiplied by the same factor with each attempt."""
DELAY_STRATEGIES = (
    DELAY_STRATEGY_CONSTANT,
    DELAY_STRATEGY_INCREMENTAL,
    DELAY_STRATEGY_EXPONENTIAL,
)
"""All that a RETRY_ON_ERROR_CONFIG or POSTPONE_CONFIG may name."""
HOURLY: Final = 3_600
"""Seconds, for ``.delay(repeat=...)``."""
DAILY: Final = 24 * HOURLY
"""Seconds; always 24 hours, whatever the clocks of a zone do."""
WEEKLY: Final = 7 * DAILY
"""Seconds."""
EVERY_2_WEEKS: Final = 2 * WEEKLY
"""Seconds."""
EVERY_4_WEEKS: Final = 4 * WEEKLY
"""Seconds."""
MAX_STORED_NAME_LENGTH = 255
"""Characters of the column that holds a processor's name."""
CUT_OFF_WORKER = 70
"""The exit code of a worker whose task has closed its connection to the manager."""
STARVED_WORKER = 71
"""The exit code of a worker that could not begin for lack of threads, descriptors or memory."""
NEVER: Final = float("inf")
"""A moment of any clock that does not come."""
DEFAULT_GRACE_SECONDS: Final = 5.0
"""How long a task may go on that should have ended, where its processor does not say."""


class ExitCode(IntEnum):
    """Say how `start_partisan` ended; these numbers are the process's exit status."""

    CLEAN = 0
    """Stopped or drained as asked; everything is recorded."""
    ERROR = 1
    """An error that nobody foresaw."""
    CONFIGURATION = 2
    """Wrong settings, an unknown queue, or tables that are not migrated."""
    WORKER_BOOT = 3
    """The process that starts workers could not load the project."""
    FORCED = 4
    """A second signal: stopped at once."""
    ALREADY_RUNNING = 5
    """Another manager already serves this SQLite file."""
    SHORTAGE = 6
    """The machine lacks what even a manager without workers needs to begin."""
