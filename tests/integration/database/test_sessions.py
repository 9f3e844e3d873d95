"""What the drivers and PostgreSQL tell of a session."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections

from django_partisan.database.sessions import driver_state, is_pooled, make_fresh

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


@pytest.fixture
def raw() -> Any:
    for _ in range(2):
        connection.close()
        connection.ensure_connection()
        make_fresh(connections["default"])  # The second begins in Django's time zone.
    return connection.connection


def test_a_fresh_session_is_in_the_state_of_its_begin(raw: Any) -> None:
    before = driver_state(raw)
    with connection.cursor() as cursor:
        cursor.execute("SET datestyle TO german")
        cursor.execute("SET TIME ZONE 'Asia/Tokyo'")
        assert driver_state(raw) != before
    make_fresh(connections["default"])
    assert driver_state(raw) == before


def test_sessions_begin_in_django_s_zone_once_the_server_s_is_known_to_be_another() -> None:
    own: Any = connections["default"].copy()
    options = {**own.settings_dict["OPTIONS"], "options": "-c work_mem=4321"}
    own.settings_dict = {**own.settings_dict, "TIME_ZONE": "Asia/Tokyo", "OPTIONS": options}
    with contextlib.closing(own):
        own.ensure_connection()
        assert not make_fresh(own)
        own.close()
        with own.cursor() as cursor:
            cursor.execute("RESET ALL")
            assert driver_state(own.connection)[-1][3] == "Asia/Tokyo"
            cursor.execute("SHOW work_mem")
            assert cursor.fetchone() == ("4321kB",)
        assert make_fresh(own)


def test_types_that_are_registered_on_a_connection_are_seen(raw: Any) -> None:
    before = driver_state(raw)
    if hasattr(raw, "adapters"):
        raw.adapters.register_loader("int4", raw.adapters.get_loader(25, 0))
    else:
        from psycopg2 import extensions

        extensions.register_type(extensions.new_type((23,), "odd", lambda *_: 1), raw)
    assert driver_state(raw) != before
    connection.close()


def test_a_pooler_is_told_from_a_server() -> None:
    connection.ensure_connection()
    assert not is_pooled(connections["default"])
    with _pooler(connection.settings_dict) as port:
        pooled: Any = connections["default"].copy()
        pooled.settings_dict = {
            **pooled.settings_dict,
            "HOST": "127.0.0.1",
            "PORT": port,
            "OPTIONS": {"sslmode": "disable", "gssencmode": "disable"},
        }
        with contextlib.closing(pooled):
            pooled.ensure_connection()
            assert is_pooled(pooled)


@contextlib.contextmanager
def _pooler(entry: dict[str, Any]) -> Iterator[int]:
    """Stand between, as poolers do: with a process id of one's own for each client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, entry))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _serve(listener: socket.socket, entry: dict[str, Any]) -> None:
    client, _ = listener.accept()
    with client, _server(entry) as server:
        answers = threading.Thread(target=_hand_on, args=(server, client))
        answers.start()
        while data := client.recv(65536):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
        answers.join()


def _server(entry: dict[str, Any]) -> socket.socket:
    host, port = entry["HOST"] or entry["OPTIONS"].get("host", ""), int(entry["PORT"] or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _hand_on(server: socket.socket, client: socket.socket) -> None:
    pattern = re.compile(rb"K\x00\x00\x00\x0c....", re.DOTALL)
    with contextlib.suppress(OSError):
        while data := server.recv(65536):
            client.sendall(pattern.sub(b"K\x00\x00\x00\x0c\x00\x00\x00\x07", data))
