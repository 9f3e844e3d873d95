"""Where a schedule stands: its next tick, by what its row says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django_partisan.config.moments import with_zone
from django_partisan.config.timing import next_after
from django_partisan.models import StoredSchedule

_TICK: Final = timedelta(microseconds=1)


def plan(schedule: StoredSchedule, now: datetime) -> None:
    """Set the next tick on the instance: the first one after now and after ``active_from``.

    None while nothing is to come: of a manual one, in a pause without an end, and where the line
    cannot be read, which is its problem then.
    """
    schedule.planned_cron = schedule.cron
    schedule.planned_every_seconds = schedule.every_seconds
    schedule.planned_timezone = schedule.timezone
    schedule.next_run_at = None
    if schedule.is_manual or schedule.removed_at is not None:
        return
    try:
        timing = schedule.timing
        begin = _begin(schedule, now)
        schedule.next_run_at = None if begin is None else next_after(timing, begin)
        schedule.problem = ""
    except (TypeError, ValueError) as error:
        schedule.problem = f"{error}"


def _begin(schedule: StoredSchedule, now: datetime) -> datetime | None:
    begin = now
    if schedule.active_from is not None:
        begin = max(begin, with_zone(schedule.active_from))
    if schedule.paused_at is not None:
        if schedule.paused_until is None:
            return None
        # A tick at that very moment is no longer in the pause.
        begin = max(begin, with_zone(schedule.paused_until) - _TICK)
    return begin
