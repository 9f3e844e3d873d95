"""What came of it, in a few lines."""

import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from django.conf import settings
from stdlib_index.queries import failures, flow_progress, library_totals, packages_by_size

from demonstration.preparation import PASSWORD, USER
from demonstration.progress import Run

SHOWN_PACKAGES = 3


def print_summary(run: Run) -> None:
    """Print modules, tasks by outcome, speed, largest packages, what failed, where to look."""
    print()
    for label, *lines in (_modules(), _tasks(run), _packages(), _failures(), _pages()):
        for first, line in zip_longest([label], lines, fillvalue=""):
            print(f"{first:<14}{line}")


def _modules() -> Iterator[str]:
    totals = library_totals()
    yield "Modules"
    yield (
        f"{totals.modules_count:,} with {totals.lines:,} lines, {totals.functions:,} functions, "
        f"{totals.classes:,} classes"
    )


def _tasks(run: Run) -> Iterator[str]:
    progress = flow_progress()
    finished = progress.done - progress.failed - progress.cancelled
    yield "Tasks"
    yield f"{finished:,} finished, {progress.failed:,} in error"
    yield f"this run: {run.tasks:,} tasks in {run.seconds:.1f} s, {run.rate:,.0f} tasks/s"


def _packages() -> Iterator[str]:
    yield "Largest"
    for package in packages_by_size()[:SHOWN_PACKAGES]:
        coverage = f"{package.coverage:.0f} % with a docstring"
        yield f"{package.name:<18}{package.lines:>9,} lines, {coverage}"


def _failures() -> Iterator[str]:
    yield "Did not parse"
    found = failures()
    for failure in found[:1]:
        yield f"{failure.subject}: {failure.error}: {failure.message}"
    if len(found) > 1:
        yield f"and {len(found) - 1} more"


def _pages() -> Iterator[str]:
    database = Path(settings.DATA).name
    yield "Look at it"
    yield f"make demo-serve DB={database}, then open http://127.0.0.1:8000/"
    yield f"and http://127.0.0.1:8000/admin/ (user {USER}, password {PASSWORD})"
    yield f"the manager's log: {os.path.relpath(settings.DATA)}/manager.log"
