"""The class attributes of a processor: the rules by which its tasks are run, and their defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from django_partisan.config.const import DEFAULT_GRACE_SECONDS, DEFAULT_QUEUE_NAME
from django_partisan.config.processor_configs import ErrorsHandleConfig, PostponeConfig
from django_partisan.config.schedules import Schedule


class Attributes:
    """What a processor may set; what it sets wrong is told when the class is made."""

    PRIORITY: ClassVar[int] = 10
    """Lower runs first; 0 and negative numbers are priorities like any other."""
    QUEUE_NAME: ClassVar[str] = DEFAULT_QUEUE_NAME
    """The queue its tasks wait in; a key of PARTISAN_CONFIG."""
    UNIQUE_FOR_PARAMS: ClassVar[bool] = True
    """Whether a task with the same arguments is enqueued only once while it waits."""
    UNIQUE_UNTIL: ClassVar[Literal["start", "finish"]] = "start"
    """How long a task keeps duplicates out: until it is claimed, or until it has ended."""
    ON_DUPLICATE: ClassVar[Literal["keep", "replace", "earlier"]] = "keep"
    """What a duplicate does to the waiting task: nothing, replace its arguments, its time and its
    priority, or make it due earlier."""
    UNIQUE_KEY: ClassVar[Sequence[str] | None] = None
    """The arguments by which tasks are duplicates, as in SENSITIVE_PARAMS; all when None."""
    UNIQUE_FOR_SECONDS: ClassVar[float | None] = None
    """For how long after its start a task keeps duplicates out, whether or not it has ended."""
    DEBOUNCE_SECONDS: ClassVar[float | None] = None
    """How long a task waits for the next call, which then takes its place with its arguments."""
    DEBOUNCE_MAX_SECONDS: ClassVar[float | None] = None
    """How long it waits in all, from the first call on; ten times as long when None."""
    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = None
    POSTPONE_CONFIG: ClassVar[PostponeConfig | None] = None
    SENSITIVE_PARAMS: ClassVar[Sequence[str]] = ()
    """Arguments that are masked wherever tasks are shown: names, or paths as ``card.number``."""
    ATOMIC: ClassVar[bool] = False
    """Whether run() and the record of its end are one transaction on the tasks' database."""
    FRESH_SESSION: ClassVar[bool] = False
    """Whether the database connections that run() has used are closed after it, whatever it did."""
    CAPTURE_OUTPUT: ClassVar[bool] = True
    """Whether what run() prints is kept as the log of the task."""
    THREAD_SAFE: ClassVar[bool] = False
    """Whether run() may run in one of several threads, beside other tasks: see CONCURRENCY."""
    TIMEOUT_SECONDS: ClassVar[float | None] = None
    """How long run() may take: then TaskTimedOut is raised inside it."""
    GRACE_SECONDS: ClassVar[float] = DEFAULT_GRACE_SECONDS
    """How long run() may go on after that, before its worker is killed."""
    EXPIRES_SECONDS: ClassVar[float | None] = None
    """How long after it is due a task may still start: then it is cancelled instead."""
    ALIASES: ClassVar[tuple[str, ...]] = ()
    """Former names of the class, under which stored tasks still find it."""
    SCHEDULES: ClassVar[Sequence[Schedule]] = ()
    """When tasks are made by themselves; only for the class itself, not for those derived of it."""
    SCHEDULABLE: ClassVar[bool] = False
    """Whether people may add schedules for it, in the admin or as rows of StoredSchedule."""
    SCHEMA_VERSION: ClassVar[int] = 1
    """Which shape the data of a stored task has; it grows with each change of that."""
