"""The error boundary of a duty beside claiming and recording."""

from __future__ import annotations

import logging
from typing import Final

from django.db import Error

from django_partisan.backoff import Backoff
from django_partisan.logs import Reasons, one_line
from django_partisan.manager.database_link import DatabaseLink
from django_partisan.manager.duties import Duty

logger = logging.getLogger(__name__)
RETRY_SECONDS: Final = (1.0, 60.0)
"""The first and the longest wait before a duty is tried again that has failed."""


class SideDuty:
    """Keeps a duty's failures from claiming and recording.

    A failure is logged once for each reason, and the duty is tried again 1 to 60 seconds later,
    with jitter. An error of the database after which its session works no more is an outage, not
    the duty's fault: it is raised.
    """

    def __init__(self, duty: Duty, name: str, link: DatabaseLink) -> None:
        self._duty = duty
        self._name = name
        self._link = link
        self._backoff = Backoff(*RETRY_SECONDS)
        self._retry_at = 0.0
        self._reasons = Reasons()

    def next_deadline(self) -> float:
        """Return when the duty is due, after a failure no sooner than it may be tried again."""
        return max(self._duty.next_deadline(), self._retry_at)

    def turn(self, now: float) -> None:
        """Let the duty do what is due, unless it has failed a moment ago."""
        if now < self._retry_at or now < self._duty.next_deadline():
            return
        try:
            self._duty.turn(now)
        except Exception as error:
            if isinstance(error, Error) and not self._link.has_survived():
                raise
            self._failed(error, now)
        else:
            self._succeeded()

    def _failed(self, error: Exception, now: float) -> None:
        self._retry_at = now + self._backoff.next()
        if self._reasons.add(error):
            logger.error(
                "%s failed, and is tried again later; everything else goes on: %s",
                self._name,
                one_line(error),
                # An error of the database speaks for itself.
                exc_info=None if isinstance(error, Error) else error,
            )

    def _succeeded(self) -> None:
        if len(self._reasons):
            logger.warning("%s works again", self._name)
        self._reasons.forget()
        self._backoff.reset()
