"""What worker and manager say to each other.

Every message is a tuple of plain values that begins with its kind, and has a value of its own at
both ends: :func:`message_of` makes one of the other.

=======  =======================================  =================================================
Says it  Kind                                     What follows, and what is said
=======  =======================================  =================================================
manager  ``chunk``                                A number, tasks: run those that have a token.
manager  ``shared``                               A number, tasks, how many at once: run those that
                                                  have a token beside each other.
manager  ``stop``                                 Nothing: end after what has been started.
worker   ``finished retried resumed postponed     Id, lease, and the other fields of an Outcome,
         released failed recorded cancelled``     the error as a tuple: so the task has ended.
worker   ``limited``                              Moment, limit, grace, id: a task with a time limit
                                                  starts.
worker   ``blocked``                              Id: that task keeps those beside it from going on;
                                                  0: none does any more.
worker   ``line``                                 Id, lease, text: a line for that task's log.
worker   ``retired``                              Nothing: the worker ends of its own accord.
worker   ``interim``                              The fields of an Interim: how far a task is that
                                                  goes on.
=======  =======================================  =================================================

What a task that runs is to be told cannot wait for its end, so it has a pipe of its own, in which
a message is a struct of a fixed size: ``c``, an id, a lease: stop that task; or ``b`` with the
same: give that task back between two of its steps, if it has any.

A worker shares its process with the code of tasks, so what seems to come from it may come from
anybody. What :func:`report_in` returns is safe to calculate with and to hand to a database.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django_partisan.attempt import (
    CANCELLED,
    FAILED,
    FINISHED,
    POSTPONED,
    RECORDED,
    RELEASED,
    RESUMED,
    RETRIED,
    ClaimedTask,
    ErrorReport,
    Interim,
    Outcome,
)
from django_partisan.payloads.encoding import is_storable
from django_partisan.wire.channel import GarbledError

_OUTCOMES: Final = frozenset(
    {FINISHED, RETRIED, RESUMED, POSTPONED, RELEASED, FAILED, RECORDED, CANCELLED}
)
_FAR: Final = 1e12
"""Seconds: further away is no moment and no delay, and no number that is none."""
_MOST, _MOST_SMALL = 2**63 - 1, 2**31 - 1
_CANCEL: Final = struct.Struct("!cqq")
MAX_CANCEL_BYTES: Final = _CANCEL.size * 64
"""How much to read at once of the pipe of requests: whole ones, as each is written at once."""


class Chunk(NamedTuple):
    """Tasks to run one after another, each once its token has been read."""

    number: int
    tasks: Sequence[ClaimedTask]


class Shared(NamedTuple):
    """Tasks to run beside each other, up to ``places`` at once, each once it has its token."""

    number: int
    tasks: Sequence[ClaimedTask]
    places: int


class Stop(NamedTuple):
    """The worker should end."""


class Limited(NamedTuple):
    """A task with a time limit starts: when, by the monotonic clock, its limit and its grace."""

    started: float
    limit: float
    grace: float
    task_id: int


class Blocked(NamedTuple):
    """A task keeps the event loop, and so those that run beside it, from going on; 0: none."""

    task_id: int


class Retired(NamedTuple):
    """The worker ends of its own accord."""


class Line(NamedTuple):
    """A line, with its end, for the log of a task that runs: what a pipe does not carry."""

    task_id: int
    lease: int
    text: str


Order = Chunk | Shared | Stop
"""What a manager says."""
Report = Outcome | Limited | Blocked | Line | Retired | Interim
"""What a worker says."""


def message_of(said: Order | Report) -> tuple[Any, ...]:
    """Return what is said as a message; marshal knows no named tuples.

    Raises ValueError for an outcome into which a task has smuggled what cannot be recorded, as the
    delay of a postpone.
    """
    match said:
        case Outcome():
            return _outcome_message(said)
        case Chunk(number, tasks):
            return "chunk", number, [tuple(task) for task in tasks]
        case Shared(number, tasks, places):
            return "shared", number, [tuple(task) for task in tasks], places
        case Limited() | Blocked() | Line() | Interim():
            return type(said).__name__.lower(), *said
        case Stop():
            return ("stop",)
        case Retired():
            return ("retired",)


def order_in(message: Any) -> Order:
    """Return what a manager has said; raise GarbledError where no manager says that."""
    match message:
        case ("chunk", int(number), list(tasks)):
            return Chunk(number, [ClaimedTask._make(fields) for fields in tasks])
        case ("shared", int(number), list(tasks), int(places)):
            return Shared(number, [ClaimedTask._make(fields) for fields in tasks], places)
        case ("stop",):
            return Stop()
    raise GarbledError


def report_in(message: Any) -> Report:
    """Return what a worker has said; raise GarbledError where no worker says that."""
    match message:
        case (kind, task_id, lease, started, ended, result, delay, due_at, error) if (
            # Exactly: a bool is an int as well, and is none to a database.
            type(kind) is str
            and kind in _OUTCOMES
            and type(task_id) is type(lease) is int
            and type(started) is type(ended) is float
            and 0 <= started <= ended <= _FAR
            and (result is None or _is_text(result))
            and (delay is None or _is_number(delay))
            and (due_at is None or _is_number(due_at))
            and (error is None or _is_error(error))
        ):
            if error is not None:
                error = ErrorReport._make(error)
            return Outcome._make(
                (task_id, lease, kind, started, ended, result, delay, due_at, error)
            )
        case ("retired",):
            return Retired()
    return _word_in(message)


def _word_in(message: Any) -> Limited | Blocked | Line | Interim:
    """Return what a worker says of a task that goes on; raise GarbledError for anything else."""
    match message:
        case ("limited", started, limit, grace, int(task_id)) if all(map(_is_number, message[1:])):
            return Limited(started, limit, grace, task_id)
        case ("blocked", int(task_id)):
            return Blocked(task_id)
        case ("line", task_id, lease, text) if type(task_id) is type(lease) is int:
            if _is_text(text):
                return Line(task_id, lease, text)
        case ("interim", *fields) if _is_interim(fields):
            return Interim._make(fields)
    raise GarbledError


def cancel_message(task_id: int, lease: int) -> bytes:
    """Return the request to stop a task."""
    return _CANCEL.pack(b"c", task_id, lease)


def cancels_in(data: bytes) -> list[tuple[int, int]]:
    """Return the ids and leases of the tasks to stop; what is no such request is left out."""
    return _requests_in(data, b"c")


def give_back_message(task_id: int, lease: int) -> bytes:
    """Return the request to give a task back between two of its steps."""
    return _CANCEL.pack(b"b", task_id, lease)


def give_backs_in(data: bytes) -> list[tuple[int, int]]:
    """Return the ids and leases of the tasks to give back; what is no such request is left out."""
    return _requests_in(data, b"b")


def _requests_in(data: bytes, kind: bytes) -> list[tuple[int, int]]:
    whole = data[: len(data) // _CANCEL.size * _CANCEL.size]
    return [request[1:] for request in _CANCEL.iter_unpack(whole) if request[0] == kind]


def _outcome_message(outcome: Outcome) -> tuple[Any, ...]:
    task_id, lease, kind, started, ended, result, delay, due_at, error = outcome
    message = (kind, task_id, lease, started, ended, result, delay, due_at, error and tuple(error))
    # What has finished holds nothing of the task's own but a result that is JSON already.
    if kind != FINISHED and not _is_report(message):
        raise ValueError("one of its times is no number, or one of its texts cannot be stored")
    return message


def _is_report(message: Any) -> bool:
    try:
        report_in(message)
    except GarbledError:
        return False
    return True


def _is_error(error: Any) -> bool:
    size = len(ErrorReport._fields)
    return type(error) is tuple and len(error) == size and all(map(_is_text, error))


def _is_interim(fields: Sequence[Any]) -> bool:
    if len(fields) != len(Interim._fields):
        return False
    task_id, lease, at, done, total, message, number, checkpoint, version, resumptions = fields
    return (
        all(type(one) is int for one in (task_id, lease, number, version, resumptions))
        and 0 <= number <= _MOST
        and -_MOST_SMALL <= version <= _MOST_SMALL
        and 0 <= resumptions <= _MOST_SMALL
        and _is_number(at)
        and at >= 0
        and (done is None or _is_count(done))
        and (total is None or _is_count(total))
        and _is_text(message)
        and (checkpoint is None or _is_text(checkpoint))
    )


def _is_count(value: Any) -> bool:
    return type(value) is float and 0 <= value < float("inf")


def _is_number(value: Any) -> bool:
    return type(value) in (float, int) and -_FAR <= value <= _FAR


def _is_text(value: Any) -> bool:
    return type(value) is str and is_storable(value)
