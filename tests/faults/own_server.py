"""A PostgreSQL server for the tests of faults alone, reached by managers through a proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.management import call_command
from django.db import connection

from tests.faults.proxy import Proxy
from tests.settings import DATABASE_VARIABLE
from tools.database_urls import parse_database_url
from tools.embedded_postgres import EmbeddedPostgres

_DATABASE: Final = "partisan"
_TABLES: Final = (
    *(each._meta.db_table for each in apps.get_app_config("django_partisan").get_models()),
    "tests_app_ledger",
)


class OwnServer:
    """The server, the proxy before it, and this process's own direct way to it.

    Every method that attacks it closes this process's connection before, so that the test itself
    does not stumble over what it has done.
    """

    def __init__(self, directory: Path) -> None:
        self.server = EmbeddedPostgres(directory)
        self.server.start()
        self.server.create_database(_DATABASE)
        self.proxy = Proxy(self.server.socket_directory / ".s.PGSQL.5432")
        self._is_migrated = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which a manager takes the way through the proxy."""
        url = f"postgres://manager@127.0.0.1:{self.proxy.port}/{_DATABASE}?sslmode=disable"
        return {DATABASE_VARIABLE: url}

    @contextlib.contextmanager
    def as_default(self) -> Iterator[None]:
        """Let Django's default connection in this process lead here, to empty tables."""
        entry = parse_database_url(self.server.url(_DATABASE))
        former = dict(connection.settings_dict)
        connection.close()
        connection.settings_dict.update(entry)
        try:
            self._prepare()
            yield
        finally:
            connection.close()
            connection.settings_dict.update(former)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start it again; ``immediate`` is a crash."""
        connection.close()
        self.server.restart(immediate=immediate)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it."""
        connection.close()
        self.server.stop(immediate=immediate)

    def start(self) -> None:
        """Start it again."""
        self.server.start()

    def make_standby(self, directory: Path) -> EmbeddedPostgres:
        """Return a running copy of the server that follows it."""
        standby = EmbeddedPostgres(directory)
        standby.copy_from(self.server)
        standby.start()
        return standby

    def fail_over(self, standby: EmbeddedPostgres) -> None:
        """Stop the server in order and let its standby take its place, here and for managers."""
        self.stop()
        self.server.__exit__(None, None, None)
        self.server = standby
        self.proxy.target = standby.socket_directory / ".s.PGSQL.5432"
        connection.settings_dict["HOST"] = str(standby.socket_directory)
        self.query("SELECT pg_promote()")
        self.proxy.reset()

    def backends(self) -> list[int]:
        """Return the pids of all other sessions in the server, oldest first."""
        return [
            pid
            for (pid,) in self.query(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() ORDER BY backend_start"
            )
        ]

    def terminate(self, *pids: int) -> int:
        """End sessions, all others when none is named; return how many."""
        chosen = list(pids) or self.backends()
        self.query("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [chosen])
        return len(chosen)

    def query(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Execute a statement directly, and return its rows."""
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        """End proxy and server."""
        self.proxy.close()
        self.server.__exit__(None, None, None)

    def _prepare(self) -> None:
        self.server.start()
        self.proxy.heal()
        if not self._is_migrated:
            call_command("migrate", verbosity=0)
            # No superuser: for those, limits do not hold.
            self.query("CREATE ROLE manager LOGIN")
            self.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO manager")
            self.query("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO manager")
            self._is_migrated = True
        self.query(f"TRUNCATE {', '.join(_TABLES)}")
