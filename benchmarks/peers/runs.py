"""One run of one variant of a queue: a drain, or single tasks for idle workers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import BenchError
from benchmarks.peers.child import WARM_UP
from benchmarks.peers.drivers.options import (
    DATABASE_VARIABLE,
    OPTIONS_VARIABLE,
    REDIS_VARIABLE,
    SETTINGS_VARIABLE,
)
from benchmarks.peers.environments import ROOT, Environment, environment
from benchmarks.peers.journal import JOURNAL_VARIABLE, WORK_VARIABLE, Journal
from benchmarks.peers.peer import Variant
from benchmarks.peers.stores import Stores
from benchmarks.peers.workers import Workers, running_workers

DRAIN_SECONDS: Final = 90


@dataclass(frozen=True, kw_only=True)
class Drain:
    """What a drain showed, in tasks per second and without the start of any process."""

    tasks: int
    recorded: float
    """From the first start of a task until the queue knew every task as done."""
    run: float
    """From the first start of a task to the last one."""
    bulk: float
    """Enqueued in the fastest documented way."""


@dataclass(frozen=True, kw_only=True)
class Singles:
    """What single tasks showed: enqueued per second, and the wait of each in milliseconds."""

    enqueued: float
    waits: list[float]


def drain(
    place: Environment, variant: Variant, stores: Stores, tasks: int, work_seconds: float = 0
) -> Drain:
    """Let two workers empty a queue in which ``tasks`` tasks wait; check that each ran once.

    Each of them takes ``work_seconds`` of a CPU.
    """
    with _prepared(variant, stores, tasks) as (variables, journal):
        variables[WORK_VARIABLE] = str(work_seconds)
        filled = place.ask("fill", tasks, variables=variables)
        stores.settle(variant.store)
        with _watching(place, variables, tasks) as watcher:
            with running_workers(place, variant, variables) as workers:
                moments = _answer(watcher, workers)
            _check(journal, tasks)
    return Drain(
        tasks=tasks,
        recorded=tasks / (moments["recorded"] - moments["first"]) * 1e9,
        run=tasks / max(1, moments["last"] - moments["first"]) * 1e9,
        bulk=tasks / filled,
    )


def singles(
    place: Environment, variant: Variant, stores: Stores, calls: int, pickups: int
) -> Singles:
    """Enqueue ``calls`` tasks one by one, then ``pickups`` for workers that wait for them."""
    tasks = calls + WARM_UP + pickups
    with _prepared(variant, stores, tasks) as (variables, journal):
        place.ask("fill", 0, variables=variables)
        seconds = place.ask("singles", calls, variables=variables)
        with (
            _watching(place, variables, calls) as watcher,
            running_workers(place, variant, variables) as workers,
        ):
            _answer(watcher, workers)
            pause = variant.poll_seconds
            waits = place.ask("pickups", calls, pickups, pause, variables=variables)
        _check(journal, tasks)
    return Singles(enqueued=calls / seconds, waits=waits)


@contextlib.contextmanager
def _prepared(
    variant: Variant, stores: Stores, tasks: int
) -> Iterator[tuple[dict[str, str], Journal]]:
    with tempfile.TemporaryDirectory(prefix="partisan-bench-") as directory:
        path = Path(directory) / "journal"
        Journal.create(path, tasks)
        with stores.empty(variant.store) as urls:
            yield _variables(variant, urls, path), Journal(path)


def _variables(variant: Variant, urls: dict[str, str], journal: Path) -> dict[str, str]:
    return {
        **variant.variables,
        "DJANGO_SETTINGS_MODULE": "benchmarks.peers.drivers.django_settings",
        DATABASE_VARIABLE: urls["database"],
        REDIS_VARIABLE: urls["redis"],
        OPTIONS_VARIABLE: json.dumps(variant.options),
        SETTINGS_VARIABLE: json.dumps(variant.settings),
        JOURNAL_VARIABLE: str(journal),
    }


@contextlib.contextmanager
def _watching(
    place: Environment, variables: dict[str, str], tasks: int
) -> Iterator[subprocess.Popen[str]]:
    """Start the process that waits for the end of the tasks; go on when it is ready."""
    watcher = subprocess.Popen(
        place.child("watch", tasks, DRAIN_SECONDS),
        cwd=ROOT,
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert watcher.stdout is not None
        if watcher.stdout.readline().strip() != "ready":
            raise BenchError("its driver does not run")
        yield watcher
    finally:
        watcher.kill()
        watcher.communicate()


def _answer(watcher: subprocess.Popen[str], workers: Workers) -> dict[str, Any]:
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = watcher.communicate(timeout=1)
            break
        if workers.has_ended():
            raise BenchError(f"its workers ended: {workers.last_words()}")
    if watcher.returncode != 0:
        raise BenchError(f"not done after {DRAIN_SECONDS} s: {workers.last_words()}")
    moments: dict[str, Any] = json.loads(output)
    return moments


def _check(journal: Journal, tasks: int) -> None:
    runs = journal.runs(tasks)
    if runs != {1: tasks}:
        raise BenchError(f"not every task ran exactly once: (times run: tasks) {dict(runs)}")
