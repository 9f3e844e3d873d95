"""The verb `check-payloads`: whether this code can run what is stored."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from django_partisan.attempt import ClaimedTask, ErrorReport
from django_partisan.config.const import ExitCode
from django_partisan.config.wording import close_match, counted
from django_partisan.exceptions import ConfigurationError
from django_partisan.execution import refusal_of
from django_partisan.lifecycle.to_run import tasks_to_run
from django_partisan.management.verbs.base import Console, Verb, add_format_argument
from django_partisan.registry.registry import registry
from django_partisan.settings import get_queue_settings

_INTERRUPTED: Final = 130
"""What a shell reports for a command that Ctrl-C ended."""
_MOST_IDS: Final = 1000
"""Ids that are kept of one reason."""
_MOST_REASONS: Final = 20
"""Reasons that are kept of one processor."""
_OTHERS: Final = ErrorReport("", "other reasons", "")
_SHOWN_IDS: Final = 5


@dataclass(kw_only=True)
class _Refused:
    """Tasks that cannot be run for one reason."""

    count: int = 0
    ids: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class _Looked:
    """What was seen of one processor's tasks."""

    tasks: int = 0
    refused: dict[tuple[str, str], _Refused] = field(default_factory=dict)

    @property
    def cannot(self) -> int:
        return sum(each.count for each in self.refused.values())

    def note(self, task: ClaimedTask, refusal: ErrorReport | None) -> None:
        self.tasks += 1
        if refusal is None:
            return
        key = refusal.type, refusal.message
        if key not in self.refused and len(self.refused) >= _MOST_REASONS:
            key = _OTHERS.type, _OTHERS.message
        reason = self.refused.setdefault(key, _Refused())
        reason.count += 1
        if len(reason.ids) < _MOST_IDS:
            reason.ids.append(task.id)


class CheckPayloads(Verb):
    """Look through the tasks that are still to run for what this code could not run."""

    summary: ClassVar[str] = "look for stored tasks that this code could not run"
    description: ClassVar[str] = """\
Look through all tasks that are still to run, new, waiting and in process, and make the processor of
each, as a worker would, without running it. Says by processor how many this code can run, and which
not, with the reason: no such processor, arguments that its constructor or its Params refuses, a
version that it cannot read. Changes nothing. Meant for a deploy, before its code starts: the exit
code is 1 when there is anything that it cannot run.

  manage.py partisan check-payloads
  manage.py partisan check-payloads --processor shop.partisan_tasks.Charge --format json"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare queues, processors and format."""
        parser.add_argument(
            *("--queue", "--queue_name", "--queue-name"),
            dest="queues",
            action="append",
            default=[],
            metavar="QUEUE",
            help="only tasks of this queue; repeat it for more (default: all)",
        )
        parser.add_argument(
            "--processor",
            dest="processors",
            action="append",
            default=[],
            metavar="NAME",
            help="only tasks of this processor, whichever of its names they are stored under; "
            "repeat it for more (default: all)",
        )
        add_format_argument(parser)

    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Look; 1 when a task cannot be run, 130 when Ctrl-C ended it."""
        for queue in options["queues"]:
            get_queue_settings(queue)
        names = {name: _names_of(name) for name in options["processors"]}
        stored = {each for same in names.values() for each in same}
        looked: dict[str, _Looked] = {}
        is_complete = True
        try:
            _look(console, looked, options["queues"], stored)
        except KeyboardInterrupt:
            is_complete = False
        if is_complete:
            _refuse_unknown(names, looked)
        write = _write_json if options["format"] == "json" else _write_table
        write(console, dict(sorted(looked.items())), is_complete)
        if not is_complete:
            return _INTERRUPTED
        return int(ExitCode.ERROR) if any(each.cannot for each in looked.values()) else 0


def _look(
    console: Console, looked: dict[str, _Looked], queues: Collection[str], stored: Collection[str]
) -> None:
    unknown: dict[str, ErrorReport | None] = {}
    for page in tasks_to_run(queues, stored):
        for task in page.tasks:
            name = task.processor_class
            refusal = unknown[name] if name in unknown else refusal_of(task)
            if not registry.is_processor_registered(name):
                unknown[name] = refusal  # What may be meant instead takes long to find.
            looked.setdefault(name, _Looked()).note(task, refusal)
        console.show_progress("looking through ids", page.done, page.total)


def _names_of(name: str) -> list[str]:
    """Return all names under which tasks of the processor with a name may be stored."""
    known = registry.classes_by_name()
    meant = known.get(name)
    return [name] if meant is None else [each for each, kind in known.items() if kind is meant]


def _refuse_unknown(names: Mapping[str, Sequence[str]], looked: Collection[str]) -> None:
    for name, same in names.items():
        if not registry.is_processor_registered(name) and not {*looked}.intersection(same):
            close = close_match(name, registry.names())
            raise ConfigurationError(
                f"No processor and no task that is still to run has the name {name!r}"
                + (f"; did you mean {close!r}?" if close else ".")
            )


def _write_table(console: Console, looked: Mapping[str, _Looked], is_complete: bool) -> None:
    if looked:
        rows = [[name, o.tasks, o.tasks - o.cannot, o.cannot] for name, o in looked.items()]
        console.write_table(["processor", "tasks", "can run", "cannot run"], rows)
    for name, seen in looked.items():
        for (_, message), reason in seen.refused.items():
            told = " ".join(message.split())
            console.write(f"{name}, {counted(reason.count, 'task')} ({_ids(reason)}): {told}")
    console.write(_summary(looked, is_complete))


def _ids(reason: _Refused) -> str:
    told = list(map(str, reason.ids[:_SHOWN_IDS]))
    more = reason.count - len(told)
    return ", ".join(told) + (f" and {more:,} more" if more else "")


def _summary(looked: Mapping[str, _Looked], is_complete: bool) -> str:
    tasks = sum(each.tasks for each in looked.values())
    cannot = sum(each.cannot for each in looked.values())
    stopped = "" if is_complete else "Stopped. "
    if not tasks:
        return f"{stopped}No task is still to run."
    if not cannot:
        return f"{stopped}This code can run {counted(tasks, 'task')}: all that were looked at."
    return (
        f"{stopped}This code cannot run {cannot:,} of {counted(tasks, 'task')}: they would end in "
        "error. Correct it before it starts, or cancel them."
    )


def _write_json(console: Console, looked: Mapping[str, _Looked], is_complete: bool) -> None:
    console.write_json(
        {
            "complete": is_complete,
            "tasks": sum(each.tasks for each in looked.values()),
            "cannot_run": sum(each.cannot for each in looked.values()),
            "processors": {
                name: {
                    "tasks": seen.tasks,
                    "can_run": seen.tasks - seen.cannot,
                    "cannot_run": seen.cannot,
                    "reasons": [
                        {"error": error, "message": message, "count": of.count, "ids": of.ids}
                        for (error, message), of in seen.refused.items()
                    ],
                }
                for name, seen in looked.items()
            },
        }
    )
