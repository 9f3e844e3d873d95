"""A process that enqueues on command: one line of JSON in, one line with what it did out."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

import django


def main() -> None:
    """Answer orders until the input ends; the first line of output says that it is ready."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    from django.db import connection

    connection.ensure_connection()
    print("ready", flush=True)
    for line in sys.stdin:
        print(_enqueue(**json.loads(line)), flush=True)


def _enqueue(*, seconds: float, first: int, step: int, notify: bool, atomic: bool) -> int:
    """Call ``.delay()`` for so many seconds; return how many tasks were accepted."""
    from django.db import transaction
    from django.test import override_settings

    from benchmarks.bench_app.partisan_tasks import UniqueNoop

    around: Any = transaction.atomic if atomic else contextlib.nullcontext
    accepted, deadline = 0, time.monotonic() + seconds
    with override_settings(PARTISAN_NOTIFY=notify):
        while time.monotonic() < deadline:
            with around():
                UniqueNoop(first + accepted * step).delay()
            accepted += 1
    return accepted


if __name__ == "__main__":
    main()
