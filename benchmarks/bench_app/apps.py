"""The app whose tasks the measures run; for comparison, it has one of two workers never tidy up."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import partial

from django.apps import AppConfig

UNTIDY_VARIABLE = "PARTISAN_BENCH_UNTIDY"
"""Which worker of two, 0 or 1, leaves sessions and processes as tasks leave them."""


class BenchAppConfig(AppConfig):
    """Replaces what a worker does between tasks where the environment says so."""

    name = "benchmarks.bench_app"
    tidies = True

    def ready(self) -> None:
        """Count the workers that are forked."""
        if untidy := os.environ.get(UNTIDY_VARIABLE):
            workers = itertools.count(int(untidy))
            begin = partial(_begin_worker, workers)
            os.register_at_fork(before=partial(next, workers), after_in_child=begin)


def _begin_worker(workers: Iterator[int]) -> None:
    if next(workers) % 2 == 0:
        return
    from django_partisan.worker import process, process_state

    BenchAppConfig.tidies = False
    # Sessions that nobody watches are not tidied either.
    setattr(process, "watch_connections", lambda: None)  # noqa: B010
    for name in ("prepare", "restore"):
        setattr(process_state.ProcessState, name, lambda *_: None)
