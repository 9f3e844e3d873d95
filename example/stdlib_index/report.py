"""The report: one JSON file that workers write, one at a time."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings


def report_path() -> Path:
    """Return where the report lies."""
    return Path(settings.STDLIB_REPORT)


def publish(find: Callable[[], Mapping[str, Any]]) -> int:
    """Write the report anew from what ``find`` returns; return how many sections it has.

    It is called while nobody else can write, so that a newer report is never replaced by an older
    one. Raises ``BlockingIOError`` at once when somebody else is writing.
    """
    path = report_path()
    with _exclusively(path.with_suffix(".lock")):
        sections = find()
        _replace(path, json.dumps(sections, indent=2, sort_keys=True))
    return len(sections)


def read_report() -> dict[str, Any]:
    """Return the whole report; empty when nobody has written yet."""
    try:
        report: dict[str, Any] = json.loads(report_path().read_text())
    except FileNotFoundError:
        return {}
    return report


@contextmanager
def _exclusively(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        # The kernel drops this lock with the process, so a killed worker never holds it for ever.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _replace(path: Path, text: str) -> None:
    """Put ``text`` in place of the file in one step: a reader sees the old one or the new one."""
    draft = path.with_suffix(".draft")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
