"""The limits of the system that a manager with its workers may meet."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.core import checks

from django_partisan.exceptions import ConfigurationError
from django_partisan.settings import PARTISAN_CONFIG, QueueSettings

DESCRIPTORS_OF_MANAGER: Final = 32
"""What a manager has open without workers: streams, pipes, database, libraries, with some room."""
DESCRIPTORS_OF_WORKER: Final = 5
"""What it has open for each worker: a channel, three ends of pipes, and the process itself."""
PROCESSES_OF_MANAGER: Final = 4
"""A manager with its two threads, and the process that starts workers."""
PROCESSES_OF_WORKER: Final = 3
"""A worker and its two threads, which count as well."""
_CGROUPS: Final = Path("/sys/fs/cgroup")


def check_limits(**_: Any) -> list[checks.CheckMessage]:
    """Report limits of this process that are too low for the manager with the most workers."""
    try:
        queues = list(PARTISAN_CONFIG.values())
    except ConfigurationError:
        return []  # Another check says so.
    count = max(queue.WORKERS_COUNT for queue in queues)
    descriptors = DESCRIPTORS_OF_MANAGER + DESCRIPTORS_OF_WORKER * count
    processes = PROCESSES_OF_MANAGER + max(map(_processes_of_workers, queues))
    messages: list[checks.CheckMessage] = []
    if (limit := _limit_of(resource.RLIMIT_NOFILE)) is not None and limit < descriptors:
        messages.append(
            checks.Warning(
                _too_low(count, descriptors, "file descriptors", limit),
                hint="Raise the limit (ulimit -n), or lower WORKERS_COUNT.",
                id="django_partisan.W011",
            )
        )
    limit = min(_limits_of_processes(), default=None)
    if limit is not None and limit < processes:
        messages.append(
            checks.Warning(
                _too_low(count, processes, "processes and threads", limit),
                hint="Raise the limit of the user (ulimit -u), of the service (TasksMax) or of the"
                " container (--pids-limit), or lower WORKERS_COUNT.",
                id="django_partisan.W012",
            )
        )
    return messages


def _processes_of_workers(queue: QueueSettings) -> int:
    """Return how many processes and threads the workers of a queue are."""
    beside = queue.CONCURRENCY if queue.CONCURRENCY > 1 else 0
    return (PROCESSES_OF_WORKER + beside) * queue.WORKERS_COUNT


def _limits_of_processes() -> Iterator[int]:
    """Yield how many processes and threads the user and each control group may have."""
    of_user = _limit_of(resource.RLIMIT_NPROC)
    if of_user is not None and os.geteuid():  # This one does not bind root.
        yield of_user
    for place in _places(Path("/proc/self/cgroup")):
        try:
            yield int((place / "pids.max").read_text())
        except (OSError, ValueError):  # There is none, or it says "max".
            continue


def _places(told: Path) -> Iterator[Path]:
    """Yield the directories of this process's control groups, which proc(5) tells, and above."""
    try:
        lines = told.read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers in {"", "pids"}:
            root, own = _CGROUPS / controllers, Path(path.lstrip("/"))
            yield from (root / each for each in (own, *own.parents))


def _limit_of(kind: int) -> int | None:
    limit = resource.getrlimit(kind)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _too_low(count: int, needed: int, what: str, limit: int) -> str:
    workers = "1 worker" if count == 1 else f"{count} workers"
    return (
        f"A manager with {workers} needs about {needed} {what}, and the limit here is {limit}: it "
        "will run fewer workers."
    )
