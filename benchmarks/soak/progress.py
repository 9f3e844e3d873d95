"""Shows how far a soak is: a bar on a terminal, else one line a minute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from benchmarks.soak.sampling import Values

_LINE_SECONDS: Final = 60


class Display(Protocol):
    """Takes in one sample after the other."""

    def __call__(self, values: Values) -> None:
        """Show it, if it is time."""


@contextlib.contextmanager
def display(seconds: float) -> Iterator[Display]:
    """Show samples for the length of the block, of a run that takes so many seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(seconds)
        return
    with Progress(BarColumn(20), TextColumn("{task.description}"), console=console) as bar:
        yield _Bar(bar, seconds)


class _Bar:
    """A live bar."""

    def __init__(self, progress: Progress, seconds: float) -> None:
        self._progress = progress
        self._seconds = seconds
        self._bar = progress.add_task("starting", total=seconds)

    def __call__(self, values: Values) -> None:
        done = values["seconds"] or 0.0
        words = _described(values, self._seconds)
        self._progress.update(self._bar, completed=done, description=words)


class _Lines:
    """A line at once, and then one a minute."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next_at = 0.0

    def __call__(self, values: Values) -> None:
        done = values["seconds"] or 0.0
        if done >= self._next_at:
            self._next_at = done + _LINE_SECONDS
            print(_described(values, self._seconds), flush=True)


def _described(values: Values, seconds: float) -> str:
    left = max(0.0, seconds - (values["seconds"] or 0.0))
    shown = {name: "-" if value is None else f"{value:,.0f}" for name, value in values.items()}
    return (
        f"{left / 60:.1f} min left, {shown.get('ended_per_second', '-')} tasks/s, "
        f"{shown['waiting']} waiting, manager {shown['manager_rss']} MB and "
        f"{shown['manager_fds']} files, {shown['dead_rows']} dead rows, {shown['table_mb']} MB"
    )
