"""What can be set, with types, bounds and defaults: per queue and per process."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from django_partisan.backoff import MAX_PAUSE_SECONDS

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, le=MAX_PAUSE_SECONDS, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=MAX_PAUSE_SECONDS, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=256)]


def _dotted_name(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{name!r} is no dotted name; write one such as 'partisan_tasks'")
    return name


DottedName = Annotated[str, AfterValidator(_dotted_name)]


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_MIN_QUEUE_SIZE: Final = 700
_MAX_QUEUE_SIZE: Final = 1000


class QueueSettings(BaseModel):
    """How one queue is served. Frozen; types are strict, so `"5"` and True are not numbers.

    While neither MIN_QUEUE_SIZE nor MAX_QUEUE_SIZE is given, the manager claims fewer of tasks
    that are not quick. When only one of them is given, the other one's default makes room for it
    (half of the maximum at most, twice the minimum at least).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    MIN_QUEUE_SIZE: Count = _MIN_QUEUE_SIZE
    """Claim more tasks once the local queue holds this many or fewer."""
    MAX_QUEUE_SIZE: Positive = _MAX_QUEUE_SIZE
    """Fill the local queue up to this many tasks."""
    CHECKS_BEFORE_CLEANUP: Count = 50
    """Accepted for compatibility with 1.6.1; does nothing."""
    WORKERS_COUNT: int = Field(ge=1, default_factory=_usable_cpus)
    """How many worker processes run tasks; the default is the number of usable CPUs."""
    CONCURRENCY: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many asynchronous or THREAD_SAFE tasks of the queue one worker runs at once."""
    WEIGHT: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 1.0
    """The queue's share of worker time in a manager that serves several, beside theirs."""
    SLEEP_DELAY_SECONDS: PositiveSeconds = 2.0
    """The longest wait between two looks at the database."""
    TASKS_PER_WORKER_INSTANCE: Positive | None = None
    """Replace a worker after about this many tasks; None: never for that reason."""
    DELETE_TASKS_ON_COMPLETE: bool = False
    """Delete a task's row once it has finished."""
    DEFAULT_POSTPONE_DELAY_SECONDS: Seconds = 5.0
    """How long a task waits that was postponed without a time."""
    DEFAULT_POSTPONES_COUNT: Count | None = 15
    """How often a task may be postponed; None: for ever."""
    WORKER_MAX_MEMORY_MB: Positive | None = None
    """Replace a worker between tasks once it uses more memory; None: never for that reason."""
    KEEP_FINISHED_SECONDS: Seconds | None = None
    """Delete finished and cancelled tasks after this time; None: keep them."""
    KEEP_FAILED_SECONDS: Seconds | None = None
    """Delete tasks in error after this time; None: keep them."""

    @property
    def has_given_sizes(self) -> bool:
        """Whether the size of the local queue was chosen; the defaults give way to slow tasks."""
        return not self.model_fields_set.isdisjoint({"MIN_QUEUE_SIZE", "MAX_QUEUE_SIZE"})

    @model_validator(mode="before")
    @classmethod
    def _make_room(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        lowest, highest = given.get("MIN_QUEUE_SIZE"), given.get("MAX_QUEUE_SIZE")
        if lowest is None and type(highest) is int:
            return {**given, "MIN_QUEUE_SIZE": min(_MIN_QUEUE_SIZE, highest // 2)}
        if highest is None and type(lowest) is int:
            return {**given, "MAX_QUEUE_SIZE": max(_MAX_QUEUE_SIZE, lowest * 2)}
        return given

    @model_validator(mode="after")
    def _min_fits_max(self) -> Self:
        if self.MIN_QUEUE_SIZE > self.MAX_QUEUE_SIZE:
            raise ValueError(
                f"{self.MIN_QUEUE_SIZE} is greater than MAX_QUEUE_SIZE ({self.MAX_QUEUE_SIZE}); "
                "lower the one or raise the other"
            )
        return self


class ProcessSettings(BaseModel):
    """What concerns a whole process; each is the Django setting PARTISAN_<name>. Frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    NODE_NAME: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """The name of this node; a manager restarted under it takes over its predecessor at once."""
    MODULES: Annotated[Sequence[DottedName], Field(min_length=1)] = ("partisan_tasks",)
    """The modules of every installed app in which processors are looked for."""
    SETUP: DottedName | None = None
    """A function, as `module.function`, that workers call before Django is set up."""
    RUN_WITH_RUNSERVER: bool = False
    """Start a manager of all queues beside `manage.py runserver`; for development, with DEBUG."""
    CAPTURE_OUTPUT: bool = True
    """Keep what tasks print; False: it goes to the manager's own streams and nowhere else."""
    NOTIFY: bool = True
    """Wake managers through the database when a task is enqueued; False: they only poll."""
    HEARTBEAT_SECONDS: PositiveSeconds = 5.0
    """How often a manager says that it is alive."""
    DEAD_AFTER_SECONDS: PositiveSeconds = 30.0
    """A manager silent for so long is dead; more than twice HEARTBEAT_SECONDS."""
    RESCUE_INTERVAL_SECONDS: PositiveSeconds = 10.0
    """How often managers look for the tasks of dead ones."""
    SHUTDOWN_GRACE_SECONDS: Seconds = 25.0
    """How long running tasks may go on after SIGTERM."""
    LOCAL_TTL_SECONDS: PositiveSeconds = 30.0
    """A claimed task that has not started after this time is given back."""
    LONG_TRANSACTION_SECONDS: PositiveSeconds | None = 300.0
    """Warn of a transaction in the database that is open for longer; None: never."""
    MAX_ARGUMENTS_BYTES: Bytes = 262_144
    """The largest size of a task's arguments as JSON."""
    MAX_RESCUES: Count = 3
    """A task that was running when its worker died this many times ends in error."""
    MAX_ERROR_BYTES: Bytes = 65_536
    """The largest size of a stored error; its middle is left out."""
    MAX_RESULT_BYTES: Bytes = 262_144
    """The largest size of a stored result; beyond it the result's repr is kept."""

    @model_validator(mode="after")
    def _dead_is_later_than_silent(self) -> Self:
        if self.DEAD_AFTER_SECONDS <= 2 * self.HEARTBEAT_SECONDS:
            raise ValueError(
                f"{self.DEAD_AFTER_SECONDS:g} is not more than twice PARTISAN_HEARTBEAT_SECONDS "
                f"({self.HEARTBEAT_SECONDS:g}); one late heartbeat would count as death"
            )
        return self
