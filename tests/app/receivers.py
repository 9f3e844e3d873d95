"""Receivers of signals; a process connects those that the setting TESTS_RECEIVERS names."""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

from django.db import connection, connections, transaction

from django_partisan import signals
from django_partisan.signals import (
    PartisanSignal,
    task_enqueued,
    task_failed,
    task_finished,
    task_started,
)
from tests.app.models import Ledger

ALL = [each for each in vars(signals).values() if isinstance(each, PartisanSignal)]
_calls = itertools.count()


def note_all() -> None:
    for each in ALL:
        each.connect(note)


def note(signal: PartisanSignal, task: Any = None, exit_code: int = 0, **_: Any) -> None:
    Ledger.objects.create(
        task_id=0 if task is None else task.pk,
        note=signal.name,
        pid=os.getpid(),
        attempt=exit_code,
    )


def misbehave() -> None:
    """Connect receivers that do all that a receiver should not, and those that follow up."""
    for each in (end_process, raise_error, leave_transaction, abandon_block, close_all, limit):
        for signal in (task_started, task_finished):
            signal.connect(each)
    task_failed.connect(follow_up)
    task_enqueued.connect(note)


def end_process(**_: Any) -> None:
    if next(_calls) % 2:
        sys.exit("a receiver wants to end its process")


def raise_error(**_: Any) -> None:
    raise ValueError("a receiver is broken")


def leave_transaction(**_: Any) -> None:
    transaction.set_autocommit(False)
    Ledger.objects.create(task_id=0, note="never committed")


def abandon_block(**_: Any) -> None:
    transaction.atomic().__enter__()
    Ledger.objects.create(task_id=0, note="never committed")


def close_all(**_: Any) -> None:
    connections.close_all()


def limit(**_: Any) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 1; SET search_path = nowhere")


def follow_up(**_: Any) -> None:
    from tests.app.partisan_tasks import Note

    Note("follow up").delay()
