"""Managers and workers behind a real PgBouncer, in both of its modes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.app.partisan_tasks import AtomicNote, Note, SucceedAtThird
from tests.processes.conftest import StartManager
from tests.support.helpers import database_entry, wait_until
from tests.support.ledger import Book

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.skipif(
        shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") is None,
        reason="needs pgbouncer (Debian: apt install pgbouncer)",
    ),
]
_CONFIGURATION = """
[databases]
* = host={HOST} port={PORT} user={USER}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""


@pytest.fixture(params=["session", "transaction"])
def pooled(database: None, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Run a pooler in front of the test database; return the entry of DATABASES that uses it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    entry = database_entry()
    direct = {**entry, "HOST": entry["HOST"] or "127.0.0.1", "PORT": entry["PORT"] or 5432}
    password = f" password={entry['PASSWORD']}" if entry["PASSWORD"] else ""
    # It does not run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        file = Path(directory) / "pgbouncer.ini"
        file.write_text(
            _CONFIGURATION.format(**direct, password=password, port=port, mode=request.param)
        )
        path = f"{os.environ['PATH']}:/usr/sbin"
        command = [str(shutil.which("pgbouncer", path=path)), "-q", str(file)]
        with subprocess.Popen(command, user=user) as process:
            wait_until(lambda: _is_open(port))
            yield {**entry, "HOST": "127.0.0.1", "PORT": str(port)}
            process.terminate()


def test_managers_behind_a_pooler_run_everything_and_leave_nothing_in_its_sessions(
    pooled: dict[str, Any], start_manager: StartManager, book: Book
) -> None:
    settings = {"DATABASES": {"default": {**pooled, "DISABLE_SERVER_SIDE_CURSORS": True}}}
    managers = [start_manager(settings=settings) for _ in range(2)]
    book.run(*[Note()] * 100, *[AtomicNote()] * 20, SucceedAtThird())
    for manager in managers:
        assert "behind a pooler" in manager.log
        assert _left_in(pooled) == ([], "0")
        assert manager.stop() == 0
        assert "ERROR" not in manager.log


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _left_in(pooled: dict[str, Any]) -> tuple[list[Any], str]:
    """Return the prepared statements and the time limit of a session that the pooler hands out."""
    wrapper: Any = connection
    session = wrapper.Database.connect(
        host=pooled["HOST"], port=pooled["PORT"], dbname=pooled["NAME"], user=pooled["USER"]
    )
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_prepared_statements")
            names = cursor.fetchall()
            cursor.execute("SHOW statement_timeout")
            return names, cursor.fetchone()[0]
    finally:
        session.close()
