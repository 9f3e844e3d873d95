"""Claiming from one queue: when, how many tasks, and from where."""

from __future__ import annotations

import time
from enum import Enum
from typing import Final

from django_partisan import lifecycle
from django_partisan.database.values import Claimed, Cursor, Surveyed
from django_partisan.fault_points import reach
from django_partisan.manager.claiming.cursors import Cursors, SurveyBudget
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
        self,
        queue_name: str,
        settings: QueueSettings,
        wakeup: Wakeup,
        prefetch: Prefetch,
        budget: SurveyBudget,
    ) -> None:
        self.queue_name = queue_name
        self.wakeup = wakeup
        self.is_paused = False
        """Whether nothing is to be claimed from the queue for now, whatever waits there."""
        self._settings = settings
        self._prefetch = prefetch
        self._budget = budget
        self._cursors = Cursors(budget)
        self._known = Known.NOTHING
        self.has_more = True
        """Whether a claim is worth its while without any wake-up."""
        self._found_at = 0.0
        self._empty_claims = 0

    @property
    def known(self) -> Known:
        """What is known of the queue now."""
        return self._known

    @property
    def is_known_to_have_more(self) -> bool:
        """Whether that is known of the queue, and not only nothing is."""
        return self._known is Known.MORE or self._known is Known.FOUND

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing was left, when last looked, that could be claimed."""
        return self._known is Known.EMPTY or self._known is Known.LOCKED

    @property
    def must_look_ahead(self) -> bool:
        """Whether :meth:`look_ahead` has to be called once what was claimed is handed out."""
        return self._known is Known.SHORT

    def connected(self) -> None:
        """Begin anew on a fresh connection: what was known of the queue is void."""
        self.wakeup.connected()
        self._cursors.forget()
        self._is(Known.NOTHING)

    def room(self, held: int) -> int:
        """Return how many tasks to claim at most while so many of the queue wait here."""
        return self._prefetch.limit(held)

    def due_at(self) -> float:
        """Return when there is something to claim, as far as is known; room for it aside."""
        if self._known is Known.NOTHING:
            return self._budget.allowed_at
        return 0.0 if self.has_more else self.wakeup.at

    def age(self, moment: float) -> None:
        """Take what a survey has found by a moment for no news any more."""
        if self._known is Known.FOUND and self._found_at <= moment:
            self._is(Known.MORE)

    def is_known(self, now: float) -> bool:
        """Say whether it is known that something is due, or that somebody has announced it."""
        if self._known is Known.NOTHING:
            return False
        return self.has_more or self.wakeup.is_notified(now)

    def is_worth_a_claim(self, now: float) -> bool:
        """Say whether to claim now; where the cursors do not say enough, survey first."""
        return not self._needs_survey(now) or self._survey()

    def cursors(self) -> list[Cursor]:
        """Return where a claim starts now."""
        return list(self._cursors.current())

    def took(self, claimed: Claimed, limit: int, now: float, *, was_empty: bool) -> None:
        """Take in what a claim of up to ``limit`` tasks has brought.

        ``was_empty`` says that the workers had waited for it.
        """
        reach("manager.claimed")
        # What was moved aside leaves room, so the claim tells nothing of how much there is.
        self._prefetch.took(claimed.met, limit, was_empty=was_empty)
        self._cursors.claimed(claimed)
        self._empty_claims = 0 if claimed.met else self._empty_claims + 1
        if claimed.met == limit or claimed.aside:
            self._is(Known.MORE)
            return
        is_stream = len(claimed) > self._settings.WORKERS_COUNT
        self.wakeup.claimed(now, is_stream=is_stream)
        is_worthwhile = not is_stream or self._cursors.is_survey_due(now)
        needs_look = is_worthwhile and self._known is not Known.FOUND
        self._is(Known.SHORT if needs_look else Known.EMPTY)

    def had_too_many(self) -> None:
        """Take in that tasks have waited in the local queue for too long: begin anew with few."""
        self._prefetch.had_too_many()

    def look_ahead(self, now: float) -> bool:
        """Say whether a survey has to tell now what a claim has left, and when more is due.

        :attr:`must_look_ahead` says so. What was claimed should be handed out before: it need not
        wait for the answer.
        """
        self._is(Known.EMPTY)
        if self._cursors.may_survey(now):
            return True
        self.wakeup.expect(self._cursors.allowed_at())
        return False

    def looked_ahead(self, found: list[Surveyed], started: float, now: float) -> None:
        """Take in what that survey has found."""
        self.surveyed(found, started)
        if self.has_more and self._empty_claims > 1:
            # What is due is locked by somebody: a peer who claims it, or a stranger.
            self._is(Known.LOCKED)
            self.wakeup.expect(now + LOCKED_SECONDS)

    def may_survey(self, now: float) -> bool:
        """Say whether a survey is worth its while: nothing is known to wait, nor is it too soon."""
        return not (self.has_more or self.is_paused) and self._cursors.may_survey(now)

    def surveyed(self, found: list[Surveyed], now: float) -> None:
        """Take in what a survey, begun ``now``, has found; without due tasks begin to wait."""
        self._found_at = time.monotonic()
        self._cursors.surveyed(found, now, self._found_at)
        has_due = any(survey.has_due for survey in found)
        self._is(Known.FOUND if has_due else Known.EMPTY)
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

    def _is(self, known: Known) -> None:
        self._known = known
        self.has_more = known in _HAS_MORE

    def _survey(self) -> bool:
        started = time.monotonic()
        self.surveyed(lifecycle.survey([self.queue_name])[self.queue_name], started)
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
