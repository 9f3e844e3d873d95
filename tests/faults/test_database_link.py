"""The manager's connection is prepared anew whenever it is another one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, transaction

from django_partisan.logs import MOST_REASONS
from django_partisan.manager.database_link import DatabaseLink
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
    assert link.ready(0)
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


def test_each_reason_for_an_outage_is_logged_once(
    link: DatabaseLink, caplog: pytest.LogCaptureFixture
) -> None:
    for number, reason in enumerate(["no room for block 1", "no room for block 2", "no right"] * 5):
        with link.attempt(number):
            _fail(reason)
    assert _told(caplog) == [
        "the database cannot be used; trying again until it can: no room for block 1",
        "the database is still not usable, now because of: no right",
    ]
    for number in range(100):
        with link.attempt(number):
            _fail("x" * number)
    assert len(_told(caplog)) == MOST_REASONS, "however many there are"

    caplog.clear()
    assert link.ready(time.monotonic() + 10)
    assert not _told(caplog), "a connection alone proves nothing"
    with link.attempt(0):
        _session()
    with link.attempt(0):
        _fail("no right")
    assert _told(caplog) == [
        "the database is back",
        "the database cannot be used; trying again until it can: no right",
    ]


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().splitlines()[0] for record in caplog.records]


def _fail(reason: str) -> None:
    raise OperationalError(reason)


def _assert_prepared(link: DatabaseLink, sessions: list[int]) -> None:
    assert link.ready(time.monotonic() + 10)
    with link.attempt(0):
        assert [_session()] == sessions[1:]


def _session() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
