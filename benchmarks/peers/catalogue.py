"""The task queues that are measured, and the settings they are measured with."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.peers.peer import WORKERS, Peer, Store, Variant

_DJANGO: Final = "Django>=5.2,<5.3"
_PSYCOPG: Final = "psycopg[binary]>=3.2"
_APP: Final = "benchmarks.peers.drivers"
_IN_PROCESSES: Final = "worker processes"


def _ours(name: str, driver: str) -> Peer:
    command = ("python", "-m", "django", "start_partisan", f"--workers_count={WORKERS}")
    settings = {"INSTALLED_APPS": ["django_partisan", "benchmarks.peers.partisan_app"]}

    def variant(title: str, store: Store, says: str, *, free: bool = False) -> Variant:
        return Variant(
            name=title,
            store=store,
            worker=command,
            says=says,
            settings=settings,
            options={"free": free},
        )

    variants = [
        variant("default", "PostgreSQL", f"{driver}, unique tasks"),
        variant("best", "PostgreSQL", f"{driver}, not unique", free=True),
    ]
    if driver == "psycopg 2":
        variants.append(variant("default, SQLite", "SQLite", "unique tasks"))
    return Peer(
        name=name,
        driver="partisan",
        requirements=("-e", ".[psycopg3]" if driver == "psycopg 3" else "."),
        distributions=(
            "django-partisan",
            "Django",
            "psycopg" if driver == "psycopg 3" else "psycopg2-binary",
        ),
        isolation=_IN_PROCESSES,
        variants=variants,
    )


def _pgqueuer() -> Peer:
    command = ("python", "-m", "pgqueuer", "run", f"{_APP}.pgqueuer:factory")

    def variant(name: str, says: str, *options: str) -> Variant:
        return Variant(
            name=name, store="PostgreSQL", worker=(*command, *options), says=says, copies=WORKERS
        )

    return Peer(
        name="pgqueuer",
        driver="pgqueuer",
        # The command line of pgqueuer 1.6.0 fails with a newer typer.
        requirements=("pgqueuer[asyncpg]>=1.6", "typer<0.29"),
        distributions=("pgqueuer", "asyncpg"),
        isolation="2 event loops",
        variants=[
            variant("default", "asyncpg, batch 10"),
            variant("best", "asyncpg, batch 500", "--batch-size=500"),
        ],
    )


def _procrastinate() -> Peer:
    command = ("procrastinate", f"--app={_APP}.procrastinate.app", "worker")

    def variant(name: str, says: str, *options: str, is_async: bool) -> Variant:
        return Variant(
            name=name,
            store="PostgreSQL",
            worker=(*command, *options),
            says=says,
            copies=WORKERS,
            options={"async": is_async},
            share=0.3,
        )

    return Peer(
        name="procrastinate",
        driver="procrastinate",
        requirements=("procrastinate>=3.10", _PSYCOPG),
        distributions=("procrastinate", "psycopg"),
        isolation="2 event loops, threads",
        variants=[
            variant("default", "concurrency 1", is_async=False),
            variant("best", "concurrency 10, async tasks", "--concurrency=10", is_async=True),
        ],
    )


def _celery() -> Peer:
    command = ("celery", "-A", f"{_APP}.celery", "worker", f"--concurrency={WORKERS}")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")

    def variant(name: str, says: str, *options: str, **conf: Any) -> Variant:
        return Variant(
            name=name,
            store="Redis",
            worker=(*command, *options),
            says=says,
            options={"conf": conf},
            share=0.5,
        )

    return Peer(
        name="Celery",
        driver="celery",
        requirements=("celery[redis]>=5.7",),
        distributions=("celery", "redis"),
        isolation=_IN_PROCESSES,
        variants=[
            variant("default", "prefork, results in Redis"),
            variant(
                "best",
                "prefetch 128, no gossip, mingle, heartbeat",
                *quiet,
                worker_prefetch_multiplier=128,
            ),
        ],
    )


def _dramatiq() -> Peer:
    command = ("dramatiq", f"{_APP}.dramatiq", f"--processes={WORKERS}")

    def variant(name: str, says: str, variables: dict[str, str]) -> Variant:
        return Variant(name=name, store="Redis", worker=command, says=says, variables=variables)

    return Peer(
        name="dramatiq",
        driver="dramatiq",
        requirements=("dramatiq[redis]>=2.2",),
        distributions=("dramatiq", "redis"),
        isolation="2 processes, threads",
        variants=[
            variant("default", "8 threads each", {}),
            variant("best", "prefetch 500", {"dramatiq_queue_prefetch": "500"}),
        ],
    )


def _huey() -> Peer:
    command = (
        "huey_consumer",
        f"{_APP}.huey.huey",
        f"--workers={WORKERS}",
        "--worker-type=process",
    )

    def variant(name: str, store: Store, says: str, *options: str, poll: float) -> Variant:
        return Variant(
            name=name,
            store=store,
            worker=(*command, *options),
            says=says,
            options={"store": store},
            poll_seconds=poll,
        )

    quick = ("--no-periodic", "--delay=0.01", "--max-delay=0.1", "--quiet")
    return Peer(
        name="huey",
        driver="huey",
        requirements=("huey>=3.5", "redis>=5"),
        distributions=("huey", "redis"),
        isolation=_IN_PROCESSES,
        variants=[
            variant("default", "Redis", "2 processes", poll=0.1),
            variant("best", "Redis", "no periodic tasks, no log", *quick, poll=0.1),
            variant("default, SQLite", "SQLite", "2 processes", poll=0.3),
            variant("best, SQLite", "SQLite", "polls every 10-100 ms, no log", *quick, poll=0.1),
        ],
    )


def _django_tasks_db() -> Peer:
    settings = {
        "INSTALLED_APPS": ["django_tasks", "django_tasks_db"],
        "TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    }

    def variant(name: str, says: str, share: float, *options: str, **database: Any) -> Variant:
        return Variant(
            name=name,
            store="PostgreSQL",
            worker=("python", "-m", "django", "db_worker", *options),
            says=says,
            copies=WORKERS,
            settings={**settings, "DATABASE": database},
            share=share,
            poll_seconds=0.1 if options else 1,
        )

    return Peer(
        name="django-tasks-db",
        driver="django_tasks_db",
        requirements=("django-tasks-db[compat]>=0.13", "django-tasks>=0.12", _DJANGO, _PSYCOPG),
        distributions=("django-tasks-db", "django-tasks", "Django", "psycopg"),
        isolation=_IN_PROCESSES,
        variants=[
            variant("default", "two processes", 0.1),
            variant(
                "best",
                "connections kept, polls every 0.1 s",
                0.2,
                "--interval=0.1",
                CONN_MAX_AGE=600,
            ),
        ],
    )


def _django_q2() -> Peer:
    tuned = {"poll": 0.01, "bulk": 100, "queue_limit": 500, "save_limit": 0, "recycle": 100_000}

    def variant(name: str, says: str, share: float, store: Store, **cluster: Any) -> Variant:
        broker = {"redis": "$REDIS"} if store == "Redis" else {"orm": "default"}
        safe = {"workers": WORKERS, "timeout": 50, "retry": 60}
        return Variant(
            name=name,
            store=store,
            worker=("python", "-m", "django", "qcluster"),
            says=says,
            settings={
                "INSTALLED_APPS": ["django_q"],
                "Q_CLUSTER": {**safe, **broker, **cluster},
                "DATABASE": {"CONN_MAX_AGE": 600} if cluster else {},
            },
            share=share,
            poll_seconds=cluster.get("poll", 0.2),
        )

    return Peer(
        name="django-q2",
        driver="django_q2",
        requirements=("django-q2>=1.11", _DJANGO, _PSYCOPG, "redis>=5"),
        distributions=("django-q2", "Django", "psycopg", "redis"),
        isolation=_IN_PROCESSES,
        variants=[
            variant("default", "ORM broker", 0.03, "PostgreSQL"),
            variant("best", "ORM broker, bulk 100, poll 0.01 s", 0.2, "PostgreSQL", **tuned),
            variant("default, Redis", "Redis broker", 0.05, "Redis"),
            variant("best, Redis", "Redis broker, bulk 100, all kept", 0.2, "Redis", **tuned),
        ],
    )


PEERS: Final = (
    _ours("django-partisan", "psycopg 2"),
    _ours("django-partisan (psycopg 3)", "psycopg 3"),
    _pgqueuer(),
    _procrastinate(),
    _celery(),
    _dramatiq(),
    _huey(),
    _django_tasks_db(),
    _django_q2(),
)
