"""The base of every verb of `manage.py partisan`, and the console that it writes to."""

from __future__ import annotations

import abc
import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.core.management.base import OutputWrapper

from django_partisan.management.options import add_option


class Console:
    """Where a verb writes: results to standard output, progress to a terminal's standard error."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._shown = 0

    def write(self, text: str) -> None:
        """Write one line of the result."""
        self.end_progress()
        self._stdout.write(text)

    def write_json(self, value: object) -> None:
        """Write the result for programs."""
        self.write(json.dumps(value, indent=2))

    def write_table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write rows under their heads; numbers are grouped and stand to the right."""
        lines = [list(head), *([_cell(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        numeric = [all(isinstance(v, int) for v in column) for column in zip(*rows, strict=True)]
        for line in lines:
            cells = [
                cell.rjust(width) if is_number else cell.ljust(width)
                for cell, width, is_number in zip(line, widths, numeric, strict=True)
            ]
            self.write("  ".join(cells).rstrip())

    def show_progress(self, label: str, done: int, total: int) -> None:
        """Draw a bar over the last one; does nothing where nobody watches."""
        if not self.is_watched:
            return
        share = min(1.0, done / total) if total else 1.0
        bar = "#" * round(share * 24)
        line = f"{label} [{bar:-<24}] {done:,} of {total:,} ({share:.0%})"
        self._stderr.write(f"\r{line:<{self._shown}}", style_func=str, ending="")
        self._stderr.flush()
        self._shown = len(line)

    def end_progress(self) -> None:
        """Wipe the bar, so that the next line starts on clean ground."""
        if self._shown:
            self._stderr.write("\r" + " " * self._shown + "\r", style_func=str, ending="")
            self._stderr.flush()
            self._shown = 0

    @property
    def is_watched(self) -> bool:
        """Whether a person looks at the progress: standard error is a terminal."""
        return bool(self._stderr.isatty())


class Verb(abc.ABC):
    """One verb of `manage.py partisan`: its arguments, and the work that it does."""

    summary: ClassVar[str]
    description: ClassVar[str]

    @abc.abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the verb takes."""

    @abc.abstractmethod
    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Do it and return the exit code; raises PartisanException with a message for people."""


def add_queue_argument(parser: ArgumentParser) -> None:
    """Add the option that names queues."""
    add_option(
        parser,
        "--queue_name",
        dest="queue_names",
        action="append",
        metavar="QUEUE",
        help="only this queue; repeat it for more (default: every queue of PARTISAN_CONFIG)",
    )


def add_format_argument(parser: ArgumentParser) -> None:
    """Add the choice between output for people and output for programs."""
    add_option(
        parser, "--format", choices=["table", "json"], default="table", help="default: table"
    )


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
