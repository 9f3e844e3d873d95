"""Enqueue: what ``.delay()`` costs beside a bare ``Task.objects.create`` of the same row."""

from __future__ import annotations

import contextlib
import statistics
import time
import uuid
from collections.abc import Callable, Iterator

from django.db import transaction

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop
from benchmarks.figures import Figure, Target
from benchmarks.rows import clear
from django_partisan.models import Task

TARGET = Target(bound=1.2, is_maximum=True)


def measure(calls: int, pairs: int) -> Iterator[Figure]:
    """Time ``pairs`` of blocks of ``calls`` calls of each kind, now one first, now the other."""
    for processor in (Noop, UniqueNoop):
        for in_transaction in (False, True):
            yield from _compare(processor, in_transaction, calls, pairs)


def _compare(
    processor: type[Noop], in_transaction: bool, calls: int, pairs: int
) -> Iterator[Figure]:
    clear()
    blocks = (_delays, _creates)
    seconds: dict[Callable[..., None], list[float]] = {block: [] for block in blocks}
    for block in blocks:
        _timed(block, processor, in_transaction, calls)  # a warm-up that does not count
    for pair in range(pairs):
        for block in blocks if pair % 2 else reversed(blocks):
            seconds[block].append(_timed(block, processor, in_transaction, calls))
    ratios = [
        delay / create for delay, create in zip(seconds[_delays], seconds[_creates], strict=True)
    ]
    kind = "unique" if processor.UNIQUE_FOR_PARAMS else "not unique"
    place = "in one transaction" if in_transaction else "each its own transaction"
    name = f".delay() {kind}, {place}"
    rates = [calls / spent for spent in seconds[_delays]]
    yield Figure.of_runs(name, rates, "calls/s")
    # The ratio of one pair swings with the machine; its median is what the target is about.
    yield Figure(
        measure=f"{name}: time / bare create()",
        value=statistics.median(ratios),
        unit="times",
        runs=ratios,
        target=TARGET,
    )


def _timed(
    block: Callable[[type[Noop], list[uuid.UUID]], None],
    processor: type[Noop],
    in_transaction: bool,
    calls: int,
) -> float:
    keys = [uuid.uuid4() for _ in range(calls)]
    around = transaction.atomic() if in_transaction else contextlib.nullcontext()
    started = time.perf_counter()
    # The commit is timed as well: .delay() has its notification sent right after it.
    with around:
        block(processor, keys)
    return time.perf_counter() - started


def _delays(processor: type[Noop], keys: list[uuid.UUID]) -> None:
    for key in keys:
        processor(key.hex).delay()


def _creates(processor: type[Noop], keys: list[uuid.UUID]) -> None:
    name, priority = processor("").processor_name, processor.PRIORITY
    for key in keys:
        unique = key if processor.UNIQUE_FOR_PARAMS else None
        Task.objects.create(
            processor_class=name,
            priority=priority,
            arguments={"args": [key.hex], "kwargs": {}},
            unique_hash=unique,
            unique_key=unique,
        )
