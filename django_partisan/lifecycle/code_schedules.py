"""Storing the schedules of the code, while several versions of that may be running."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connections, transaction

from django_partisan.config.schedules import Schedule, definition_hash
from django_partisan.database import dialect_for
from django_partisan.exceptions import ConfigurationError
from django_partisan.fault_points import reach
from django_partisan.lifecycle.managers import live_schedules, note_schedules
from django_partisan.lifecycle.planning import plan
from django_partisan.lifecycle.rows import database, schedule_rows
from django_partisan.lifecycle.schedules import run_schedule
from django_partisan.models import StoredSchedule
from django_partisan.registry.registry import registry

logger = logging.getLogger(__name__)
_MAX_FORMER: Final = 50
"""Former definitions of a schedule that are remembered."""


class Declared(NamedTuple):
    """A schedule of the code: what its row should say, and what tells that from other versions."""

    columns: Mapping[str, Any]
    hash: str
    run_on_creation: bool


def declared_schedules() -> dict[str, Declared]:
    """Return the schedules of all registered processors, by their keys.

    Raises ConfigurationError where two of them have one name.
    """
    found: dict[str, Declared] = {}
    for name, schedule in _of_registered():
        key, columns = schedule.key(name), schedule.columns(name)
        if key in found:
            raise ConfigurationError(
                f"Two schedules have one name, {key!r}: those of "
                f"{found[key].columns['processor_class']} and {name}. Give each a name= of its own."
            )
        found[key] = Declared(columns, definition_hash(columns), schedule.run_on_creation)
    return found


def store_code_schedules(
    declared: Mapping[str, Declared], manager_id: int, dead_after: float, written_by: str
) -> bool:
    """Store what the code of a manager has; False when it should be tried again, as others differ.

    A definition is stored unless another one has replaced it before: then it is taken for that of
    an older version, and the newer one stays while a manager lives whose code has it. What no live
    manager's code has any more is marked as removed, and stays with its history.
    """
    rows = {row.key: row for row in schedule_rows().filter(key__in=declared)}
    ours = StoredSchedule.Origin.CODE
    gone = schedule_rows().filter(origin=ours, removed_at=None).exclude(key__in=declared)
    if not declared and not gone.exists():
        return True
    note_schedules(manager_id, {key: each.hash for key, each in declared.items()})
    if not gone.exists() and not _differing(declared, rows):
        return True
    alias = database()
    with dialect_for(alias).writing(connections[alias]), transaction.atomic(using=alias):
        now = dialect_for(alias).now(connections[alias])
        others = live_schedules(manager_id, dead_after)
        _insert(declared, now, written_by)
        reach("manager.inserted_schedules")
        rows = {
            row.key: row
            for row in schedule_rows().select_for_update().filter(key__in=declared).order_by("key")
        }
        updated = [
            _update(rows[key], each, others, now, written_by) for key, each in declared.items()
        ]
        return _remove_gone(list(gone), others, now) and all(updated)


def _of_registered() -> Iterator[tuple[str, Schedule]]:
    for name in registry.names():
        for schedule in vars(registry.get_processor_class_by_name(name)).get("SCHEDULES", ()):
            yield name, schedule


def _differing(declared: Mapping[str, Declared], rows: Mapping[str, StoredSchedule]) -> bool:
    return any(
        key not in rows
        or rows[key].definition_hash != each.hash
        or rows[key].removed_at is not None
        for key, each in declared.items()
    )


def _insert(declared: Mapping[str, Declared], now: datetime, written_by: str) -> None:
    """Insert what is not there; of two managers that begin together, one does."""
    known = set(schedule_rows().filter(key__in=declared).values_list("key", flat=True))
    for key, each in sorted(declared.items()):
        if key in known:
            continue
        row = StoredSchedule(
            key=key,
            origin=StoredSchedule.Origin.CODE,
            definition_hash=each.hash,
            written_by=written_by,
            active_from=now,
            **each.columns,
        )
        plan(row, now)
        schedule_rows().bulk_create([row], ignore_conflicts=True)
        if each.run_on_creation:
            stored = schedule_rows().select_for_update().get(key=key)
            # The loser of a race finds the winner's row here, with its task.
            if stored.last_task_id is None and stored.definition_hash == each.hash:
                run_schedule(stored.pk)


def _update(
    row: StoredSchedule,
    declared: Declared,
    others: Mapping[str, set[str]],
    now: datetime,
    written_by: str,
) -> bool:
    """Bring a locked row up to the code; False when a newer version's definition is left there."""
    if row.origin != StoredSchedule.Origin.CODE:
        logger.error(
            "the code's schedule %r is not stored: people have added one of that name; rename "
            "one of the two",
            row.key,
        )
        return True
    if row.definition_hash == declared.hash:
        if row.removed_at is not None:
            row.removed_at, row.active_from = None, now
            _plan_and_store(row, now, ["removed_at"])
        return True
    is_older = declared.hash in row.former_hashes
    if is_older and row.removed_at is None and row.definition_hash in others.get(row.key, ()):
        return False
    former = [each for each in row.former_hashes if each != declared.hash]
    for name, value in declared.columns.items():
        setattr(row, name, value)
    row.former_hashes = [*former, row.definition_hash][-_MAX_FORMER:]
    row.definition_hash, row.written_by = declared.hash, written_by
    is_retimed = row.planned != row.planned_by
    if is_retimed or row.removed_at is not None:
        row.active_from = now
    row.removed_at = None
    _plan_and_store(
        row,
        now,
        [*declared.columns, "former_hashes", "definition_hash", "written_by", "removed_at"],
    )
    return True


def _plan_and_store(row: StoredSchedule, now: datetime, names: list[str]) -> None:
    if row.planned != row.planned_by or row.next_run_at is None or row.is_manual:
        plan(row, now)
    values = {name: getattr(row, name) for name in {*names, *row.moved_fields()}}
    schedule_rows().filter(pk=row.pk).update(**values)


def _remove_gone(gone: list[StoredSchedule], others: Mapping[str, set[str]], now: datetime) -> bool:
    removed = [row.pk for row in gone if row.key not in others]
    schedule_rows().filter(pk__in=removed, removed_at=None).update(removed_at=now, next_run_at=None)
    return len(removed) == len(gone)
