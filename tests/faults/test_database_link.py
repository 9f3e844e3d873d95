"""The manager's connection is prepared anew whenever it is another one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from django_partisan.database_link import DatabaseLink
from tests.faults.own_server import OwnServer
from tests.faults.striker import break_connections

pytestmark = pytest.mark.postgresql


@pytest.fixture
def sessions() -> list[int]:
    """Return the pids of the sessions that were prepared."""
    return []


@pytest.fixture
def link(own: OwnServer, sessions: list[int]) -> Iterator[DatabaseLink]:
    link = DatabaseLink("default", lambda: sessions.append(_session()))
    assert link.is_usable(0)
    yield link
    link.end()
    connection.dec_thread_sharing()


def test_a_session_that_is_lost_is_replaced_by_one_that_is_prepared(
    link: DatabaseLink, sessions: list[int]
) -> None:
    with link.attempt(0):
        break_connections()
        _session()
    assert not link.is_up
    _assert_prepared(link, sessions)


def test_a_session_that_is_lost_in_a_transaction_is_prepared_too(
    link: DatabaseLink, sessions: list[int]
) -> None:
    with link.attempt(0), transaction.atomic():
        break_connections()
        _session()
    assert connection.connection is None, "Django has opened another one, and it is closed"
    _assert_prepared(link, sessions)


def test_a_session_whose_loss_somebody_has_swallowed_is_prepared_too(
    link: DatabaseLink, sessions: list[int]
) -> None:
    with link.attempt(0):
        connection.close()
        assert _session() != sessions[0]
    assert not link.is_up
    assert link.retry_at() == 0
    _assert_prepared(link, sessions)


def _assert_prepared(link: DatabaseLink, sessions: list[int]) -> None:
    assert link.is_usable(time.monotonic() + 10)
    with link.attempt(0):
        assert [_session()] == sessions[1:]


def _session() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
