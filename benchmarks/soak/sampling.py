"""Takes samples: of the processes, and of what they keep in the database."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import psutil
from django.db import connection

from benchmarks.pss import is_known, pss_of
from benchmarks.soak.series import SERIES, Columns

_TABLES: Final = """
SELECT sum(n_dead_tup) AS dead_rows, sum(n_live_tup) AS live_rows,
       sum(pg_total_relation_size(relid)) / 1048576.0 AS table_mb,
       sum(autovacuum_count) AS vacuums
  FROM pg_stat_user_tables WHERE relname LIKE 'django_partisan_%%'"""
_TASKS: Final = """
WITH task AS (
    SELECT *, 1000 * extract(epoch FROM started_at - execute_after) AS pickup,
           started_at > statement_timestamp() - %(interval)s * interval '1 second'
           AND retries + postpones + rescues = 0 AS is_first
      FROM django_partisan_task)
SELECT count(*) AS rows,
       count(*) FILTER (WHERE status = 'new' AND execute_after <= statement_timestamp()) AS waiting,
       count(*) FILTER (WHERE status = 'in_process') AS in_process,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY pickup) FILTER (WHERE is_first) AS pickup_p50,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY pickup) FILTER (WHERE is_first) AS pickup_p99,
       (SELECT coalesce(max(id), 0) FROM soak_end) AS ended
  FROM task"""
ROLES: Final = {"partisan/launcher": "launcher", "partisan/worker": "worker"}

Values = dict[str, float | None]


class Sampler:
    """Takes samples of one engine; keeps which workers it has ever had."""

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]], interval: float) -> None:
        self._processes = processes
        self._interval = interval
        self._started = time.monotonic()
        self._former: tuple[float, float] | None = None
        self.workers: set[int] = set()
        self.vacuums = 0
        self.columns: Columns = {name: [] for name in ("seconds", *(s.name for s in SERIES))}

    @property
    def seconds(self) -> float:
        """How long it has been watching."""
        return time.monotonic() - self._started

    def take(self) -> Values:
        """Take one sample, keep and return it."""
        seconds = self.seconds
        processes = by_role(self._processes())
        self.workers.update(process.pid for process in processes["worker"])
        values = {"seconds": seconds, **of_processes(processes), **self._of_database(seconds)}
        for name, column in self.columns.items():
            value = values.get(name)
            column.append(None if value is None else round(value, 2))
        return values

    def _of_database(self, seconds: float) -> Values:
        values = _row(_TABLES) | _row(_TASKS, {"interval": self._interval})
        self.vacuums = int(values["vacuums"] or 0)
        ended = values["ended"] or 0.0
        if self._former is not None:
            then, before = self._former
            values["ended_per_second"] = (ended - before) / (seconds - then)
        self._former = seconds, ended
        return values


def by_role(processes: Iterable[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """Tell manager, launcher and workers apart; the manager comes first."""
    manager, *others = processes
    found = defaultdict(list, manager=[manager])
    for process in others:
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue  # it has just ended
        for beginning, role in ROLES.items():
            if title.startswith(beginning):
                found[role].append(process)
    return found


def of_processes(processes: Mapping[str, list[psutil.Process]]) -> Values:
    """Return memory in MB and open file descriptors of each role."""
    values: Values = {"processes": sum(len(those) for those in processes.values())}
    for role, those in processes.items():
        figures = [of for process in those if (of := _of_process(process)) is not None]
        if figures:
            values[f"{role}_rss"] = statistics.fmean(memory for memory, _ in figures)
            values[f"{role}_fds"] = statistics.median(count for _, count in figures)
    if is_known():
        every = [process for those in processes.values() for process in those]
        values["all_pss"] = sum(_pss_of(process) for process in every)
    return values


def _of_process(process: psutil.Process) -> tuple[float, int] | None:
    try:
        return process.memory_info().rss / (1 << 20), process.num_fds()
    except psutil.Error:
        return None


def _pss_of(process: psutil.Process) -> float:
    try:
        return pss_of(process.pid)
    except OSError:
        return 0.0


def _row(query: str, parameters: Mapping[str, Any] | None = None) -> Values:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or {})
        names = [column[0] for column in cursor.description]
        return {
            name: None if value is None else float(value)
            for name, value in zip(names, cursor.fetchone(), strict=True)
        }
