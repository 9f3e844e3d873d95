"""What the tasks of a soak do; `tests.soak.load` says how often and to which end."""

from __future__ import annotations

import contextlib
import time
from typing import Any, ClassVar, Final

from django.db import connection

from django_partisan.config.processor_configs import ErrorsHandleConfig
from django_partisan.exceptions import PostponeTask, TaskTimedOut
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
        pass


@register
class Noop(Numbered):
    """Does nothing but count, as what is delayed or withdrawn does."""


@register
class Nap(Numbered):
    """Waits for something, as for a mail server."""

    def work(self) -> None:
        time.sleep(0.02)


@register
class Duplicated(Numbered):
    """Is enqueued twice at once."""

    UNIQUE_FOR_PARAMS = True


@register
class Retried(Numbered):
    RETRY_ON_ERROR_CONFIG: ClassVar[ErrorsHandleConfig | None] = ErrorsHandleConfig(
        retry_on_errors=(ConnectionError,), retries_count=5, retry_pause=PAUSE
    )

    def work(self) -> None:
        if self.task_obj and self.task_obj.retries < 2:
            raise ConnectionError("nobody is there")


@register
class Postponed(Numbered):
    def work(self) -> None:
        if self.task_obj and not self.task_obj.postpones:
            raise PostponeTask(PAUSE)


@register
class Failed(Numbered):
    def work(self) -> None:
        raise ValueError("as agreed")


@register
class Large(Numbered):
    def work(self) -> object:
        return [self.args[1], self.args[1]]


@register
class Atomic(Numbered):
    ATOMIC = True

    def work(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO soak_effect (number) VALUES (%s)", [self.args[0]])


@register
class Stopped(Numbered):
    """Does not end by itself."""

    PRIORITY = 0

    def work(self) -> None:
        time.sleep(FOR_EVER)


@register
class TimedOut(Numbered):
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
    def work(self) -> None:
        _ballast.append(bytearray(b"x") * (20 << 20))
