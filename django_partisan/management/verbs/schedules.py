"""The verb `schedules`: what there is and when it runs; pause, resume and run by name."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from django.db.models import QuerySet

from django_partisan.config.const import ExitCode
from django_partisan.exceptions import PartisanException
from django_partisan.lifecycle.rows import schedule_rows
from django_partisan.lifecycle.schedules import pause_schedule, resume_schedule, run_schedule
from django_partisan.management.options import add_option
from django_partisan.management.verbs.base import Console, Verb, add_format_argument
from django_partisan.management.verbs.durations import parse_duration
from django_partisan.models import StoredSchedule

_BY: Final = "manage.py partisan"


class Schedules(Verb):
    """Show the schedules, or pause, resume or run the named ones."""

    summary: ClassVar[str] = "show schedules; pause, resume or run them"
    description: ClassVar[str] = """\
Show all schedules, those of the code and those that people have added: when each runs next, when
it ran last, and what keeps it from running. With an action and names, do that with these. The exit
code is 1 when one of the names does not exist or could not be run.

  manage.py partisan schedules
  manage.py partisan schedules --format json
  manage.py partisan schedules pause nightly --until 2h --reason "the disk is full"
  manage.py partisan schedules resume nightly
  manage.py partisan schedules run nightly"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare action, names and options."""
        parser.add_argument(
            "action",
            nargs="?",
            choices=["list", *_ACTIONS],
            default="list",
            help="what to do (list)",
        )
        parser.add_argument("names", nargs="*", metavar="NAME", help="names of schedules")
        add_option(
            parser,
            "--until",
            type=parse_duration,
            metavar="DURATION",
            help="with pause: resume by itself after so long, as 90s, 15m, 12h, 7d",
        )
        add_option(parser, "--reason", default="", help="with pause: why, for others to read")
        add_format_argument(parser)

    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Show or change; 1 when something was not there or could not be done."""
        action, names = options["action"], list(dict.fromkeys(options["names"]))
        if action == "list":
            return _show(console, names, options["format"])
        if not names:
            raise PartisanException(f"Name the schedules to {action}; `list` shows them.")
        told = {name: _done(action, name, options) for name in names}
        if options["format"] == "json":
            console.write_json(told)
        else:
            console.write_table(["schedule", "outcome"], [list(item) for item in told.items()])
        is_all = all(said.startswith(_ACTIONS[action][0]) for said in told.values())
        return 0 if is_all else int(ExitCode.ERROR)


def _show(console: Console, names: list[str], output: str) -> int:
    rows: QuerySet[StoredSchedule] = schedule_rows().order_by("key")
    if names:
        rows = rows.filter(key__in=names)
    found = list(rows)
    if output == "json":
        console.write_json([_as_json(row) for row in found])
    elif found:
        head = ["name", "processor", "time", "next run", "last run", "state"]
        console.write_table(head, [_cells(row) for row in found])
    else:
        console.write("No schedules.")
    is_all = len(found) == len(names) or not names
    return 0 if is_all else int(ExitCode.ERROR)


def _cells(row: StoredSchedule) -> list[str]:
    moments = [
        "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
        for moment in (row.next_run_at, row.last_run_at)
    ]
    return [row.key, row.processor_class.rpartition(".")[2], _time(row), *moments, _state(row)]


def _time(row: StoredSchedule) -> str:
    if row.is_manual:
        return "by hand"
    return f"{row.cron} {row.timezone}" if row.cron else f"every {row.every_seconds} s"


def _state(row: StoredSchedule) -> str:
    if row.removed_at is not None:
        return "removed from the code"
    if row.problem:
        return f"problem: {row.problem}"
    if row.paused_at is not None:
        by = f" by {row.paused_by}" if row.paused_by else ""
        return f"paused{by}"
    return "active"


def _as_json(row: StoredSchedule) -> dict[str, Any]:
    moments = ("next_run_at", "last_run_at", "paused_at", "paused_until", "removed_at")
    plain = ("last_task_id", "missed", "skipped", "paused_by", "pause_reason", "problem")
    return {
        "name": row.key,
        "processor": row.processor_class,
        "origin": row.origin,
        "cron": row.cron or None,
        "every_seconds": row.every_seconds or None,
        "timezone": row.timezone,
        "state": _state(row).partition(":")[0],
        **{name: _iso(getattr(row, name)) for name in moments},
        **{name: getattr(row, name) for name in plain},
    }


def _iso(moment: Any) -> str | None:
    return None if moment is None else str(moment.isoformat())


def _done(action: str, name: str, options: Mapping[str, Any]) -> str:
    row = schedule_rows().filter(key=name).first()
    if row is None:
        return "does not exist"
    said, act = _ACTIONS[action]
    try:
        return f"{said}{act(row, options)}"
    except (PartisanException, TypeError, ValueError) as error:
        return f"failed: {error}"


def _pause(row: StoredSchedule, options: Mapping[str, Any]) -> str:
    seconds = options["until"]
    until = None if seconds is None else timedelta(seconds=seconds)
    pause_schedule(row.pk, until=until, reason=options["reason"], by=_BY)
    return ""


def _resume(row: StoredSchedule, _options: Mapping[str, Any]) -> str:
    resume_schedule(row.pk)
    return ""


def _run(row: StoredSchedule, _options: Mapping[str, Any]) -> str:
    task = run_schedule(row.pk)
    return f" task {task.pk}" + (", which waited already" if task.was_duplicate else "")


_ACTIONS: Final[dict[str, tuple[str, Callable[[StoredSchedule, Mapping[str, Any]], str]]]] = {
    "pause": ("paused", _pause),
    "resume": ("resumed", _resume),
    "run": ("made", _run),
}
"""What can be done with a schedule: how it is told, and what does it."""
