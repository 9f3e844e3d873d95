"""The fixed words of django-partisan: default names, delay strategies, exit codes."""

from enum import IntEnum

DEFAULT_QUEUE_NAME = "default"

DELAY_STRATEGY_CONSTANT = "C"
DELAY_STRATEGY_INCREMENTAL = "I"
DELAY_STRATEGY_EXPONENTIAL = "E"
DELAY_STRATEGIES = (
    DELAY_STRATEGY_CONSTANT,
    DELAY_STRATEGY_INCREMENTAL,
    DELAY_STRATEGY_EXPONENTIAL,
)

MAX_STORED_NAME_LENGTH = 255
MAX_PAUSE_SECONDS = 10 * 366 * 24 * 3600.0
"""Ten years: no wait is longer, so no wait can leave the range of a datetime."""


CUT_OFF_WORKER = 70
"""The exit code of a worker whose task has closed its connection to the manager."""


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
