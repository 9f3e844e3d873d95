"""What becomes of Django's connections in a worker, without a database."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, OperationalError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.worker.connections import Session, _note, _watch
from django_partisan.worker.handed_out import SESSION


@pytest.fixture
def default() -> Iterator[BaseDatabaseWrapper]:
    """Return the default connection as an SQLite one, whose wrappers are put back."""
    connection = connections["default"]
    before = list(connection.execute_wrappers)
    vendor, connection.vendor = connection.vendor, "sqlite"
    yield connection
    connection.vendor = vendor
    connection.execute_wrappers[:] = before
    vars(connection).pop(SESSION, None)


def session_of(connection: BaseDatabaseWrapper) -> Session:
    _watch(connection=connection)
    session: Session = getattr(connection, SESSION)
    return session


class Cursor:
    """What the context of a statement holds as its cursor."""

    cursor = None

    def __init__(self) -> None:
        vars(self)["cursor"] = None


def run(connection: BaseDatabaseWrapper, sql: str, error: Exception | None = None) -> None:
    """Have the watched connection run a statement which the database never sees."""

    def execute(*_: Any) -> None:
        if error is not None:
            raise error

    _note(execute, sql, None, False, {"connection": connection, "cursor": Cursor()})


def test_a_connection_that_is_opened_inside_of_a_wrapper_keeps_that_wrapper_in_order(
    default: BaseDatabaseWrapper,
) -> None:
    def wrapper(execute: Any, *arguments: Any) -> Any:
        return execute(*arguments)

    count = len(default.execute_wrappers)
    with default.execute_wrapper(wrapper):
        _watch(connection=default)
        _watch(connection=default)
    assert len(default.execute_wrappers) == count + 1
    assert wrapper not in default.execute_wrappers


def test_a_session_that_took_the_place_of_a_changed_one_is_fresh(
    default: BaseDatabaseWrapper,
) -> None:
    session = session_of(default)
    run(default, "PRAGMA x = 1")
    assert session.must_end
    assert session_of(default) is session
    assert not session.must_end


@pytest.mark.parametrize(
    ("error", "expected"),
    [(DataError(), False), (ProgrammingError(), False), (OperationalError(), True)],
)
def test_an_error_that_is_not_the_statements_own_ends_the_session(
    default: BaseDatabaseWrapper, error: Exception, expected: bool
) -> None:
    session = session_of(default)
    with pytest.raises(type(error)):
        run(default, "SELECT 1", error)
    assert session.must_end is expected
