"""What a processor's SCHEDULES are made of: when, with which arguments, and what if it was late."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from django_partisan.config.timing import checked_every, checked_zone, timing_of

CatchUp = Literal["none", "latest", "all"]
CATCH_UPS: Final = ("none", "latest", "all")
"""What becomes of ticks that could not be fired in time: nothing, the latest one, all of them."""
_CATCH_UP_OF: Final = {True: "all", False: "none"}
DEFAULT_MAX_CATCH_UP: Final = 100
MAX_CATCH_UP: Final = 1_000
"""One transaction makes the tasks of all of them."""
MAX_KEY_LENGTH: Final = 255
_NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?")


@dataclass(frozen=True)
class Schedule:
    """When tasks of a processor are made by themselves, and how.

    Give a line of cron, of five fields or of six with the seconds last; or ``every``, a timedelta
    of whole seconds; or ``manual=True``, for what only somebody's "run now" starts. ``args`` and
    ``kwargs`` are the processor's arguments. ``name`` identifies the schedule in tables and on the
    command line, and should not change; without one, it is the processor's stored name.

    ``timezone`` is that of the line, by default TIME_ZONE. ``catch_up`` says what becomes of ticks
    that could not be fired in time: "none" (or False), "latest", or "all" (or True), of which there
    are ``max_catch_up`` at most. ``run_on_creation`` makes one task when the schedule is stored for
    the first time. ``scheduled_for_kwarg`` names a keyword argument that gets the tick's moment, as
    text of ISO 8601, None for a run by hand. ``queue_name`` and ``priority`` are the processor's
    where they are None.

    The values are checked when a processor's class is made of them.
    """

    cron: str | None = None
    _: KW_ONLY
    every: timedelta | None = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    timezone: str | ZoneInfo | None = None
    catch_up: CatchUp | bool = "latest"
    max_catch_up: int = DEFAULT_MAX_CATCH_UP
    run_on_creation: bool = False
    scheduled_for_kwarg: str | None = None
    manual: bool = False
    queue_name: str | None = None
    priority: int | None = None

    @property
    def zone_name(self) -> str:
        """The name of its zone, '' for TIME_ZONE."""
        return "" if self.timezone is None else str(self.timezone)

    def key(self, processor_name: str) -> str:
        """Return what identifies the schedule, of a processor of that stored name."""
        return self.name or processor_name

    def columns(self, processor_name: str) -> dict[str, Any]:
        """Return the columns of its row that its definition decides."""
        return {
            "processor_class": processor_name,
            "cron": self.cron or "",
            "every_seconds": 0 if self.every is None else checked_every(self.every),
            "timezone": checked_zone(self.zone_name).key,
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            "catch_up": checked_catch_up(self.catch_up),
            "max_catch_up": self.max_catch_up,
            "scheduled_for_kwarg": self.scheduled_for_kwarg or "",
            "is_manual": self.manual,
            "queue_name": self.queue_name or "",
            "priority": self.priority,
        }


def definition_hash(columns: Mapping[str, Any]) -> str:
    """Return what tells one definition from another."""
    text = json.dumps(columns, sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def checked_catch_up(given: object) -> str:
    """Return one of CATCH_UPS; raise ValueError for anything else."""
    catch_up = _CATCH_UP_OF.get(given) if isinstance(given, bool) else given
    if catch_up not in CATCH_UPS:
        raise ValueError(
            f"catch_up must be 'none' (False), 'latest' or 'all' (True), got {given!r}"
        )
    return str(catch_up)


def check_schedule(schedule: Schedule, key: str) -> None:
    """Raise TypeError or ValueError for values that cannot be, of a schedule of that key."""
    check_key(schedule.name)
    checked_zone(schedule.zone_name)
    checked_catch_up(schedule.catch_up)
    _check_kinds(schedule)
    if schedule.manual:
        if schedule.cron or schedule.every:
            raise ValueError("manual=True takes neither cron nor every: only a person starts it")
        return
    every = 0 if schedule.every is None else checked_every(schedule.every)
    cron = "" if schedule.cron is None else schedule.cron
    timing_of(cron, every, schedule.zone_name, key)


def check_key(name: object) -> None:
    """Raise TypeError or ValueError for what cannot be the name of a schedule."""
    if not isinstance(name, str):
        raise TypeError(f"name must be text, got {name!r}")
    if len(name) > MAX_KEY_LENGTH or (name and not _NAME.fullmatch(name)):
        raise ValueError(
            f"name must be a line of at most {MAX_KEY_LENGTH} characters without spaces at its "
            f"ends, got {name[:80]!r}"
        )


def check_scheduled_for(name: object, kwargs: Mapping[str, Any]) -> None:
    """Raise ValueError for what cannot be the name of the argument that gets the moment."""
    if not isinstance(name, str) or not name.isidentifier() or len(name) > MAX_KEY_LENGTH:
        raise ValueError(f"scheduled_for_kwarg must be the name of an argument, got {name!r}")
    if name in kwargs:
        raise ValueError(f"scheduled_for_kwarg={name!r} is among kwargs already; leave it out")


def checked_max_catch_up(given: object) -> int:
    """Return how many late ticks may be fired; raise ValueError for what cannot be."""
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_CATCH_UP:
        raise ValueError(f"max_catch_up must be a number from 1 to {MAX_CATCH_UP:,}, got {given!r}")
    return given


def _check_kinds(schedule: Schedule) -> None:
    if isinstance(schedule.args, (str, bytes)) or not isinstance(schedule.args, Sequence):
        raise TypeError(f"args must be a tuple or list, got {schedule.args!r}")
    if not isinstance(schedule.kwargs, Mapping):
        raise TypeError(f"kwargs must be a dict, got {schedule.kwargs!r}")
    for name in ("run_on_creation", "manual"):
        if not isinstance(getattr(schedule, name), bool):
            raise TypeError(f"{name} must be True or False, got {getattr(schedule, name)!r}")
    checked_max_catch_up(schedule.max_catch_up)
    if schedule.scheduled_for_kwarg is not None:
        check_scheduled_for(schedule.scheduled_for_kwarg, schedule.kwargs)
    if schedule.queue_name is not None and not isinstance(schedule.queue_name, str):
        raise TypeError(f"queue_name must be text, got {schedule.queue_name!r}")
