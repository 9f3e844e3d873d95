"""Firing what is due of the schedules, and pausing, resuming and running one of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import Error, connections, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from django_partisan.config.moments import in_utc, with_zone
from django_partisan.config.schedules import MAX_CATCH_UP
from django_partisan.config.timing import Due, Timing, due_between, next_after
from django_partisan.config.wording import counted
from django_partisan.database import dialect_for
from django_partisan.database.conditions import is_unplanned
from django_partisan.database.moments import microseconds_of, moment_of
from django_partisan.exceptions import PartisanException, ProcessorClassException
from django_partisan.fault_points import reach
from django_partisan.lifecycle.deletion import can_skip_locked
from django_partisan.lifecycle.enqueue import enqueue
from django_partisan.lifecycle.planning import plan
from django_partisan.lifecycle.rows import database, schedule_rows, task_rows
from django_partisan.logs import one_line
from django_partisan.models import StoredSchedule, Task
from django_partisan.registry.registry import registry

logger = logging.getLogger(__name__)
FIRED_ROWS: Final = 100
"""Schedules that one transaction fires."""
BUDGET_SECONDS: Final = 0.1
"""After so long, a transaction leaves the rest of them to the next one."""
ON_TIME_SECONDS: Final = 60.0
"""A tick that is later than that has been missed; only ``catch_up`` can fire it then."""
BACK_SECONDS: Final = 5.0
"""The same of a schedule that had a problem, whatever ``catch_up`` says."""
UNKNOWN_SECONDS: Final = 60.0
"""How long a tick of a processor that this code does not know is left to managers that do."""
LOCKED_SECONDS: Final = 0.1
"""How soon to look again at due schedules that somebody else has locked."""


class Fired(NamedTuple):
    """The queues that have got tasks, and in how many seconds to look again; None: never.

    ``blocked``: the ids of schedules whose task would be the duplicate of one that somebody's open
    transaction has stored. They should be left out for a while, since each waits for a moment.
    """

    queue_names: set[str]
    due_in: float | None
    blocked: set[int]


def fire_schedules(leave_out: Collection[int] = ()) -> Fired:
    """Make the tasks of what is due and move the schedules on, in one transaction.

    Whoever comes first has a row; others leave it out. What was changed by hand is planned anew.
    A schedule that cannot be fired is marked with its problem, and keeps none of the others.
    """
    alias = database()
    known = list(registry.classes_by_name())
    with dialect_for(alias).writing(connections[alias]), transaction.atomic(using=alias):
        queue_names, blocked = _fire_rows(alias, known, leave_out)
    reach("manager.fired_schedules")
    return Fired(queue_names, _due_in(alias, known, {*leave_out, *blocked}), blocked)


def run_schedule(pk: int) -> Task:
    """Make a task of a schedule now, whatever its plan and whether it is paused; return it.

    Raises StoredSchedule.DoesNotExist, ProcessorClassNotFound, and what ``.delay()`` raises.
    """
    alias = database()
    with dialect_for(alias).writing(connections[alias]), transaction.atomic(using=alias):
        schedule = schedule_rows().get(pk=pk)
        task = _make_task(schedule, None)
        schedule_rows().filter(pk=pk).update(last_run_at=Now(), last_task_id=task.pk)
    return task


def pause_schedule(
    pk: int, *, until: datetime | timedelta | None = None, reason: str = "", by: str = ""
) -> bool:
    """Pause a schedule; False when it is gone. Pausing it again replaces who, why and until.

    Raises TypeError or ValueError for an ``until`` that is no moment to come.
    """

    def paused(schedule: StoredSchedule, now: datetime) -> None:
        schedule.paused_at, schedule.paused_until = now, _moment(until, now)
        schedule.paused_by, schedule.pause_reason = by[:255], reason[:255]
        plan(schedule, now)

    return _changed(pk, paused)


def resume_schedule(pk: int) -> bool:
    """Let a schedule go on with its next tick from now on; False when it is gone."""

    def resumed(schedule: StoredSchedule, now: datetime) -> None:
        if schedule.paused_at is not None:
            _forget_pause(schedule)
            schedule.active_from = now
            plan(schedule, now)

    return _changed(pk, resumed)


def plan_schedule(schedule: StoredSchedule) -> None:
    """Set where a schedule stands, by the database's clock, as far as what it says was changed."""
    alias = database()
    is_new = schedule._state.adding  # noqa: SLF001
    if is_new or schedule.planned_by != schedule.planned:
        given = schedule.next_run_at if is_new else None
        now = dialect_for(alias).now(connections[alias])
        if not is_new or schedule.active_from is None:
            schedule.active_from = now
        plan(schedule, now)
        schedule.next_run_at = given or schedule.next_run_at


def next_runs(schedule: StoredSchedule, count: int) -> list[datetime]:
    """Return the next ticks, in UTC; none where none is planned. Raises ValueError for its line."""
    alias = database()
    if schedule.is_manual or schedule.removed_at is not None:
        return []
    if schedule.paused_at is not None and schedule.paused_until is None:
        return []
    now = dialect_for(alias).now(connections[alias])
    begin = now
    for moment in (schedule.active_from, schedule.paused_until and schedule.paused_until - _TICK):
        if moment is not None:
            begin = max(begin, with_zone(moment))
    return [instant for instant, _ in zip(schedule.timing.after(begin), range(count), strict=False)]


# ----- firing -----


def _fire_rows(
    alias: str, known: Sequence[str], leave_out: Collection[int]
) -> tuple[set[str], set[int]]:
    queue_names: set[str] = set()
    blocked: set[int] = set()
    begun = time.monotonic()
    others = schedule_rows().exclude(pk__in=leave_out) if leave_out else schedule_rows()
    rows = [
        *_locked(alias, others.filter(is_unplanned(connections[alias].vendor))),
        *_locked(alias, others.filter(_is_due(known)).order_by("next_run_at", "pk")),
    ]
    reach("manager.locked_schedules")
    if rows:
        dialect_for(alias).limit_waits(connections[alias])
    for schedule in {row.pk: row for row in rows}.values():
        try:
            queue_names.update(_fire(alias, schedule))
        except Error as error:
            if not dialect_for(alias).is_blocked(error):
                raise
            blocked.add(schedule.pk)
        if time.monotonic() - begun > BUDGET_SECONDS:
            break
    return queue_names, blocked


def _is_due(known: Sequence[str]) -> Q:
    is_known = Q(processor_class__in=known)
    return Q(next_run_at__lte=Now()) & (
        is_known | Q(next_run_at__lte=Now() - timedelta(seconds=UNKNOWN_SECONDS))
    )


def _locked(alias: str, rows: QuerySet[StoredSchedule]) -> list[Any]:
    dialect = dialect_for(alias)
    rows = rows.select_for_update(skip_locked=True) if can_skip_locked() else rows
    return list(
        rows.annotate(
            due_us=microseconds_of(dialect.microseconds_sql.format("next_run_at")),
            now_us=microseconds_of(dialect.microseconds_sql.format(dialect.now_sql)),
        )[:FIRED_ROWS]
    )


def _due_in(alias: str, known: Sequence[str], leave_out: Collection[int]) -> float | None:
    """Return in how many seconds there is something to fire; later of what this code lacks."""
    number = dialect_for(alias).microseconds_sql
    wait = f"{number.format('next_run_at')} - {number.format(dialect_for(alias).now_sql)}"
    rows = schedule_rows().filter(next_run_at__isnull=False).order_by("next_run_at", "pk")
    if leave_out:
        rows = rows.exclude(pk__in=leave_out)
    waits = rows.values_list(microseconds_of(wait), "processor_class")
    first, names = list(waits[:_LOOKED_AT]), set(known)
    if len(first) == _LOOKED_AT and not any(name in names for _, name in first):
        # Whatever the others are: they must not hide the next one of ours.
        first += waits.filter(processor_class__in=known)[:1]
    candidates = [
        # What is due and still there is locked by somebody, or was too much for one transaction.
        max(microseconds / 1e6 + (0 if name in names else UNKNOWN_SECONDS), LOCKED_SECONDS)
        for microseconds, name in first
    ]
    return min(candidates, default=None)


def _fire(alias: str, schedule: Any) -> set[str]:
    """Fire one locked schedule, and move it on; return the queues that have got tasks."""
    now = moment_of(schedule.now_us)
    if _must_be_planned(schedule, now):
        _plan_anew(schedule, now)
        _store(schedule)
        return set()
    try:
        due = _due(schedule, schedule.timing, now)
        schedule.next_run_at = next_after(schedule.timing, max(now, moment_of(schedule.due_us)))
    except (TypeError, ValueError):
        plan(schedule, now)  # which says what is wrong
        _store(schedule)
        return set()
    _forget_pause(schedule)
    missed, tasks = due.total - len(due.instants), []
    try:
        registry.get_processor_class_by_name(schedule.processor_class)
        with transaction.atomic(using=alias):
            tasks = [_make_task(schedule, tick) for tick in due.instants]
        schedule.problem = ""
    except Exception as error:
        if isinstance(error, Error) and not dialect_for(alias).is_refusal(error):
            raise
        missed = due.total
        _note_problem(schedule, error)
    reach("manager.made_tasks_of_schedule")
    _take_in(schedule, tasks, missed, now)
    _store(schedule)
    reach("manager.moved_schedule")
    return {task.queue_name for task in tasks if not task.was_duplicate}


def _plan_anew(schedule: Any, now: datetime) -> None:
    """Plan a row that was inserted or changed past its model; what that has decided stays."""
    is_planned = schedule.planned_by != _NEVER_PLANNED
    is_retimed = is_planned and schedule.planned_by != schedule.planned
    if is_retimed or schedule.active_from is None:
        schedule.active_from = now
    given = None if is_planned else schedule.due_us
    plan(schedule, now)
    if given is not None:
        schedule.next_run_at = moment_of(given)


def _must_be_planned(schedule: StoredSchedule, now: datetime) -> bool:
    """Say whether the row does not stand where it would be fired: it was changed by hand."""
    if schedule.planned_by != schedule.planned or schedule.next_run_at is None:
        return True
    if schedule.is_manual or schedule.removed_at is not None:
        return True
    if schedule.active_from is not None and with_zone(schedule.active_from) > now:
        return True
    is_open = schedule.paused_until is None or with_zone(schedule.paused_until) > now
    return schedule.paused_at is not None and is_open


def _due(schedule: Any, timing: Timing, now: datetime) -> Due:
    """Return the ticks to fire, and how many were due."""
    # Whatever somebody has written there.
    given = min(max(schedule.max_catch_up, 1), MAX_CATCH_UP)
    most = given if schedule.catch_up == "all" else 1
    due = due_between(timing, moment_of(schedule.due_us), now, most)
    late = (now - due.instants[-1]).total_seconds()
    if schedule.problem:
        # What came in a time in which it could not be fired is not made up for.
        return due if late <= BACK_SECONDS and due.total == 1 else Due([], due.total)
    if schedule.catch_up == "none" and (late > ON_TIME_SECONDS or due.total > 1):
        return Due([], due.total)
    return due


def _make_task(schedule: StoredSchedule, tick: datetime | None) -> Task:
    processor = registry.get_processor_class_by_name(schedule.processor_class)
    kwargs = dict(schedule.kwargs)
    if schedule.scheduled_for_kwarg:
        said = None if tick is None else tick.astimezone(schedule.zone).isoformat()
        kwargs[schedule.scheduled_for_kwarg] = said
    new_task = processor.task_of_schedule(
        schedule.args,
        kwargs,
        queue_name=schedule.queue_name,
        priority=schedule.priority,
        tick=tick if schedule.catch_up == "all" else None,
    )
    # Whatever ON_DUPLICATE says: a tick does not change a task that waits.
    task = enqueue(new_task, "keep")
    if not task.was_duplicate:
        task.schedule_id, task.scheduled_for = schedule.pk, tick
        task_rows().filter(pk=task.pk).update(schedule_id=schedule.pk, scheduled_for=tick)
    return task


def _take_in(schedule: StoredSchedule, tasks: Sequence[Task], missed: int, now: datetime) -> None:
    made = [task for task in tasks if not task.was_duplicate]
    schedule.skipped += len(tasks) - len(made)
    schedule.missed += missed
    if made:
        schedule.last_run_at, schedule.last_task_id = now, made[-1].pk
    if missed:
        logger.warning(
            "schedule %r has missed %s (catch_up=%r)",
            schedule.key,
            counted(missed, "tick"),
            schedule.catch_up,
        )


def _note_problem(schedule: StoredSchedule, error: Exception) -> None:
    said = str(error) if isinstance(error, PartisanException) else one_line(error)
    if schedule.problem != said:
        kind = logger.warning if isinstance(error, ProcessorClassException) else logger.error
        kind(
            "schedule %r cannot be fired, and is tried again at its next tick: %s",
            schedule.key,
            said,
        )
    schedule.problem = said


# ----- changing one -----


def _changed(pk: int, change: Any) -> bool:
    alias = database()
    with dialect_for(alias).writing(connections[alias]), transaction.atomic(using=alias):
        schedule = schedule_rows().select_for_update().filter(pk=pk).first()
        if schedule is None:
            return False
        change(schedule, dialect_for(alias).now(connections[alias]))
        _store(schedule)
    return True


def _store(schedule: StoredSchedule) -> None:
    changed = {name: getattr(schedule, name) for name in schedule.moved_fields()}
    if changed:
        schedule_rows().filter(pk=schedule.pk).update(**changed)


def _forget_pause(schedule: StoredSchedule) -> None:
    schedule.paused_at = schedule.paused_until = None
    schedule.paused_by = schedule.pause_reason = ""


def _moment(until: datetime | timedelta | None, now: datetime) -> datetime | None:
    if until is None:
        return None
    moment = now + until if isinstance(until, timedelta) else until
    if not isinstance(moment, datetime):
        raise TypeError(f"until takes an aware datetime or a timedelta, got {until!r}")
    moment = in_utc(moment, "until")
    if moment <= now:
        raise ValueError(f"until={until!r} is over already; give a moment to come")
    return moment


_TICK: Final = timedelta(microseconds=1)
_LOOKED_AT: Final = 20
_NEVER_PLANNED: Final = ("", 0, "")
