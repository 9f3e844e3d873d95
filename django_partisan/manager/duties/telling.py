"""Sending the signals of what the manager has recorded, a few at a time."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Final

from django_partisan.config.const import NEVER, ExitCode
from django_partisan.lifecycle.notices import Notice, Unsent
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.heartbeat import Heartbeat
from django_partisan.manager.receivers import Receivers
from django_partisan.manager.standing import Standing
from django_partisan.signals import PartisanSignal, manager_started, manager_stopped

logger = logging.getLogger(__name__)
BUDGET_SECONDS: Final = 0.05
"""How long receivers are called in one turn: then everything else has its turn."""
LAST_SECONDS: Final = 2.0
"""How long they are called at the manager's end; what is left then is not sent."""
MOST_BATCHES: Final = 20
"""With so many statements to tell of, nothing more is claimed until receivers have caught up."""


class Telling:
    """Calls receivers in the manager's loop, while nobody waits for them in a transaction.

    The verbs only note what there is to tell. Receivers are called one by one, beside the statement
    that may be under way, on a connection of their own; nothing that they raise comes here.
    """

    def __init__(self, link: DatabaseLink, heartbeat: Heartbeat, standing: Standing) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._standing = standing
        self._unsent = Unsent()
        self._receivers: Receivers | None = None
        self._has_started = False

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Have this manager's signals sent by :meth:`turn` while inside."""
        self._unsent.keep(self._link.connection)
        try:
            yield
        finally:
            self._unsent.release(self._link.connection)
            if self._receivers is not None:
                self._receivers.close()
                self._receivers = None

    def next_deadline(self) -> float:
        """Return at once while there is something to send."""
        return 0.0 if len(self._unsent) or self._is_start_due else NEVER

    def turn(self, now: float) -> None:  # noqa: ARG002 - it is due whenever there is something
        """Send what there is, as far as the budget goes."""
        if self._is_start_due:
            self._has_started = True
            self._note(manager_started)
        if len(self._unsent):
            self._send(time.monotonic() + BUDGET_SECONDS)
            self._standing.is_behind = len(self._unsent) > MOST_BATCHES

    def end(self, exit_code: ExitCode) -> None:
        """Send what is left, and that the manager has stopped in order."""
        self._send(time.monotonic() + LAST_SECONDS)
        if len(self._unsent):
            logger.warning("signals of the last tasks are not sent: their receivers take too long")
            self._unsent.forget()
        if self._has_started:
            self._note(manager_stopped, exit_code=exit_code)
            self._send(NEVER)

    @property
    def _is_start_due(self) -> bool:
        return not self._has_started and self._standing.may_take_over

    def _note(self, signal: PartisanSignal, **values: Any) -> None:
        if signal.receivers:
            notice = Notice(signal, None, {"manager": self._heartbeat.row(), **values})
            self._unsent.add(iter([notice]))

    def _send(self, until: float) -> None:
        if not len(self._unsent):
            return
        if self._receivers is None:
            self._receivers = Receivers(self._link.connection, self._unsent)
        with self._receivers.being_called():
            while (notice := self._unsent.next()) is not None:
                notice.signal.deliver(notice.sender, **notice.values)
                self._receivers.end_transactions()
                if time.monotonic() >= until:
                    break
