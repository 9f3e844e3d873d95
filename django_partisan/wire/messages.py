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
worker   ``finished retried postponed failed      Id, lease, and the other fields of an Outcome,
         recorded cancelled``                     the error as a tuple: so the task has ended.
worker   ``limited``                              Moment, limit, grace, id: a task with a time limit
                                                  starts.
worker   ``blocked``                              Id: that task keeps those beside it from going on;
                                                  0: none does any more.
worker   ``retired``                              Nothing: the worker ends of its own accord.
=======  =======================================  =================================================

What a task that runs is to be told cannot wait for its end, so it has a pipe of its own, in which
a message is a struct of a fixed size. There is one: ``c``, an id, a lease: stop that task.

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
    RETRIED,
    ClaimedTask,
    ErrorReport,
    Outcome,
)
from django_partisan.payloads.encoding import is_storable
from django_partisan.wire.channel import GarbledError

_OUTCOMES: Final = frozenset({FINISHED, RETRIED, POSTPONED, FAILED, RECORDED, CANCELLED})
_FAR: Final = 1e12
"""Seconds: further away is no moment and no delay, and no number that is none."""
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


Order = Chunk | Shared | Stop
"""What a manager says."""
Report = Outcome | Limited | Blocked | Retired
"""What a worker says."""


def message_of(said: Order | Report) -> tuple[Any, ...]:  # noqa: PLR0911 - one for each
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
        case Limited():
            return "limited", *said
        case Blocked():
            return "blocked", *said
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
        case ("limited", started, limit, grace, int(task_id)) if all(map(_is_number, message[1:])):
            return Limited(started, limit, grace, task_id)
        case ("blocked", int(task_id)):
            return Blocked(task_id)
        case ("retired",):
            return Retired()
    raise GarbledError


def cancel_message(task_id: int, lease: int) -> bytes:
    """Return the request to stop a task."""
    return _CANCEL.pack(b"c", task_id, lease)


def cancels_in(data: bytes) -> list[tuple[int, int]]:
    """Return the ids and leases of the tasks to stop; what is no request is left out."""
    whole = data[: len(data) // _CANCEL.size * _CANCEL.size]
    return [request[1:] for request in _CANCEL.iter_unpack(whole) if request[0] == b"c"]


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


def _is_number(value: Any) -> bool:
    return type(value) in (float, int) and -_FAR <= value <= _FAR


def _is_text(value: Any) -> bool:
    return type(value) is str and is_storable(value)
