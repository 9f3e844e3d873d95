"""The task queues that are measured, and the settings they are measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

WORKERS: Final = 2
"""How many workers, or what comes closest, each queue gets."""
Work = Literal["nothing", "compute", "orm"]
"""What tasks do: no more than a note that they ran; compute for 5 ms, as waiting would measure
threads and loops only; or read and write one row of PostgreSQL (of SQLite with that) by Django."""
Store = Literal["PostgreSQL", "Redis", "SQLite"]


class Variant(NamedTuple):
    """One way to run a queue: its default settings, or its best documented ones."""

    name: str
    store: Store
    says: str
    arguments: Sequence[str] = ()
    """Of the command of its workers, besides those that every variant has."""
    options: Mapping[str, Any] = {}
    """For the driver."""
    poll_seconds: float = 0.1
    """How long an idle worker sleeps; the pauses between pick-ups are spread over as much."""


class Peer(NamedTuple):
    """A task queue, the environment it needs, and its variants."""

    name: str
    driver: str
    requirements: Sequence[str]
    distributions: Sequence[str]
    """Those whose versions decide the figures."""
    worker: Sequence[str]
    """The command of its workers, without the environment's ``bin`` directory."""
    variants: Sequence[Variant]
    copies: int = 1
    """How many of the command are started."""
    isolation: str = "worker processes"
    """Where the code of a task runs: it decides what one bad task can take along."""
    settings: Mapping[str, Any] = {}
    """For Django."""
    share: float = 1
    """Of the tasks that a drain has: a slow queue would take minutes for all of them."""


_DJANGO: Final = ("python", "-m", "django")
_ORM: Final = ("Django>=5.2,<5.3", "psycopg[binary]>=3.2")
_DRIVERS: Final = "benchmarks.peers.drivers"
_QUIET_CELERY: Final = ("--without-gossip", "--without-mingle", "--without-heartbeat")
_TEN: Final = ("--concurrency=10",)
_QUICK_HUEY: Final = ("--no-periodic", "--delay=0.01", "--max-delay=0.1", "--quiet")


def _ours(name: str, driver: str, distribution: str, extra: str, *others: Variant) -> Peer:
    return Peer(
        name=name,
        driver="partisan",
        requirements=("-e", f".{extra}"),
        distributions=("django-partisan", "Django", distribution),
        worker=(*_DJANGO, "start_partisan", f"--workers_count={WORKERS}"),
        settings={"INSTALLED_APPS": ["django_partisan"]},
        variants=(
            Variant("default", "PostgreSQL", f"{driver}, unique tasks"),
            Variant("best", "PostgreSQL", f"{driver}, not unique", options={"free": True}),
            *others,
        ),
    )


PEERS: Final = (
    _ours(
        *("django-partisan", "psycopg 2", "psycopg2-binary", ""),
        Variant("default, SQLite", "SQLite", "unique tasks"),
    ),
    _ours("django-partisan (psycopg 3)", "psycopg 3", "psycopg", "[psycopg3]"),
    Peer(
        name="pgqueuer",
        driver="pgqueuer",
        # The command line of pgqueuer 1.6.0 fails with a newer typer.
        requirements=("pgqueuer[asyncpg]>=1.6", "typer<0.29", *_ORM),
        distributions=("pgqueuer", "asyncpg"),
        worker=("python", "-m", "pgqueuer", "run", f"{_DRIVERS}.pgqueuer:factory"),
        copies=WORKERS,
        isolation="2 event loops",
        variants=(
            Variant("default", "PostgreSQL", "asyncpg, batch 10"),
            Variant("best", "PostgreSQL", "asyncpg, batch 500", ["--batch-size=500"]),
        ),
    ),
    Peer(
        name="procrastinate",
        driver="procrastinate",
        requirements=("procrastinate>=3.10", *_ORM),
        distributions=("procrastinate", "psycopg"),
        worker=("procrastinate", f"--app={_DRIVERS}.procrastinate.app", "worker"),
        copies=WORKERS,
        isolation="2 event loops, threads",
        share=0.3,
        variants=(
            Variant("default", "PostgreSQL", "concurrency 1"),
            Variant("best", "PostgreSQL", "concurrency 10, async tasks", _TEN, {"async": True}),
        ),
    ),
    Peer(
        name="Celery",
        driver="celery",
        requirements=("celery[redis]>=5.7", *_ORM),
        distributions=("celery", "redis"),
        worker=("celery", "-A", f"{_DRIVERS}.celery", "worker", f"--concurrency={WORKERS}"),
        share=0.5,
        variants=(
            Variant("default", "Redis", "prefork, results in Redis"),
            Variant(
                *("best", "Redis", "prefetch 128, no gossip, mingle, heartbeat"),
                *(_QUIET_CELERY, {"worker_prefetch_multiplier": 128}),
            ),
        ),
    ),
    Peer(
        name="huey",
        driver="huey",
        requirements=("huey>=3.5", "redis>=5", *_ORM),
        distributions=("huey", "redis"),
        worker=("huey_consumer", f"{_DRIVERS}.huey.huey", "--workers=2", "--worker-type=process"),
        variants=(
            Variant("default", "Redis", "2 processes"),
            Variant("best", "Redis", "no periodic tasks, no log", _QUICK_HUEY),
            Variant("default, SQLite", "SQLite", "2 processes", poll_seconds=0.3),
            Variant("best, SQLite", "SQLite", "polls every 10-100 ms, no log", _QUICK_HUEY),
        ),
    ),
    Peer(
        name="django-tasks-db",
        driver="django_tasks_db",
        requirements=("django-tasks-db[compat]>=0.13", "django-tasks>=0.12", *_ORM),
        distributions=("django-tasks-db", "django-tasks", "Django", "psycopg"),
        worker=(*_DJANGO, "db_worker"),
        copies=WORKERS,
        settings={
            "INSTALLED_APPS": ["django_tasks", "django_tasks_db"],
            "TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
        },
        share=0.1,
        variants=(
            Variant("default", "PostgreSQL", "two processes", poll_seconds=1),
            Variant(
                *("best", "PostgreSQL", "connections kept, polls every 0.1 s"), ["--interval=0.1"]
            ),
        ),
    ),
)
