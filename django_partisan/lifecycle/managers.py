"""The manager's row: registering it, the heartbeat, who lives, and whose tasks are orphans."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

import django_partisan
from django_partisan.database import dialect_for
from django_partisan.database.values import Beat, Pulse
from django_partisan.exceptions import ManagerAlreadyRunning
from django_partisan.identity import Identity, is_gone
from django_partisan.lifecycle.rows import database, manager_rows, task_rows
from django_partisan.models import ManagerProcess, Task
from django_partisan.process_groups import Session, end_session

_SESSION_SECONDS: Final = 5.0
"""How long killed processes may take to end; less than the watchdog waits for an answer."""


def register(
    identity: Identity,
    queues: Sequence[str],
    launchers: Sequence[Session] = (),
    *,
    dead_after: float,
    is_named: bool,
    former: int | None,
    label: str = "",
) -> tuple[int, list[int]]:
    """Store a manager's row; return its id and the ids of its dead predecessors.

    A predecessor is a row of the same node whose process is certainly gone, a row of the same name
    elsewhere when the name was given (``is_named``), or ``former``, this process's own lost one.
    What is left of their workers on this host is ended before; from then on all of them count as
    dead. ``launchers`` are the sessions that the manager's own workers belong to.

    Raises ManagerAlreadyRunning where the database can have one manager only and another one lives:
    whose last beat is less than ``dead_after`` seconds old.
    """
    former_rows = [
        row
        for row in manager_rows().order_by("pk")
        if _is_predecessor(row, identity, is_named, former)
    ]
    # Outside of the transaction: this may take its time.
    dead = [row.pk for row in former_rows if row.pk == former or _has_no_workers(row, identity)]
    with transaction.atomic(using=database()):
        if dialect_for(database()).has_one_manager:
            _refuse_second(set(dead), dead_after)
        manager_rows().filter(pk__in=dead).update(last_seen=Now() - timedelta(days=365))
        row = manager_rows().create(launchers=launchers, **_own_columns(identity, queues, label))
    return row.pk, dead


def registered(
    manager_id: int, identity: Identity, queues: Sequence[str], label: str
) -> ManagerProcess:
    """Return the row of a manager that was registered so; all else is read when asked for."""
    known = {"id": manager_id, **_own_columns(identity, queues, label)}
    fields = ManagerProcess._meta.concrete_fields  # noqa: SLF001
    names = [field.attname for field in fields if field.attname in known]
    return ManagerProcess.from_db(database(), names, [known[name] for name in names])


def beat(
    manager_id: int,
    state: str,
    snapshot: dict[str, Any],
    dead_after: float,
    queue_names: Sequence[str] = (),
) -> Pulse:
    """Say that the manager lives, unless others hold it for dead or have removed its row.

    They do when its last beat is ``dead_after`` seconds old. The queues that are named are surveyed
    in the same breath.
    """
    alias = database()
    saying = Beat(manager_id, str(state), json.dumps(snapshot), dead_after, queue_names)
    return dialect_for(alias).beat(connections[alias], saying)


def note_launchers(manager_id: int, launchers: Sequence[Session]) -> None:
    """Store the sessions that a manager's workers belong to, before there is a worker in them."""
    manager_rows().filter(pk=manager_id).update(launchers=launchers)


def note_queues(manager_id: int, queues: Sequence[str]) -> None:
    """Store which queues a manager serves from now on."""
    manager_rows().filter(pk=manager_id).update(queues=list(queues))


def note_schedules(manager_id: int, schedules: Mapping[str, str]) -> None:
    """Store the schedules of the code that a manager runs: their definitions by their keys."""
    manager_rows().filter(pk=manager_id).update(schedules=dict(schedules))


def live_schedules(manager_id: int, dead_after: float) -> dict[str, set[str]]:
    """Return the definitions by key that other managers' code has, of those that live."""
    live = manager_rows().filter(last_seen__gt=_last_moment(dead_after), schedules__isnull=False)
    found: dict[str, set[str]] = {}
    for schedules in live.exclude(pk=manager_id).values_list("schedules", flat=True):
        for key, definition in (schedules or {}).items():
            found.setdefault(key, set()).add(definition)
    return found


def dead_siblings(identity: Identity, manager_id: int, dead_after: float) -> list[int]:
    """Return other managers of this host that seem to live and have certainly ended.

    What is left of their workers is ended; one that still has some is left out.
    """
    others = manager_rows().filter(boot_id=identity.boot_id, last_seen__gt=_last_moment(dead_after))
    return [
        row.pk
        for row in others.exclude(pk=manager_id)
        if is_gone(_identity_of(row)) and _has_no_workers(row, identity)
    ]


def deregister(manager_id: int) -> None:
    """Remove the manager's row, unless it still holds tasks: then whoever rescues them does."""
    manager_rows().filter(~Exists(_held_by(OuterRef("pk"))), pk=manager_id).delete()


def forget(manager_ids: list[int]) -> None:
    """Remove rows of dead managers that hold no task any more."""
    manager_rows().filter(~Exists(_held_by(OuterRef("pk"))), pk__in=manager_ids).delete()


def forget_dead(dead_after: float) -> None:
    """Remove every row without a recent beat whose tasks have all been rescued."""
    manager_rows().filter(
        ~Exists(_held_by(OuterRef("pk"))), last_seen__lte=_last_moment(dead_after)
    ).delete()


def orphans_of(manager_ids: list[int]) -> Q:
    """Return the condition on tasks that are held by one of these managers."""
    return Q(manager_id__in=manager_ids)


def orphans(dead_after: float) -> Q:
    """Return the condition on tasks whose manager has no row, or none with a recent beat."""
    live = manager_rows().filter(last_seen__gt=_last_moment(dead_after)).values("pk")
    return ~Q(manager_id__in=live)


def _own_columns(identity: Identity, queues: Sequence[str], label: str) -> dict[str, Any]:
    return {
        "node_name": identity.node_name,
        "pid": identity.pid,
        "boot_id": identity.boot_id,
        "process_started": identity.process_started,
        "version": django_partisan.__version__,
        "queues": list(queues),
        "label": label,
    }


def _last_moment(dead_after: float) -> Any:
    return Now() - timedelta(seconds=dead_after)


def _held_by(manager_id: Any) -> QuerySet[Task]:
    return task_rows().filter(status=Task.STATUS_IN_PROCESS, manager_id=manager_id)


def _is_predecessor(
    row: ManagerProcess, identity: Identity, is_named: bool, former: int | None
) -> bool:
    if row.pk == former:
        return True
    if row.node_name != identity.node_name:
        return False
    if is_named and row.boot_id != identity.boot_id:
        return True
    return is_gone(_identity_of(row))


def _identity_of(row: ManagerProcess) -> Identity:
    return Identity(row.node_name, row.boot_id, row.pid, row.process_started)


def _has_no_workers(row: ManagerProcess, identity: Identity) -> bool:
    """End what is left of a dead manager's workers; say whether none is left.

    Those of another boot or pid namespace are out of sight, and are gone with it.
    """
    if row.boot_id != identity.boot_id:
        return True
    # Each of them, also after one that goes on.
    ended = [
        end_session((leader, started), _SESSION_SECONDS) for leader, started in row.launchers or ()
    ]
    return all(ended)


def _refuse_second(dead: set[int], dead_after: float) -> None:
    live = (
        manager_rows().filter(last_seen__gt=_last_moment(dead_after)).exclude(pk__in=dead).first()
    )
    if live is not None:
        raise ManagerAlreadyRunning(
            f"A manager already serves this SQLite file: process {live.pid} on {live.node_name}. "
            "SQLite can have one; stop that one first, give it more workers "
            f"(--workers_count), or move to PostgreSQL. If it is gone for certain, wait "
            f"{dead_after:g} s."
        )
