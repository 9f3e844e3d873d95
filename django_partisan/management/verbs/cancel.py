"""The verb `cancel`: end tasks before their time, by id."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from django_partisan.config.const import ExitCode
from django_partisan.lifecycle import request_cancel
from django_partisan.lifecycle.rows import task_rows
from django_partisan.logs import one_line
from django_partisan.management.verbs.base import Console, Verb, add_format_argument

_BATCH: Final = 500
_LARGEST_ID: Final = 2**63 - 1


class Cancel(Verb):
    """Cancel tasks, and say which are cancelled, which are being stopped, and which cannot be."""

    summary: ClassVar[str] = "cancel tasks that wait or run"
    description: ClassVar[str] = """\
Cancel tasks by their ids: at once while they wait; of those in process their managers are asked to
stop them, within a second or two. Tasks that have ended stay as they are. The exit code is 1 when
one of the tasks had ended before or does not exist.

  manage.py partisan cancel 4711
  manage.py partisan cancel 4711 4712 --format json"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare ids and format."""
        parser.add_argument("ids", nargs="+", type=_task_id, metavar="ID", help="the task's id")
        add_format_argument(parser)

    def run(self, console: Console, options: Mapping[str, Any]) -> int:
        """Cancel the tasks; 1 when one of them could not be."""
        ids = sorted(set(options["ids"]))
        told = dict.fromkeys(ids, "")
        for start in range(0, len(ids), _BATCH):
            told.update(_cancel(ids[start : start + _BATCH]))
        if options["format"] == "json":
            console.write_json({str(task_id): outcome for task_id, outcome in told.items()})
        else:
            console.write_table(["task", "outcome"], [[str(i), said] for i, said in told.items()])
        is_all = all(outcome in ("cancelled", "stopping") for outcome in told.values())
        return 0 if is_all else int(ExitCode.ERROR)


def _cancel(ids: Sequence[int]) -> dict[int, str]:
    cancelled, requested = request_cancel(ids)
    done = {**dict.fromkeys(cancelled, "cancelled"), **dict.fromkeys(requested, "stopping")}
    others = task_rows().filter(pk__in=set(ids) - set(done))
    statuses = dict(others.values_list("pk", "status"))
    return {i: done.get(i) or _refusal(statuses.get(i)) for i in ids}


def _refusal(status: str | None) -> str:
    return "does not exist" if status is None else f"had ended before ({status})"


def _task_id(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:20]) <= _LARGEST_ID:
        raise ArgumentTypeError(f"{one_line(text, 40)!r} is no id of a task")
    return int(text)
