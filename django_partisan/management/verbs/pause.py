"""The verbs `pause` and `resume`: start nothing of a queue or a processor for now, and go on."""

from __future__ import annotations

import getpass
import socket
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_partisan import control
from django_partisan.config.const import ExitCode
from django_partisan.exceptions import ConfigurationError
from django_partisan.management.options import add_option
from django_partisan.management.verbs.base import Console, Verb, add_format_argument
from django_partisan.management.verbs.durations import parse_duration
from django_partisan.models import Pause as PauseRow


class Pause(Verb):
    """Pause queues and processors, or show what is paused."""

    summary: ClassVar[str] = "start nothing of a queue or a processor for now; show what is paused"
    description: ClassVar[str] = """\
Start no tasks of a queue or a processor any more, on any host, until it is resumed or the stated
time has come. What runs goes on, what was claimed and has not started goes back, and tasks can be
enqueued as ever. Pausing what is paused already changes its end and its reason. Without a queue or
a processor, it shows what is paused.

  manage.py partisan pause
  manage.py partisan pause --queue mail --until 2h --reason "the relay is down"
  manage.py partisan pause --processor shop.partisan_tasks.Charge --until 2026-12-01T08:00+01:00"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare targets, end, reason and format."""
        _add_targets(parser, "pause")
        add_option(
            parser,
            "--until",
            type=_parse_end,
            metavar="WHEN",
            help="resume by itself: after 90, 15m, 12h or 7d, or at a moment with its zone, as "
            "2026-12-01T08:00+01:00 (default: not before somebody resumes it)",
        )
        add_option(parser, "--reason", default="", metavar="TEXT", help="why, for others to read")
        add_format_argument(parser)

    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Pause what was named, and tell of it; otherwise show what is paused."""
        targets = list(_targets(options))
        if not targets:
            _show(console, control.pauses(), options["format"])
            return 0
        with _refusals():
            rows = [
                control.pause(**target, until=options["until"], reason=options["reason"], by=_me())
                for target in targets
            ]
        if options["format"] == "json":
            console.write_json([_as_json(row) for row in rows])
            return 0
        for row in rows:
            former = "was paused already; its end and reason are changed" if row.was_paused else ""
            console.write(f"{row} {former or 'is paused'}{_until(row)}.")
            if doubt := control.doubt_about(control.target_of(row.queue_name, row.processor_class)):
                console.write(f"Warning: {doubt}")
        return 0


class Resume(Verb):
    """End pauses before their time."""

    summary: ClassVar[str] = "end the pause of a queue or a processor"
    description: ClassVar[str] = """\
End the pause of queues and processors: their tasks are claimed again at once. The exit code is 1
when one of them was not paused.

  manage.py partisan resume --queue mail
  manage.py partisan resume --processor shop.partisan_tasks.Charge"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare targets and format."""
        _add_targets(parser, "resume")
        add_format_argument(parser)

    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Resume what was named; 1 when one of them was not paused."""
        targets = list(_targets(options))
        if not targets:
            raise ConfigurationError("Say what to resume: --queue NAME or --processor NAME.")
        with _refusals():
            done = [(target, control.resume(**target)) for target in targets]
        if options["format"] == "json":
            console.write_json([{**target, "was_paused": was} for target, was in done])
        else:
            for target, was_paused in done:
                [(kind, name)] = target.items()
                said = "goes on" if was_paused else "was not paused"
                console.write(f"{kind.removesuffix('_name')} {name!r} {said}.")
        return 0 if all(was_paused for _, was_paused in done) else int(ExitCode.ERROR)


def _add_targets(parser: ArgumentParser, verb: str) -> None:
    parser.add_argument(
        *("--queue", "--queue_name", "--queue-name"),
        dest="queues",
        action="append",
        default=[],
        metavar="QUEUE",
        help=f"{verb} this queue; repeat it for more",
    )
    parser.add_argument(
        "--processor",
        dest="processors",
        action="append",
        default=[],
        metavar="NAME",
        help=f"{verb} this processor, by the name that tasks are stored under; repeat it for more",
    )


def _targets(options: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    yield from ({"queue_name": name} for name in dict.fromkeys(options["queues"]))
    yield from ({"processor": name} for name in dict.fromkeys(options["processors"]))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what `control` refuses into a sentence without a traceback."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _parse_end(text: str) -> datetime | timedelta:
    try:
        moment = parse_datetime(text.strip())
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no moment that any calendar has") from None
    if moment is None:
        return timedelta(seconds=parse_duration(text))
    if moment.utcoffset() is None:
        raise ArgumentTypeError(
            f"{text!r} has no time zone; write {moment.isoformat(timespec='minutes')}"
            f"{timezone.localtime().isoformat()[-6:]}, or a time from now as 2h"
        )
    return moment


def _me() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return socket.gethostname()


def _show(console: Console, rows: list[PauseRow], output: str) -> None:
    if output == "json":
        console.write_json([_as_json(row) for row in rows])
    elif not rows:
        console.write("Nothing is paused.")
    else:
        head = ["paused", "since", "until", "by", "reason"]
        console.write_table(head, [_cells(row) for row in rows])


def _cells(row: PauseRow) -> list[str]:
    until = "somebody resumes it" if row.until is None else _said(row.until)
    return [str(row), _said(row.paused_at), until, row.paused_by, row.reason]


def _as_json(row: PauseRow) -> dict[str, Any]:
    return {
        "queue": row.queue_name,
        "processor": row.processor_class,
        "since": row.paused_at.isoformat(),
        "until": row.until and row.until.isoformat(),
        "by": row.paused_by,
        "reason": row.reason,
        "was_paused": row.was_paused,
    }


def _until(row: PauseRow) -> str:
    return "" if row.until is None else f", until {_said(row.until)}"


def _said(moment: datetime) -> str:
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return local.isoformat(" ", "seconds")
