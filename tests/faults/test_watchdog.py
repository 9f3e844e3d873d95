"""The watchdog ends a wait that nothing else would end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.database.watchdog import Watchdog
from tests.faults.own_server import OwnServer
from tests.support.harness import Stopwatch
from tests.support.helpers import HANG_SECONDS
from tools.database_urls import parse_database_url

pytestmark = pytest.mark.postgresql

SECONDS = 1.5


@pytest.fixture
def remote(own: OwnServer) -> Iterator[BaseDatabaseWrapper]:
    """Yield a connection through the proxy."""
    entry = parse_database_url(*own.variables.values())
    remote = connections["default"].copy("default")
    remote.settings_dict = {**remote.settings_dict, **entry}
    remote.inc_thread_sharing()
    remote.ensure_connection()
    yield remote
    own.proxy.heal()
    remote.in_atomic_block = False
    remote.close()


@pytest.fixture
def watchdog(remote: BaseDatabaseWrapper) -> Iterator[Watchdog]:
    watchdog = Watchdog(remote, SECONDS)
    yield watchdog
    watchdog.close()


def test_a_statement_without_an_answer_fails_in_time(
    own: OwnServer, remote: BaseDatabaseWrapper, watchdog: Watchdog
) -> None:
    with watchdog.watching():
        _ask(remote)
        own.proxy.cut()
        _assert_fails_in_time(lambda: _ask(remote))


def test_a_commit_without_an_answer_fails_in_time(
    own: OwnServer, remote: BaseDatabaseWrapper, watchdog: Watchdog
) -> None:
    with watchdog.watching():
        remote.set_autocommit(False)
        _ask(remote)
        own.proxy.cut(only_answers=True)
        _assert_fails_in_time(remote.commit)


def test_a_call_in_another_thread_is_watched_too(
    own: OwnServer, remote: BaseDatabaseWrapper, watchdog: Watchdog
) -> None:
    with watchdog.watching():
        _ask(remote)
    own.proxy.cut()
    call = watchdog.watched(lambda: _assert_fails_in_time(lambda: _ask(remote)))
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()


def test_statements_that_are_answered_may_take_longer_together(
    own: OwnServer, remote: BaseDatabaseWrapper, watchdog: Watchdog
) -> None:
    with watchdog.watching():
        for _ in range(4):
            _ask(remote, SECONDS / 3)
    assert remote.is_usable()


def _ask(remote: BaseDatabaseWrapper, seconds: float = 0) -> None:
    with remote.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def _assert_fails_in_time(call: Callable[[], None]) -> None:
    watch = Stopwatch()
    with pytest.raises(Error):
        call()
    assert SECONDS / 2 < watch.seconds < HANG_SECONDS
