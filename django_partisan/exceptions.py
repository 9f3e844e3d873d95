"""Every exception that django-partisan raises or that a processor raises to steer it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django_partisan.backoff import MAX_PAUSE_SECONDS
from django_partisan.config.moments import with_zone


class PartisanException(Exception):  # noqa: N818 - the name of 1.6.1
    """Base of everything that can go wrong inside django-partisan."""


class ProcessorClassException(PartisanException):
    """A processor's name does not lead to exactly one class; `name` is that name."""

    template = "Processor class {name} cannot be used."

    def __init__(self, name: str, hint: str = "") -> None:
        super().__init__(name, hint)
        self.name = name
        self.hint = hint

    def __str__(self) -> str:
        message = self.template.format(name=self.name)
        return f"{message} {self.hint}" if self.hint else message


class ProcessorClassNotFound(ProcessorClassException):
    """No registered processor, or more than one, answers to this name."""

    template = (
        "Processor class {name} cannot be found. Is it registered? Decorate it with "
        "@registry.register, or a function with @processor, in a module that workers load: "
        "partisan_tasks.py of an installed app, or another one in PARTISAN_MODULES. For a renamed "
        "one add the old name to its ALIASES."
    )


class ProcessorNotDiscovered(ProcessorClassNotFound):
    """The processor is known to this process only: workers do not import its module."""

    template = (
        "Processor class {name} would not be found by workers: it was registered after Django had "
        "been set up, and workers know only what is registered by then."
    )


class ProcessorClassAlreadyRegistered(ProcessorClassException):
    """A second processor was registered under a name that is taken."""

    template = (
        "Processor class {name} already registered. Register each class once, and give "
        "each name or alias to one class only."
    )


class Postpone(Exception):  # noqa: N818 - a request, not an error
    """Base of the signals by which a processor asks to run later: not an error."""


class PostponeTask(Postpone):
    """Raise inside `run()` to have the same task run again later, free of charge.

    Give seconds (a number or a timedelta, 0 or more) or `until` (an aware datetime; a naive
    one only under `USE_TZ = False`), not both.
    With neither, the task waits DEFAULT_POSTPONE_DELAY_SECONDS of its own queue; whoever handles
    the exception looks that up. Raises ValueError or TypeError for anything else.
    """

    def __init__(
        self,
        postpone_for_seconds: float | timedelta | None = None,
        *,
        until: datetime | None = None,
    ) -> None:
        if postpone_for_seconds is not None and until is not None:
            raise ValueError("PostponeTask takes seconds or until=, not both")
        super().__init__(postpone_for_seconds)
        self.postpone_for_seconds = _checked_seconds(postpone_for_seconds)
        self.until = _checked_moment(until)

    def __str__(self) -> str:
        if self.until is not None:
            return f"postponed until {self.until.isoformat()}"
        if self.postpone_for_seconds is not None:
            return f"postponed for {self.postpone_for_seconds:g} s"
        return "postponed for the default delay of its queue"


class MaxPostponesReached(PartisanException, Postpone):
    """The task asked to be postponed more often than it may; it ends in error."""

    def __init__(self, postpones: int) -> None:
        super().__init__(postpones)
        self.postpones = postpones

    def __str__(self) -> str:
        return (
            f"Maximum postpones ({self.postpones}) reached. Failing. Raise max_postpones in "
            "POSTPONE_CONFIG or DEFAULT_POSTPONES_COUNT of the queue to allow more."
        )


class TaskTimedOut(PartisanException):
    """The task ran longer than its TIMEOUT_SECONDS; raised inside `run()` at that moment.

    `seconds` is the limit. Whoever catches it may tidy up, for GRACE_SECONDS at most.
    """

    def __init__(self, seconds: float, *, killed: str = "") -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.killed = killed

    def __str__(self) -> str:
        return f"The task ran longer than its TIMEOUT_SECONDS ({self.seconds:g}).{self.killed}"


class TaskCancelled(BaseException):
    """The task was cancelled while it ran; raised inside `run()` by its worker.

    Not an Exception, so that code which goes on after any error does not go on after this. Whoever
    catches it may tidy up, for GRACE_SECONDS at most, and should raise it again.
    """

    def __init__(self, *, killed: str = "") -> None:
        super().__init__()
        self.killed = killed

    def __str__(self) -> str:
        return f"The task was cancelled while it ran.{self.killed}"


class TaskGivenBack(BaseException):
    """The task gives its worker back, unfinished; raised by IterationProcessor between two items.

    It waits again, for `seconds` or in its old place when that is None, and nothing is charged. Not
    an Exception, and never raised inside of `each()`.
    """

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return "The task gives its worker back, and goes on later."


class CancelTask(PartisanException):
    """Raise inside `run()` to end the task as cancelled, with a reason; it is not retried."""


class FailTask(PartisanException):
    """Raise inside `run()` to end the task in error, with a reason; it is never retried."""


class LeaseLost(PartisanException):
    """The task is no longer this owner's: another claim or a rescue has taken it since."""


class TaskNotInProcess(LeaseLost):
    """Nobody runs the task, so its end cannot be recorded; claim it first."""

    def __init__(self, task_id: int | None, status: str) -> None:
        super().__init__(task_id, status)
        self.task_id = task_id
        self.status = status

    def __str__(self) -> str:
        return (
            f"Task {self.task_id} is {self.status!r}, not in process, so nothing was recorded: "
            "only who has claimed a task can complete or fail it. Claim it with "
            "Task.objects.select_for_process(), or leave it to a manager; Task.cancel() ends a "
            "task that waits."
        )


class AtomicityLost(PartisanException):
    """An ATOMIC task has done something that its transaction could not be a part of.

    It has ended the transaction itself; or another thread, as `asyncio.run()` with the ORM has one,
    was about to use the database beside it. Then this is raised in that thread, named by `thread`.
    """

    def __init__(self, processor_class: str, thread: str = "") -> None:
        super().__init__(processor_class, thread)
        self.processor_class = processor_class
        self.thread = thread

    def __str__(self) -> str:
        if self.thread:
            return (
                f"{self.processor_class} is ATOMIC, and its thread {self.thread!r} was about to "
                "use the tasks' database on a connection of its own, beside the transaction. Use "
                "the ORM in the thread of run(): async_to_sync() does so where asyncio.run() does "
                "not."
            )
        return (
            f"{self.processor_class} is ATOMIC, and its transaction did not outlast run(): the "
            "code committed it, rolled it back, closed its connection, or went on after an error "
            "of the database. What it had not committed itself is rolled back. Leave the "
            "transaction alone, and wrap statements that may fail in transaction.atomic()."
        )


class InvalidParams(PartisanException, ValueError):  # noqa: N818 - as the others
    """The arguments of a call are not what the processor's ``Params`` takes: nothing was stored.

    ``processor`` is the name of its class; ``faults`` are pairs of a field, empty for all of them
    together, and what is wrong with it. The values of secret fields are in neither.
    """

    def __init__(
        self, processor: str, faults: Sequence[tuple[str, str]], takes: str, place: str = ""
    ) -> None:
        super().__init__(processor, faults, takes, place)
        self.processor = processor
        self.faults = tuple(faults)
        self.takes = takes
        self.place = place

    def __str__(self) -> str:
        found = "; ".join(": ".join(filter(None, fault)) for fault in self.faults)
        place = self.place and f"{self.place}: "
        return f"{place}{self.processor} refuses its arguments: {found}. {self.takes}"

    def at(self, place: str) -> "InvalidParams":
        """Return the same error about one of several calls."""
        return InvalidParams(self.processor, self.faults, self.takes, place)


class UnreadableParams(PartisanException):
    """The stored arguments of a task cannot be read by this code; the message says what to do.

    The task ends in error before its ``run()``, and keeps its arguments: it can be retried when
    other code is deployed. ``version`` is the SCHEMA_VERSION that they are stored under.
    """

    def __init__(self, processor: str, version: int, reason: str) -> None:
        super().__init__(processor, version, reason)
        self.processor = processor
        self.version = version
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"The stored arguments of {self.processor} (SCHEMA_VERSION {self.version}) cannot be "
            f"read: {self.reason}. They are kept: retry the task then."
        )


class DependencyFailed(PartisanException):
    """A task that this one waited for did not finish, so this one is cancelled and never starts.

    Nobody raises this: it is recorded, as the `error_type` and the `message` of an Attempt row.
    """

    def __init__(self, task_id: int, outcome: str) -> None:
        super().__init__(task_id, outcome)
        self.task_id = task_id
        self.outcome = outcome

    def __str__(self) -> str:
        return (
            f"task {self.task_id} {'ended in' if self.outcome == 'error' else 'was'} {self.outcome}"
        )


class DependencyNotFound(PartisanException):
    """A task that is to be waited for is not in the database of the tasks: nothing was stored."""

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__(ids)
        self.ids = ids

    def __str__(self) -> str:
        named = ", ".join(map(str, self.ids[:5]))
        return (
            f"after: task {named} is not there. Was it deleted when it had finished "
            "(DELETE_TASKS_ON_COMPLETE), pruned, or rolled back? Nothing was stored."
        )


class FlowEnded(PartisanException):
    """A task was to be added to a flow of which nothing waits any more: nothing was stored."""

    def __init__(self, flow: object) -> None:
        super().__init__(flow)
        self.flow = flow

    def __str__(self) -> str:
        return (
            f"{self.flow}: nothing that comes last in it waits any more, so no task can be added. "
            "Add while a task runs that something waits for, or store a flow of its own."
        )


class TaskExpired(PartisanException):
    """The task waited until its ``expires_at`` had passed, so it is cancelled and never starts.

    Nobody raises this: it is recorded, as the `error_type` and the `message` of an Attempt row.
    """

    def __init__(self, expires_at: datetime | None) -> None:
        super().__init__(expires_at)
        self.expires_at = expires_at

    def __str__(self) -> str:
        if self.expires_at is None:
            return "expired"
        moment = with_zone(self.expires_at).astimezone(UTC)
        return f"expired at {moment.isoformat(' ', 'seconds')}"


class ProcessDied(PartisanException):
    """Base of the ways in which a process can die that had a task in hand.

    Nobody is left to raise these: they are recorded. The `error_type` of the Attempt row is the
    name of the class, without a module, and its `message` the text. `reason` is what is known.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class WorkerDied(ProcessDied):
    """The worker died while it ran the task; the reason names its process and how it ended."""

    def __str__(self) -> str:
        return f"{self.reason or 'The worker died'} while it ran the task"


class ManagerDied(ProcessDied):
    """The manager that held the task died; the reason is what whoever rescued the task knows."""

    def __str__(self) -> str:
        return self.reason or "The manager that held the task died."


class DuplicateNotVisible(PartisanException):
    """A unique task's duplicate exists and cannot be seen; enqueue anew in a new transaction.

    Raised in a transaction of REPEATABLE READ or SERIALIZABLE, which its cause has ended; outside
    of one, enqueueing tries again by itself.
    """

    def __init__(self, processor_class: str) -> None:
        super().__init__(processor_class)
        self.processor_class = processor_class

    def __str__(self) -> str:
        return (
            f"A task of {self.processor_class} could not be enqueued: its duplicate is not "
            "visible to this transaction; retry the transaction"
        )


class ConfigurationError(PartisanException):
    """A setting is wrong; `queue` and `key` say which (None where it is not about one)."""

    def __init__(self, message: str, *, queue: str | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.queue = queue
        self.key = key


class UnknownQueue(ConfigurationError):  # noqa: N818 - says it without the suffix
    """A queue name that PARTISAN_CONFIG does not have."""


class UnsupportedDatabase(ConfigurationError):  # noqa: N818 - says it without the suffix
    """The database that the routers name for tasks is of a kind that cannot hold them."""


class ManagerAlreadyRunning(PartisanException):
    """Another manager serves this database file, and there can be only one."""


class WorkerBootError(PartisanException):
    """The process that starts workers could not load the project."""


class DatabaseRefused(PartisanException):
    """The database of DATABASES cannot be the right one; the message says what to correct."""


class NotMigrated(PartisanException):
    """The tables are missing or old; `manage.py migrate` brings them."""


def _checked_seconds(given: float | timedelta | None) -> float | None:
    if given is None:
        return None
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"PostponeTask takes seconds or a timedelta, got {given!r}")
    if not 0 <= given <= MAX_PAUSE_SECONDS:
        raise ValueError(f"PostponeTask takes 0 seconds to ten years, got {given!r}")
    return float(given)


def _checked_moment(until: datetime | None) -> datetime | None:
    if until is None:
        return None
    if not isinstance(until, datetime):
        raise TypeError(f"PostponeTask(until=...) takes a datetime, got {until!r}")
    until = with_zone(until)
    if until.utcoffset() is None:
        raise ValueError("PostponeTask(until=...) needs an aware datetime; see timezone.now()")
    return until
