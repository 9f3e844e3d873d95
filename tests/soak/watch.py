"""What is watched over time, and the rule that each series is held to."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import psutil
from django.db import connection

LEAST_MINUTES: Final = 8
"""In a shorter run a quarter holds too few rounds of recycling, pruning and autovacuum to tell."""


class Rule(NamedTuple):
    """How far the last quarter of a series may be above its second one; the first is warm-up."""

    of_quarter: Callable[[Sequence[float]], float]
    limit: Callable[[float], float]
    words: str


MEMORY: Final = Rule(
    statistics.median, lambda before: min(1.05 * before, before + 2), "median, ≤ + 5 %, + 2 MB"
)
STEADY: Final = Rule(statistics.median, lambda before: before, "median, no growth")
BOUNDED: Final = Rule(max, lambda before: 1.25 * before, "maximum, ≤ + 25 %")
BACKLOG: Final = Rule(statistics.median, lambda before: before + 100, "median, ≤ + 100")

RULES: Final = {
    "memory of the manager, MB": MEMORY,
    "memory of the launcher, MB": MEMORY,
    "memory of a worker, MB": BOUNDED,
    "file descriptors of the manager": STEADY,
    "file descriptors of the launcher": STEADY,
    "file descriptors of a worker": STEADY,
    "processes": STEADY,
    "dead rows": BOUNDED,
    "tasks in the table": BOUNDED,
    "tables with indexes, MB": BOUNDED,
    "tasks due and waiting": BACKLOG,
}
_TABLES: Final = """
SELECT sum(n_dead_tup), sum(pg_total_relation_size(relid)) / 1048576.0, sum(autovacuum_count)
  FROM pg_stat_user_tables WHERE relname LIKE 'django_partisan_%'"""
_TASKS: Final = """
SELECT count(*),
       count(*) FILTER (WHERE status = 'new' AND execute_after <= statement_timestamp())
  FROM django_partisan_task"""
_ROLES: Final = {
    "partisan/launcher": "the launcher",
    "partisan/worker": "a worker",
    "": "another",
}

Sample = dict[str, float]


class Verdict(NamedTuple):
    """What became of one series."""

    series: str
    before: float
    after: float

    @property
    def is_flat(self) -> bool:
        """Whether the last quarter keeps to the rule."""
        return self.after <= RULES[self.series].limit(self.before)


class Watch:
    """Takes samples of one engine; keeps which workers it has ever had."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.samples: list[tuple[float, Sample]] = []
        self.workers: set[int] = set()
        self.vacuums = 0

    @property
    def seconds(self) -> float:
        """How long it has been watching."""
        return time.monotonic() - self._started

    @property
    def is_short(self) -> bool:
        """Whether what was seen is too short to tell whether anything grows."""
        return not self.samples or self.samples[-1][0] < 59 * LEAST_MINUTES

    def take(self, processes: Iterable[psutil.Process]) -> Sample:
        """Take one sample, keep and return it."""
        of_role = by_role(processes)
        self.workers.update(process.pid for process in of_role["a worker"])
        dead, size, self.vacuums = _row(_TABLES)
        rows, waiting = _row(_TASKS)
        sample = {
            **_of_processes(of_role),
            "dead rows": float(dead),
            "tables with indexes, MB": float(size),
            "tasks in the table": float(rows),
            "tasks due and waiting": float(waiting),
        }
        self.samples.append((self.seconds, sample))
        return sample


def verdicts(samples: Sequence[tuple[float, Sample]]) -> list[Verdict]:
    """Hold every series that has enough samples to its rule."""
    quarter = samples[-1][0] / 4 if samples else 0
    found = []
    for series, rule in RULES.items():
        of = [(moment, sample[series]) for moment, sample in samples if series in sample]
        second = [value for moment, value in of if quarter <= moment < 2 * quarter]
        last = [value for moment, value in of if moment >= 3 * quarter]
        if second and last:
            found.append(Verdict(series, rule.of_quarter(second), rule.of_quarter(last)))
    return found


def by_role(processes: Iterable[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """Tell manager, launcher and workers apart; the manager comes first."""
    manager, *others = processes
    found = defaultdict(list, {"the manager": [manager]})
    for process in others:
        with contextlib.suppress(psutil.Error):  # it has just ended
            title = " ".join(process.cmdline())
            found[next(role for start, role in _ROLES.items() if title.startswith(start))] += [
                process
            ]
    return found


def _of_processes(of_role: dict[str, list[psutil.Process]]) -> Sample:
    sample = {"processes": float(sum(map(len, of_role.values())))}
    for role, processes in of_role.items():
        memory, files = list[float](), list[int]()
        for process in processes:
            with contextlib.suppress(psutil.Error):
                used, count = process.memory_info().rss / (1 << 20), process.num_fds()
                memory, files = [*memory, used], [*files, count]
        if memory:
            sample[f"memory of {role}, MB"] = statistics.fmean(memory)
            sample[f"file descriptors of {role}"] = statistics.median(files)
    return sample


def _row(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()
