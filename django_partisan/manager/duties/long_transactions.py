"""Warns of sessions that hold a transaction open for long, which slows every queue down."""

from __future__ import annotations

import logging
from typing import Final

from django_partisan.config.const import NEVER
from django_partisan.database.values import OpenTransaction
from django_partisan.manager.database_link import DatabaseLink

logger = logging.getLogger(__name__)
_CHECK_SECONDS: Final = 60.0


class LongTransactions:
    """Looks at the database's sessions now and then; warns of each transaction once.

    While a transaction is open, the database keeps every row version that it might still ask for:
    each claim then has to pass by what was claimed and finished since.
    """

    def __init__(self, link: DatabaseLink, seconds: float | None) -> None:
        self._link = link
        self._seconds = seconds
        self._check_at = 0.0
        self._told: OpenTransaction | None = None

    def next_deadline(self) -> float:
        """Return when to look next; NEVER where nobody wants to be warned."""
        return NEVER if self._seconds is None else self._check_at

    def turn(self, now: float) -> None:
        """Warn of the oldest transaction when it is older than it should be."""
        if self._seconds is None or now < self._check_at:
            return
        self._check_at = now + min(_CHECK_SECONDS, self._seconds)
        found = self._link.dialect.oldest_transaction(self._link.connection, self._seconds)
        if found is not None and not self._is_told(found):
            self._told = found
            _warn(found)

    def _is_told(self, found: OpenTransaction) -> bool:
        told = self._told
        return told is not None and (told.pid, told.began) == (found.pid, found.began)


def _warn(found: OpenTransaction) -> None:
    logger.warning(
        "a transaction has been open for %.0f s and slows all queues down: session %d of %s (%s,"
        " %s), last statement: %s. End it with SELECT pg_terminate_backend(%d) if it is idle for"
        " no good reason",
        found.seconds,
        found.pid,
        found.user,
        found.application or "no application_name",
        found.state,
        found.statement,
        found.pid,
    )
