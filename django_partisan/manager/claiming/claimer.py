"""Claiming from one queue: when, how many tasks, and from where."""

from __future__ import annotations

import time
from enum import Enum
from typing import Final

from django_partisan import lifecycle
from django_partisan.attempt import ClaimedTask
from django_partisan.config.const import NEVER
from django_partisan.database.values import Cursor, Surveyed
from django_partisan.fault_points import reach
from django_partisan.manager.claiming.cursors import Cursors
from django_partisan.manager.claiming.prefetch import CLAIM_TASKS, Prefetch
from django_partisan.manager.claiming.wakeup import Wakeup
from django_partisan.settings import QueueSettings

LOCKED_SECONDS: Final = 0.1
"""How soon to look again at due tasks that somebody else has locked."""


class Known(Enum):
    """What is known of a queue: see :class:`Claimer`."""

    NOTHING = "survey it, then claim"
    MORE = "claim again at once"
    FOUND = "claim now what the survey has found"
    SHORT = "look ahead for what the cursors have left"
    EMPTY = "wait for the wake-up"
    LOCKED = "wait a moment"


_HAS_MORE: Final = frozenset({Known.NOTHING, Known.MORE, Known.FOUND})


class Claimer:
    """Decides when to claim from one queue, how many tasks, and from where.

    One object for each queue that a manager serves. The moves between what is :class:`Known` of
    the queue; a *survey* finds what waits in it at all, a *claim* takes what is due behind the
    cursors::

        NOTHING ──survey──▶ FOUND ──claim──▶ MORE      the claim came back full
           ▲                  │       └────▶ EMPTY     it came back short, right after the survey
           │ connected        │
           │                  ▼ (the next turn)
         (any)               MORE ──claim──▶ MORE      full
                              ▲       └────▶ SHORT     short: are there others, and when?
                              │                │
                              │  due           ├─survey──▶ FOUND, EMPTY
                              └────────────────┤
                                               └─survey──▶ LOCKED   due, yet two claims got nothing

        EMPTY, LOCKED ──wake-up──▶ survey or claim, as for NOTHING or MORE
    """

    def __init__(
        self, queue_name: str, settings: QueueSettings, wakeup: Wakeup, prefetch: Prefetch
    ) -> None:
        self.queue_name = queue_name
        self.wakeup = wakeup
        self._settings = settings
        self._prefetch = prefetch
        self._cursors = Cursors()
        self._known = Known.NOTHING
        self._empty_claims = 0

    @property
    def known(self) -> Known:
        """What is known of the queue now."""
        return self._known

    @property
    def has_more(self) -> bool:
        """Whether a claim is worth its while without any wake-up."""
        return self._known in _HAS_MORE

    @property
    def must_look_ahead(self) -> bool:
        """Whether :meth:`look_ahead` has to be called once what was claimed is handed out."""
        return self._known is Known.SHORT

    def connected(self) -> None:
        """Begin anew on a fresh connection: what was known of the queue is void."""
        self.wakeup.connect()
        self._cursors.forget()
        self._known = Known.NOTHING

    def room(self, held: int) -> int:
        """Return how many tasks the local queue may be filled with while it holds so many."""
        return self._prefetch.limit(held)

    def next_deadline(self, held: int) -> float:
        """Return when a claim is due, while so many tasks are held."""
        if not self.room(held):
            return NEVER
        return 0.0 if self.has_more else self.wakeup.next_deadline()

    def wanted(self, now: float, held: int) -> int:
        """Return how many tasks to claim now; where the cursors do not say enough, survey first."""
        limit = self.room(held)
        if not limit or not (self.has_more or self.wakeup.is_claim_due(now)):
            return 0
        if self._known is Known.FOUND:
            self._known = Known.MORE
        if self._needs_survey(now) and not self._survey():
            return 0
        return limit

    def cursors(self) -> list[Cursor]:
        """Return where a claim starts now."""
        return list(self._cursors.current())

    def took(self, claimed: list[ClaimedTask], limit: int, now: float, *, was_empty: bool) -> None:
        """Take in what a claim of up to ``limit`` tasks has brought.

        ``was_empty`` says that the workers had waited for it.
        """
        reach("manager.claimed")
        self._prefetch.took(len(claimed), limit, was_empty=was_empty)
        self._cursors.claimed(claimed)
        self._empty_claims = 0 if claimed else self._empty_claims + 1
        if len(claimed) == limit:
            self._known = Known.MORE
            return
        is_stream = len(claimed) > self._settings.WORKERS_COUNT
        self.wakeup.claimed(now, is_stream=is_stream)
        is_worthwhile = not is_stream or self._cursors.is_survey_due(now)
        needs_look = is_worthwhile and self._known is not Known.FOUND
        self._known = Known.SHORT if needs_look else Known.EMPTY

    def had_too_many(self) -> None:
        """Take in that tasks have waited in the local queue for too long: begin anew with few."""
        self._prefetch.had_too_many()

    def look_ahead(self, now: float) -> None:
        """Learn what a claim from the cursors has left, and when the next task is due.

        :attr:`must_look_ahead` says so. What was claimed should be handed out before: it need not
        wait for the answer.
        """
        self._known = Known.EMPTY
        if not self._cursors.may_survey(now):
            self.wakeup.expect(self._cursors.allowed_at())
        elif self._survey() and self._empty_claims > 1:
            # What is due is locked by somebody: a peer who claims it, or a stranger.
            self._known = Known.LOCKED
            self.wakeup.expect(now + LOCKED_SECONDS)

    def may_survey(self, now: float) -> bool:
        """Say whether a survey is worth its while: nothing is known to wait, nor is it too soon."""
        return not self.has_more and self._cursors.may_survey(now)

    def surveyed(self, found: list[Surveyed], now: float) -> None:
        """Take in what a survey, begun ``now``, has found; without due tasks begin to wait."""
        self._cursors.surveyed(found, now, time.monotonic())
        has_due = any(survey.has_due for survey in found)
        self._known = Known.FOUND if has_due else Known.EMPTY
        if not has_due:
            self.wakeup.claimed(now)
        waits = [survey.next_due_in for survey in found if survey.next_due_in is not None]
        if waits:
            self.wakeup.expect(now + max(0.0, min(waits)))

    def worthwhile_outcomes(self, least: int) -> int:
        """Return how many outcomes make a statement of their own worth it, ``least`` at least.

        While claims follow each other at once, outcomes go along with them.
        """
        step = self._settings.MAX_QUEUE_SIZE - self._settings.MIN_QUEUE_SIZE
        return max(least, min(step, CLAIM_TASKS)) if self.has_more else least

    def _survey(self) -> bool:
        started = time.monotonic()
        self.surveyed(lifecycle.survey(self.queue_name), started)
        return self.has_more

    def _needs_survey(self, now: float) -> bool:
        """Say whether the cursors are not enough to know what is due.

        A notification is about a new task, which comes after them; all other reasons to look may
        be about something else.
        """
        if not self._cursors.may_survey(now):
            return False
        if self.has_more or self.wakeup.is_notified(now):
            return self._cursors.is_survey_due(now) and (self.has_more or not len(self._cursors))
        return True
