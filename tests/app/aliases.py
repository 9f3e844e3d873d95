"""Tasks of a project with several databases, and a router by which tasks are in the second."""

from __future__ import annotations

from typing import Any

from django.db import connections

from django_partisan.processor import BaseTaskProcessor
from django_partisan.registry import registry
from tests.app.models import Ledger
from tests.app.noted import Noted

SECOND = "second"
_CHANGE = {"postgresql": "SET lock_timeout = '54321'", "sqlite": "PRAGMA cache_size = 123"}
_FOUND = {"postgresql": "SHOW lock_timeout", "sqlite": "PRAGMA cache_size"}


class EverythingInSecond:
    """The router of a project whose default database is none at all."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return SECOND

    def db_for_write(self, model: object, **hints: object) -> str:
        return SECOND


@registry.register
class LeaveMuchInSecond(Noted):
    """Writes by the second alias, changes its session, and leaves a transaction open there."""

    def run(self) -> Any:
        self.write("started")
        second = connections[SECOND]
        with second.cursor() as cursor:
            cursor.execute(_CHANGE[second.vendor])
        self.write_there("kept")
        second.set_autocommit(False)
        self.write_there("left open")
        return self.proof()

    def write_there(self, note: str) -> None:
        Ledger.objects.using(SECOND).create(task_id=self.task.id, note=note, **self.proof())


@registry.register
class TellOfSecond(BaseTaskProcessor):
    """Returns what it finds of the session of the second alias."""

    UNIQUE_FOR_PARAMS = False

    def run(self) -> list[Any]:
        second = connections[SECOND]
        with second.cursor() as cursor:
            cursor.execute(_FOUND[second.vendor])
            return [*cursor.fetchone(), second.get_autocommit()]


@registry.register
class EnqueueAnother(Noted):
    def work(self) -> None:
        TellOfSecond().delay()
