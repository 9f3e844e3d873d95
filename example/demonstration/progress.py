"""The work while it is done: a bar for a person, a line now and then for a file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from stdlib_index.queries import QueueCounts, queue_counts

from demonstration.manager import Manager, running_manager

LOOK_SECONDS = 0.25
LINE_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run of the demonstration did."""

    tasks: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return how many tasks were done in a second."""
        return self.tasks / self.seconds if self.seconds else 0.0


class Display(Protocol):
    """Something that shows the counts."""

    def __call__(self, counts: QueueCounts, run: Run) -> None:
        """Show them."""


def follow() -> Run:
    """Run a manager until nothing is waiting or running, and show how it gets on.

    Raises ``ManagerFailedError`` when it dies.
    """
    started, before = time.monotonic(), queue_counts().done
    with running_manager() as manager, _display() as show:
        run = Run(tasks=0, seconds=0)
        for counts in _until_done(manager):
            run = Run(tasks=counts.done - before, seconds=time.monotonic() - started)
            show(counts, run)
    return run


def _until_done(manager: Manager) -> Iterator[QueueCounts]:
    is_busy = True
    while is_busy:
        manager.check()
        counts = queue_counts()
        yield counts
        is_busy = counts.is_busy
        if is_busy:
            time.sleep(LOOK_SECONDS)


@contextmanager
def _display() -> Iterator[Display]:
    console = Console()
    if not console.is_terminal:
        yield _Lines()
        return
    bar = Progress(
        BarColumn(None), MofNCompleteColumn(), TextColumn("{task.description}"), expand=True
    )
    with bar:
        yield _Bar(bar)


class _Bar:
    """A live bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar = progress.add_task("starting", total=None)

    def __call__(self, counts: QueueCounts, run: Run) -> None:
        self._progress.update(
            self._bar, total=counts.total, completed=counts.done, description=_describe(counts, run)
        )


class _Lines:
    """A line every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def __call__(self, counts: QueueCounts, run: Run) -> None:
        if time.monotonic() >= self._next_at or not counts.is_busy:
            self._next_at = time.monotonic() + LINE_SECONDS
            print(f"{counts.done:,} of {counts.total:,} done, {_describe(counts, run)}", flush=True)


def _describe(counts: QueueCounts, run: Run) -> str:
    return (
        f"{counts.waiting:,} waiting, {counts.running:,} in process, "
        f"{counts.failed:,} errors, {run.rate:,.0f} tasks/s"
    )
