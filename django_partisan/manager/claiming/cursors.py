"""Where a manager claims next: its cursors, and when to look at the whole queue again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

from django_partisan.attempt import ClaimedTask
from django_partisan.database.values import (
    MAX_PRIORITIES,
    Aside,
    Claimed,
    Cursor,
    Surveyed,
)

_SHARE: Final = 0.05
"""Surveys take at most this share of the time, however many dead entries they must walk over."""
_BUSY_SECONDS: Final = 0.25
"""How often a busy manager looks for better priorities and for what was committed late."""


class SurveyBudget:
    """Keeps the surveys of all queues together within their share of the time."""

    def __init__(self) -> None:
        self.allowed_at = 0.0
        """When the next survey is allowed."""

    def spent(self, started: float, ended: float) -> None:
        """Take note of a survey that ran between two moments of the monotonic clock."""
        self.allowed_at = ended + (ended - started) * (1 / _SHARE - 1)

    def forget(self) -> None:
        """Allow the next survey at once."""
        self.allowed_at = 0.0


class Cursors:
    """The cursors of one queue, one for each priority: behind them nothing is known to wait.

    A claim starts at the cursors and moves them on, so it does not walk over the entries of tasks
    that were claimed before; while a long transaction is open, those cannot be cleaned up. What
    appears behind a cursor (a late commit, a retry, a new priority) is found by the next survey,
    which sets the cursors anew.
    """

    def __init__(self, budget: SurveyBudget | None = None) -> None:
        self._budget = budget or SurveyBudget()
        self._cursors: dict[int, Cursor] = {}
        self._wanted_at = 0.0

    def __len__(self) -> int:
        return len(self._cursors)

    def current(self) -> Sequence[Cursor]:
        """Return the cursors in the order of their priority."""
        return [self._cursors[priority] for priority in sorted(self._cursors)]

    def forget(self) -> None:
        """Know nothing any more: a survey is due."""
        self._cursors.clear()
        self._budget.forget()
        self._wanted_at = 0.0

    def surveyed(self, found: Iterable[Surveyed], started: float, ended: float) -> None:
        """Take a survey in, which ran between two moments of the monotonic clock.

        A priority that is empty now is remembered: the next task is likely to come there, and a
        claim then finds it without a survey.
        """
        surveyed = {survey.cursor.priority: survey.cursor for survey in found}
        known = {**self._cursors, **surveyed}
        self._cursors = known if len(known) <= MAX_PRIORITIES else surveyed
        self._budget.spent(started, ended)
        self._wanted_at = max(ended + _BUSY_SECONDS, self._budget.allowed_at)

    def claimed(self, tasks: Claimed) -> None:
        """Move the cursors on, behind what a claim has taken and moved aside."""
        met: Sequence[ClaimedTask | Aside] = tasks
        if tasks.aside:
            met = sorted([*tasks, *tasks.aside], key=attrgetter("priority", "due", "id"))
        for task in met:
            if isinstance(task.due, int):
                self._cursors[task.priority] = Cursor(task.priority, task.due, task.id)

    def may_survey(self, now: float) -> bool:
        """Say whether a survey would keep within its share of the time."""
        return now >= self._budget.allowed_at

    def is_survey_due(self, now: float) -> bool:
        """Say whether a busy manager should look at the whole queue again."""
        return now >= self._wanted_at or not self._cursors

    def allowed_at(self) -> float:
        """Return when the next survey is allowed."""
        return self._budget.allowed_at
