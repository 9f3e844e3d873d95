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


@cache
def told() -> dict[str, Any]:
    """Return what the harness says: ``options``, ``settings``, URLs, ``work_seconds``."""
    found: dict[str, Any] = json.loads(os.environ[OPTIONS_VARIABLE])
    return found


def work(number: int) -> int:
    """Do the work of the task that every queue is measured with; return its number.

    That is a note in the ledger, and then as much computing as the harness says.
    """
    own_runs().mark(number)
    if seconds := told()["work_seconds"]:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
    return number
