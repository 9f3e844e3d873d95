"""The work while it is done: a bar for a person, a line now and then for a file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from stdlib_index.queries import flow_progress

from demonstration.manager import Manager, running_manager
from django_partisan.flows import FlowProgress

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
    """Something that shows how far it is."""

    def __call__(self, progress: FlowProgress, run: Run) -> None:
        """Show them."""


def follow() -> Run:
    """Run a manager until nothing is waiting or running, and show how it gets on.

    Raises ``ManagerFailedError`` when it dies.
    """
    started, before = time.monotonic(), flow_progress().done
    with running_manager() as manager, _display() as show:
        run = Run(tasks=0, seconds=0)
        for progress in _until_done(manager):
            run = Run(tasks=progress.done - before, seconds=time.monotonic() - started)
            show(progress, run)
    return run


def _until_done(manager: Manager) -> Iterator[FlowProgress]:
    is_busy = True
    while is_busy:
        manager.check()
        progress = flow_progress()
        yield progress
        is_busy = not progress.is_done
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

    def __call__(self, progress: FlowProgress, run: Run) -> None:
        self._progress.update(
            self._bar,
            total=progress.total,
            completed=progress.done,
            description=_describe(progress, run),
        )


class _Lines:
    """A line every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def __call__(self, progress: FlowProgress, run: Run) -> None:
        if time.monotonic() >= self._next_at or progress.is_done:
            self._next_at = time.monotonic() + LINE_SECONDS
            print(
                f"{progress.done:,} of {progress.total:,} done, {_describe(progress, run)}",
                flush=True,
            )


def _describe(progress: FlowProgress, run: Run) -> str:
    waiting = progress.total - progress.done - progress.running
    return (
        f"{waiting:,} waiting, {progress.running:,} in process, "
        f"{progress.failed:,} errors, {run.rate:,.0f} tasks/s"
    )
