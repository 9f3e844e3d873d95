"""The verb `prune`: delete tasks that ended long enough ago."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from django_partisan import lifecycle
from django_partisan.config.wording import counted
from django_partisan.exceptions import ConfigurationError
from django_partisan.lifecycle.prune import Pruner
from django_partisan.management.options import add_option
from django_partisan.management.verbs.base import (
    Console,
    Verb,
    add_format_argument,
    add_queue_argument,
)
from django_partisan.management.verbs.durations import parse_duration, say_duration
from django_partisan.settings import PARTISAN_CONFIG, QueueSettings, merge_overrides

_STATUSES: Final = ("finished", "cancelled", "error")
_INTERRUPTED: Final = 130
"""What a shell reports for a command that Ctrl-C ended."""

_NOTHING_TO_DO: Final = """\
Nothing is configured to be pruned: ended tasks are kept for ever in {queues}.
Say how long to keep them, on the command line:
    manage.py partisan prune --keep-finished 7d --keep-failed 30d
or for good, so that the managers prune as well:
    PARTISAN_CONFIG = {{
        'default': {{'KEEP_FINISHED_SECONDS': 604800, 'KEEP_FAILED_SECONDS': 2592000}},
    }}"""


@dataclass(kw_only=True)
class _Result:
    """How many tasks of each queue have been deleted so far."""

    is_dry: bool
    settings: dict[str, QueueSettings]
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    """How many of each queue are to go and cannot, since something points at them."""
    seconds: float = 0.0
    is_complete: bool = True

    @property
    def total(self) -> int:
        return sum(count.total() for count in self.counts.values())


class Prune(Verb):
    """Delete ended tasks past their retention, batch by batch, with a summary."""

    summary: ClassVar[str] = "delete tasks that ended long enough ago"
    description: ClassVar[str] = """\
Delete ended tasks, with their attempts, once they are older than their queue keeps them:
KEEP_FINISHED_SECONDS for finished and cancelled tasks, KEEP_FAILED_SECONDS for tasks in error.
Ages count from the end of the task, on the database's clock. Waiting and running tasks are never
touched. Works in small batches, beside running managers; stop it at any time and start it again.

  manage.py partisan prune --dry-run
  manage.py partisan prune --queue_name mail --keep-finished 12h --keep-failed 30d"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare queues, ages, dry run and format."""
        add_queue_argument(parser)
        ages = {"finished": "finished and cancelled tasks", "failed": "tasks in error"}
        for name, what in ages.items():
            add_option(
                parser,
                f"--keep-{name}",
                type=parse_duration,
                metavar="AGE",
                help=f"keep {what} this long: seconds, or 15m, 12h, 7d, 2w "
                f"(default: the queue's KEEP_{name.upper()}_SECONDS)",
            )
        add_option(
            parser,
            "--dry-run",
            action="store_true",
            help="say what would be deleted, delete nothing",
        )
        add_format_argument(parser)

    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Prune the queues; 130 when Ctrl-C stopped it, with a summary of what was done."""
        result = _Result(is_dry=options["dry_run"], settings=_effective_settings(options))
        started = time.monotonic()
        try:
            for queue_name, settings in result.settings.items():
                counts = result.counts[queue_name] = Counter(dict.fromkeys(_STATUSES, 0))
                pruner = Pruner(queue_name, settings)
                for batch in _work(console, pruner, queue_name, settings, is_dry=result.is_dry):
                    counts.update(batch)
                    result.kept[queue_name] = pruner.kept
        except KeyboardInterrupt:
            result.is_complete = False
        result.seconds = time.monotonic() - started
        (_write_json if options["format"] == "json" else _write_table)(console, result)
        return 0 if result.is_complete else _INTERRUPTED


def _effective_settings(options: Mapping[str, Any]) -> dict[str, QueueSettings]:
    """Return settings by queue; raises UnknownQueue, or ConfigurationError when all keep all."""
    names = dict.fromkeys(options["queue_names"] or PARTISAN_CONFIG)
    found = {
        name: merge_overrides(
            name,
            keep_finished_seconds=options["keep_finished"],
            keep_failed_seconds=options["keep_failed"],
        )
        for name in names
    }
    if all(_keeps_all(settings) for settings in found.values()):
        queues = ", ".join(map(repr, found))
        raise ConfigurationError(_NOTHING_TO_DO.format(queues=f"queue {queues}"))
    return found


def _keeps_all(settings: QueueSettings) -> bool:
    return settings.KEEP_FINISHED_SECONDS is None and settings.KEEP_FAILED_SECONDS is None


def _work(
    console: Console, pruner: Pruner, queue_name: str, settings: QueueSettings, *, is_dry: bool
) -> Iterator[dict[str, int]]:
    """Yield the counts of each batch that was deleted, or would be."""
    if is_dry:
        yield lifecycle.count_prunable(queue_name, settings)
        return
    total = _total(queue_name, settings) if console.is_watched else 0
    done = 0
    while not pruner.is_done:
        batch = pruner.batch()
        done += sum(batch.values())
        yield batch
        console.show_progress(f"pruning {queue_name}", done + pruner.kept, max(done, total))


def _total(queue_name: str, settings: QueueSettings) -> int:
    return sum(lifecycle.count_prunable(queue_name, settings).values())


def _write_table(console: Console, result: _Result) -> None:
    rows = [
        [queue_name, *(counts[status] for status in _STATUSES), _kept(result.settings[queue_name])]
        for queue_name, counts in result.counts.items()
    ]
    console.write_table(["queue", *_STATUSES, "kept for"], rows)
    console.write(_summary(result))


def _kept(settings: QueueSettings) -> str:
    finished, failed = settings.KEEP_FINISHED_SECONDS, settings.KEEP_FAILED_SECONDS
    return f"finished {_said(finished)}, failed {_said(failed)}"


def _said(seconds: float | None) -> str:
    return "for ever" if seconds is None else say_duration(seconds)


def _summary(result: _Result) -> str:
    tasks = counted(result.total, "task")
    if result.is_dry:
        return f"Would delete {tasks}; this was a dry run, nothing was deleted."
    stopped = "" if result.is_complete else "Stopped. "
    return f"{stopped}Deleted {tasks} in {result.seconds:.1f} s.{_kept_back(result)}"


def _kept_back(result: _Result) -> str:
    if not (count := result.kept.total()):
        return ""
    what = "1 task is" if count == 1 else f"{count:,} tasks are"
    return f" {what} kept, because something points at {'it' if count == 1 else 'them'}."


def _write_json(console: Console, result: _Result) -> None:
    console.write_json(
        {
            "dry_run": result.is_dry,
            "complete": result.is_complete,
            "total": result.total,
            "kept": result.kept.total(),
            "seconds": round(result.seconds, 3),
            "queues": {name: dict(counts) for name, counts in result.counts.items()},
        }
    )
