"""The server takes no connections, no writes, or is replaced by its standby: row 20."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.partisan_tasks import SleepQuietly
from tests.faults.conftest import StartRemote
from tests.faults.own_server import OwnServer
from tests.support.harness import Manager, Stopwatch
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are, statuses

pytestmark = pytest.mark.postgresql

DOWN = "the database cannot be used"


@pytest.fixture
def restricted(own: OwnServer) -> Iterator[OwnServer]:
    """Yield the server; whatever the test forbids is allowed again before the managers stop."""
    yield own
    _allow(own)


@pytest.fixture
def busy(restricted: OwnServer, start_remote: StartRemote, book: Book) -> Iterator[Manager]:
    """Yield a manager with a full queue."""
    manager = start_remote()
    book.enqueue(*[SleepQuietly(0.02)] * 400)
    wait_until(lambda: statuses(book.ids)["finished"] > 50, message=lambda: manager.log)
    yield manager
    _allow(restricted)


def test_a_pool_without_a_free_connection_is_waited_for(
    restricted: OwnServer, busy: Manager, book: Book
) -> None:
    restricted.query("ALTER ROLE manager CONNECTION LIMIT 0")
    restricted.terminate()
    watch = Stopwatch()
    wait_until(lambda: DOWN in busy.log and watch.seconds > 1, message=lambda: busy.log)
    assert not restricted.backends()
    _assert_goes_on(restricted, busy, book)


def test_a_database_that_takes_no_writes_is_waited_for(
    restricted: OwnServer, busy: Manager, book: Book
) -> None:
    restricted.query("ALTER DATABASE partisan SET default_transaction_read_only = on")
    restricted.terminate()
    wait_until(lambda: "read-only transaction" in busy.log, message=lambda: busy.log)
    restricted.query("SET default_transaction_read_only = off")
    _assert_goes_on(restricted, busy, book)


@pytest.mark.long
def test_a_promoted_standby_goes_on_where_its_primary_ended(
    own: OwnServer, start_remote: StartRemote, book: Book, tmp_path_factory: pytest.TempPathFactory
) -> None:
    manager = start_remote()
    standby = own.make_standby(tmp_path_factory.mktemp("standby"))
    book.enqueue(*[SleepQuietly(0.02)] * 400)
    wait_until(lambda: statuses(book.ids)["finished"] > 50, message=lambda: manager.log)
    own.fail_over(standby)
    watch = Stopwatch()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    book.recovered("promotion of the standby to the last outcome", watch.seconds, within=20)


def _assert_goes_on(own: OwnServer, manager: Manager, book: Book) -> None:
    assert not all_are(book.ids, "finished")
    _allow(own)
    watch = Stopwatch()
    wait_until(lambda: all_are(book.ids, "finished"), message=lambda: manager.log)
    book.recovered("end of the restriction to the last outcome", watch.seconds, within=15)
    assert "Traceback" not in manager.log


def _allow(own: OwnServer) -> None:
    own.query("ALTER ROLE manager CONNECTION LIMIT -1")
    own.query("ALTER DATABASE partisan RESET default_transaction_read_only")
