"""Drain beside many tasks that must not start, which are out of the way of those that may.

They have the better priority. Their processor is paused, by ``pause()`` itself; or they have
expired, and a sweep has ended them. Both in turn with a plain drain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from django.db import connection

from benchmarks.bench_app.partisan_tasks import Noop
from benchmarks.drain import drain
from benchmarks.figures import Figure, Target, ratio
from benchmarks.measure import Scale
from benchmarks.rows import Rows, clear, fill, tidy
from django_partisan import lifecycle
from django_partisan.control import pause, pauses, resume
from django_partisan.lifecycle.expiry import EXPIRED_BATCH

TARGET: Final = Target(0.9, is_maximum=False)
FEW_PAIRS: Final = 4


def measure(scale: Scale) -> Iterator[Figure]:
    """Drain so many tasks beside a tenth of a million others, a few times each."""
    pairs = min(scale.pairs, FEW_PAIRS)
    for name, put_aside in {"paused": _paused, "expired and swept": _expired}.items():
        plain, beside, seconds = list[float](), list[float](), list[float]()
        for pair in range(pairs):
            for is_plain in (True, False) if pair % 2 else (False, True):
                clear()
                for row in pauses():
                    resume(processor=row.processor_class)
                if not is_plain:
                    fill(Rows(count=scale.million // 10, processor=Noop, priority=0))
                    seconds.append(_timed(put_aside))
                fill(Rows(count=scale.beside_tasks))
                tidy()
                (plain if is_plain else beside).append(drain(scale.beside_tasks))
        yield Figure.of_runs(f"100 k {name}: to move them aside", seconds, "s")
        yield ratio(f"drain beside 100 k {name}: rate / plain drain", beside, plain, TARGET)
    for row in pauses():
        resume(processor=row.processor_class)


def _paused() -> None:
    pause(processor=Noop)


def _expired() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_partisan_task SET expires_at = execute_after")
    while len(lifecycle.expire()) == EXPIRED_BATCH:
        pass
    # Else autovacuum goes through the attempts that tell of it during the drain.
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE django_partisan_attempt")


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
