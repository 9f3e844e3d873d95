"""What the tasks of a soak do; `tests.soak.load` says how often and to which end."""

from __future__ import annotations

import contextlib
import time
from typing import Any, ClassVar, Final

from django.db import connection

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import PostponeTask, TaskTimedOut
from django_partisan.models import Task
from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import register
from tools.ledger import own_runs

PAUSE: Final = 0.2
FOR_EVER: Final = 60
_ballast: list[bytearray] = []


class Numbered(BaseTaskProcessor):
    """Counts in shared memory that it ran: its first argument is its number."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> Any:
        own_runs().count(self.args[0])
        return self.work()

    def work(self) -> Any:
        """Do what the kind is about."""

    @property
    def row(self) -> Task:
        assert self.task_obj is not None
        return self.task_obj


@register
class Noop(Numbered):
    """Does nothing else."""


@register
class Nap(Numbered):
    """Waits for something, as for a mail server."""

    def work(self) -> None:
        time.sleep(0.02)


@register
class Delayed(Numbered):
    """Is due some seconds after it was enqueued."""


@register
class Duplicated(Numbered):
    """Is enqueued twice at once."""

    UNIQUE_FOR_PARAMS = True


@register
class Retried(Numbered):
    """Succeeds at its third attempt."""

    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(ConnectionError,), retries_count=5, retry_pause=PAUSE
    )

    def work(self) -> None:
        if self.row.retries < 2:
            raise ConnectionError("nobody is there")


@register
class Postponed(Numbered):
    """Asks once for later."""

    def work(self) -> None:
        if not self.row.postpones:
            raise PostponeTask(PAUSE)


@register
class Failed(Numbered):
    """Ends in error."""

    def work(self) -> None:
        raise ValueError("as agreed")


@register
class Large(Numbered):
    """Has a large argument and a large result."""

    def work(self) -> object:
        return [self.args[1], self.args[1]]


@register
class Atomic(Numbered):
    """Leaves one row in its own transaction."""

    ATOMIC = True

    def work(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO soak_effect (number) VALUES (%s)", [self.args[0]])


@register
class Withdrawn(Numbered):
    """Is cancelled while it waits."""


@register
class Stopped(Numbered):
    """Is cancelled while it runs."""

    PRIORITY = 0

    def work(self) -> None:
        time.sleep(FOR_EVER)


@register
class TimedOut(Numbered):
    """Takes longer than its limit."""

    TIMEOUT_SECONDS = 0.3

    def work(self) -> None:
        time.sleep(FOR_EVER)


@register
class Stubborn(Numbered):
    """Goes on after its limit, so that its worker is killed."""

    TIMEOUT_SECONDS = 0.3
    GRACE_SECONDS = 0.3

    def work(self) -> None:
        while True:
            with contextlib.suppress(TaskTimedOut):
                time.sleep(FOR_EVER)


@register
class Swollen(Numbered):
    """Leaves its worker larger than it was."""

    def work(self) -> None:
        _ballast.append(bytearray(b"x") * (20 << 20))
