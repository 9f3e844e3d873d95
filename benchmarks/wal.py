"""WAL: how many bytes and how many writing commits a task costs from bulk enqueue to finished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import connection

from benchmarks.bench_app.partisan_tasks import Noop, UniqueNoop
from benchmarks.drain import drain
from benchmarks.figures import Figure, Target
from benchmarks.rows import Rows, clear, fill, tidy

TARGET: Final = Target(bound=2, is_maximum=True)


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """How far the server has come: bytes of WAL, and transactions that wrote something."""

    bytes: int
    commits: int

    @classmethod
    def now(cls) -> _Mark:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,"
                " pg_snapshot_xmax(pg_current_snapshot())"
            )
            position, commits = cursor.fetchone()
        return cls(bytes=int(position), commits=int(commits))


def measure(tasks: int, runs: int) -> Iterator[Figure]:
    """Enqueue ``tasks`` by one statement and drain them, right after a checkpoint."""
    for processor in (UniqueNoop, Noop):
        marks = [_marks(processor, tasks) for _ in range(runs)]
        kind = "unique" if processor.UNIQUE_FOR_PARAMS else "not unique"
        per_task = [(end.bytes - begin.bytes) / 1024 / tasks for begin, _, end in marks]
        enqueue = [(stored.bytes - begin.bytes) / 1024 / tasks for begin, stored, _ in marks]
        commits = [(end.commits - begin.commits) / tasks for begin, _, end in marks]
        yield Figure.of_runs(f"WAL per task, {kind}", per_task, "KiB", TARGET)
        yield Figure.of_runs(f"WAL per task, {kind}, enqueue alone", enqueue, "KiB")
        yield Figure.of_runs(f"commits per 1,000 tasks, {kind}", [1000 * c for c in commits], "")


def _marks(processor: type[Noop], tasks: int) -> tuple[_Mark, _Mark, _Mark]:
    clear()
    tidy()
    begin = _Mark.now()
    fill(Rows(count=tasks, processor=processor))
    stored = _Mark.now()
    drain(tasks)
    return begin, stored, _Mark.now()
