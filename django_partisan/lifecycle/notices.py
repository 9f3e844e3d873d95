"""When signals are sent: after the commit, at once or by whoever owns the connection."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_partisan.lifecycle.rows import database
from django_partisan.logs import Reasons, one_line
from django_partisan.signals import PartisanSignal

logger = logging.getLogger(__name__)
_UNSENT: Final = "_partisan_unsent"
_reasons = Reasons()


class Notice(NamedTuple):
    """One sending of a signal."""

    signal: PartisanSignal
    sender: type[Any] | None
    values: dict[str, Any]


Notices = Iterator[Notice]


class Unsent:
    """Signals of one connection that its owner sends, when that suits: see :meth:`keep`."""

    def __init__(self) -> None:
        self._batches: deque[Notices] = deque()

    def __len__(self) -> int:
        """Return how many statements there is something to tell of."""
        return len(self._batches)

    def add(self, notices: Notices) -> None:
        """Take in what one statement has to tell of; may be called in any thread."""
        # They are made when they are sent, one after the other.
        self._batches.append(_made(notices))

    def next(self) -> Notice | None:
        """Take the next one out, None after the last."""
        while self._batches:
            if (notice := next(self._batches[0], None)) is not None:
                return notice
            self._batches.popleft()
        return None

    def forget(self) -> None:
        """Let go of what has not been sent."""
        self._batches.clear()

    def keep(self, connection: BaseDatabaseWrapper) -> None:
        """Have what happens on a connection told here instead of to receivers at once."""
        vars(connection)[_UNSENT] = self

    @staticmethod
    def release(connection: BaseDatabaseWrapper) -> None:
        """Have receivers told at once again."""
        vars(connection).pop(_UNSENT, None)


def tell_after_commit(notices: Notices, connection: BaseDatabaseWrapper | None = None) -> None:
    """Send signals once what they tell of is committed, never if it is rolled back.

    Under AUTOCOMMIT = False nobody says when that is, so nothing is sent.
    """
    connection = connection or connections[database()]
    if not connection.in_atomic_block:
        # Asked for without get_autocommit(), which would connect.
        if connection.autocommit:
            tell_now(connection, notices)
    elif connection.settings_dict["AUTOCOMMIT"]:
        connection.on_commit(partial(tell_now, connection, notices), robust=True)


def tell_now(connection: BaseDatabaseWrapper, notices: Notices) -> None:
    """Send signals, or have the owner of the connection send them when that suits."""
    unsent: Unsent | None = vars(connection).get(_UNSENT)
    if unsent is not None:
        unsent.add(notices)
        return
    for notice in _made(notices):
        notice.signal.deliver(notice.sender, **notice.values)


def _made(notices: Notices) -> Notices:
    """Yield what there is to send; what cannot be read is told in the log, once per reason."""
    try:
        yield from notices
    except Exception as error:  # noqa: BLE001 - nobody's outcome may depend on it
        if _reasons.add(error):
            logger.error("signals could not be sent: %s", one_line(error))  # noqa: TRY400
