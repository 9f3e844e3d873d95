"""Autocommit where django-partisan itself writes, whatever DATABASES says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.exceptions import ConfigurationError

_LEGACY: Final = -1
"""What Python calls ``sqlite3.LEGACY_TRANSACTION_CONTROL``."""
_IN_TRANSACTION: Final = (1, 2, 3)
"""What libpq calls a statement under way, a transaction, and one that has failed."""


def switch_on_autocommit(connection: BaseDatabaseWrapper) -> None:
    """Have a connection, which nothing else uses, commit each statement outside of transactions.

    Ends what has been begun on it without a word of Django's, as by ``AUTOCOMMIT = False``, an
    ``init_command``, or a receiver of ``connection_created``.
    """
    if not connection.get_autocommit():
        connection.rollback()
        connection.set_autocommit(True)
    raw = connection.connection
    if connection.vendor == "sqlite" and getattr(raw, "autocommit", _LEGACY) != _LEGACY:
        # The driver's own, from Python 3.12 on: Django sets another one, and relies on commit() and
        # rollback(), which do nothing while this one is True.
        raw.autocommit = _LEGACY
    if is_in_transaction(connection):
        with connection.cursor() as cursor:
            cursor.execute("COMMIT")


def require_autocommit(connection: BaseDatabaseWrapper) -> None:
    """Raise ConfigurationError when the connection is in a transaction that nobody would end."""
    if is_in_transaction(connection):
        alias = connection.alias
        raise ConfigurationError(
            f"The database session of DATABASES[{alias!r}] is always in a transaction, so nothing "
            "that this process writes would ever be committed: take what begins it out of OPTIONS."
        )


@contextmanager
def autocommit(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have what is written inside committed, unless the caller's own transaction is open."""
    # The usual case asks for nothing but attributes: each ATOMIC task comes by here.
    is_on = connection.autocommit if connection.connection else connection.get_autocommit()
    if connection.in_atomic_block or is_on or is_in_transaction(connection):
        yield
        return
    connection.set_autocommit(True)
    try:
        yield
    finally:
        if connection.connection is not None:
            connection.set_autocommit(False)


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a transaction is open, as the driver knows it; Django may not. Asks nobody."""
    raw: Any = connection.connection
    if hasattr(raw, "in_transaction"):
        return bool(raw.in_transaction)
    info = getattr(raw, "info", None)
    return info is not None and int(info.transaction_status) in _IN_TRANSACTION
