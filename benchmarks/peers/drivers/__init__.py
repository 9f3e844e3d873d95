"""One module for each task queue that is measured; each runs in an environment of its own.

A driver has a task, which calls :func:`work`, and functions: ``prepare()`` where something must
exist, ``enqueue_many(numbers)`` enqueues in the fastest documented way, ``enqueue_one(number)``
in the usual way, and ``is_recorded(tasks)`` says whether the queue knows so many tasks as done.
"""

from __future__ import annotations

import json
import os
import time
from functools import cache
from typing import Any

from tools.ledger import own_runs

OPTIONS_VARIABLE = "PEER_OPTIONS"
COMPUTE_SECONDS = 0.005


@cache
def told() -> dict[str, Any]:
    """Return what the harness says: ``options``, ``settings``, URLs, ``work``, ``max_age``."""
    found: dict[str, Any] = json.loads(os.environ[OPTIONS_VARIABLE])
    return found


def work(number: int) -> int:
    """Do the work of the task that every queue is measured with; return its number.

    That is a note in the ledger, and then what the harness says.
    """
    own_runs().mark(number)
    if told()["work"] == "compute":
        end = time.thread_time() + COMPUTE_SECONDS
        while time.thread_time() < end:
            pass
    elif told()["work"] == "orm":
        from benchmarks.bench_app.models import read_and_write  # which has to be set up first

        read_and_write(number)
    return number


def work_in_django(number: int) -> int:
    """Do the same, and in Django what a queue's integration with it does around each task."""
    if told()["work"] != "orm":
        return work(number)
    from django.db import close_old_connections

    close_old_connections()
    try:
        return work(number)
    finally:
        close_old_connections()


async def work_in_loop(number: int) -> int:
    """Do the same in an event loop, where Django needs a thread."""
    if told()["work"] != "orm":
        return work(number)
    from asgiref.sync import sync_to_async

    return await sync_to_async(work_in_django)(number)


def set_up_orm() -> None:
    """Set Django up where tasks use it."""
    if told()["work"] == "orm":
        import django

        django.setup()
