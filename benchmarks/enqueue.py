"""Enqueue: ``.delay()`` beside a bare ``Task.objects.create`` of the same row; batches."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator

from django.db import connection, transaction

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop
from benchmarks.figures import BenchError, Figure, Target, ratio
from benchmarks.measure import Scale
from benchmarks.rows import clear
from django_partisan.models import Task

TARGET = Target(1.0, is_maximum=True)
BATCH_TARGETS = {
    Noop: Target(40_000, is_maximum=False),
    UniqueNoop: Target(30_000, is_maximum=False),
}
KINDS = {Noop: "not unique", UniqueNoop: "unique"}
_Block = Callable[[type[Noop], list[uuid.UUID]], None]


def measure(scale: Scale) -> Iterator[Figure]:
    """Time blocks of ``scale.calls`` calls of each kind, now one first, now the other; batches."""
    for processor in (Noop, UniqueNoop):
        for in_transaction in (False, True):
            yield from _compare(processor, in_transaction, scale.calls, scale.pairs)
    rates: dict[type[Noop], list[float]] = {processor: [] for processor in BATCH_TARGETS}
    for _ in range(scale.runs):
        for processor, results in rates.items():
            results.append(_enqueue_batch(processor, scale.tasks))
    for processor, results in rates.items():
        name = f".delay_many() of {scale.tasks:,}, {KINDS[processor]}"
        target = BATCH_TARGETS[processor] if connection.vendor == "postgresql" else None
        yield Figure.of_runs(name, results, "tasks/s", target)


def _enqueue_batch(processor: type[Noop], tasks: int) -> float:
    """Return tasks per second, from tuples to committed rows and their Task instances."""
    clear()
    items = [(uuid.uuid4().hex,) for _ in range(tasks)]
    started = time.perf_counter()
    stored = processor.delay_many(items)
    seconds = time.perf_counter() - started
    rows = Task.objects.in_bulk([task.pk for task in stored])
    if [(rows[task.pk].arguments["args"][0],) for task in stored] != items:
        raise BenchError("The tasks that were stored are not those of the items.")
    return tasks / seconds


def _compare(
    processor: type[Noop], in_transaction: bool, calls: int, pairs: int
) -> Iterator[Figure]:
    clear()
    blocks = (_delays, _creates)
    seconds: dict[_Block, list[float]] = {block: [] for block in blocks}
    for block in blocks:
        _timed(block, processor, in_transaction, calls)  # a warm-up that does not count
    for pair in range(pairs):
        for block in blocks if pair % 2 else reversed(blocks):
            seconds[block].append(_timed(block, processor, in_transaction, calls))
    place = "in one transaction" if in_transaction else "each its own transaction"
    name = f".delay() {KINDS[processor]}, {place}"
    rates = [calls / spent for spent in seconds[_delays]]
    yield Figure.of_runs(name, rates, "calls/s")
    yield ratio(f"{name}: time / bare create()", seconds[_delays], seconds[_creates], TARGET)


def _timed(block: _Block, processor: type[Noop], in_transaction: bool, calls: int) -> float:
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
