"""Another session holds a transaction open: row 11 of the faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book

pytestmark = pytest.mark.postgresql

WORDS = "a transaction has been open for"


@pytest.fixture
def stranger(book: Book) -> Iterator[Any]:
    """Yield a connection of somebody who does other things in this database."""
    stranger = connections["default"].copy("default")
    yield stranger
    stranger.close()


def test_a_session_that_holds_a_transaction_open_is_named(
    start_manager: StartManager, book: Book, stranger: Any
) -> None:
    manager = start_manager(settings={"PARTISAN_LONG_TRANSACTION_SECONDS": 0.5})
    stranger.set_autocommit(False)
    with stranger.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
        cursor.execute("SET application_name = 'a report'")
        cursor.execute("SELECT pg_current_xact_id()")
    book.run(*[Note()] * 20)
    wait_until(lambda: WORDS in manager.log, message=lambda: manager.log)
    assert f"session {pid} of" in manager.log
    assert "a report, idle in transaction" in manager.log
    assert "SELECT pg_current_xact_id()" in manager.log
    book.run(*[Note()] * 20)
    stranger.rollback()
    assert manager.log.count(WORDS) == 1, "told once"
