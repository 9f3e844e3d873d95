"""What tries have printed, on its way into its table and out of it while it is printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import connections
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from django_partisan.attempt import ClaimedTask
from django_partisan.lifecycle import notifications
from django_partisan.lifecycle.rows import database, follower_rows, output_rows, task_rows
from django_partisan.models import Follower, Output, Task
from django_partisan.payloads.printed import PrintedText, heading, missing

FOLLOWING_SECONDS: Final = 30.0
"""For so long a follower counts who says nothing more; then nothing is written for him."""
LOOK_SECONDS: Final = 0.5
"""How often he looks."""
_FIELDS: Final = ("number", "head", "tail", "left_out", "updated_at")


def store_outputs(printed: Sequence[tuple[ClaimedTask, PrintedText]]) -> None:
    """Store what tries have printed so far, each in place of what was stored of it before.

    Of tasks that are gone nothing is stored.
    """
    ids = {task.id for task, _ in printed}
    there = set(task_rows().filter(pk__in=ids).values_list("pk", flat=True))
    rows = [_row(task, text) for task, text in printed if task.id in there]
    if not rows:
        return
    takes_names = connections[database()].features.supports_update_conflicts_with_target
    output_rows().bulk_create(
        rows,
        update_conflicts=True,
        update_fields=_FIELDS,
        unique_fields=("task", "lease") if takes_names else None,
    )


def delete_outputs(tasks: QuerySet[Task] | Iterable[int]) -> None:
    """Delete what tasks have printed, and who follows them."""
    output_rows().filter(task__in=tasks).delete()
    follower_rows().filter(task__in=tasks).delete()


def has_followers() -> Exists:
    """Return the condition that somebody follows a task at this moment."""
    rows = Follower.objects.filter(task_id=OuterRef("pk"), until__gt=Now())
    return Exists(rows)


def follow_output(task_id: int, look_seconds: float = LOOK_SECONDS) -> Iterator[str]:
    """Yield what a task prints, as it comes, from its first try on, until it has ended.

    An empty text says that nothing has come for ``look_seconds``. Outside of a transaction: nothing
    would be seen within. Its manager may be on any host; it writes at most once a second what is
    followed, up to the last whole line. Nothing is missed or told twice; what was left out between
    two looks is counted in a line.
    """
    seen: dict[int, _Seen] = {}
    with _following(task_id) as renew:
        while True:
            renew()
            has_ended = _has_ended(task_id)
            new = "".join(_news(task_id, seen))
            yield new
            if has_ended:
                return
            if not new:
                time.sleep(look_seconds)


class _Seen:
    """How far somebody has come in what one try has printed."""

    def __init__(self) -> None:
        self.updated_at: object = None
        self.bytes = 0

    def news(self, output: Output) -> str:
        """Return what is new in it."""
        head, tail = output.head.encode(), output.tail.encode()
        start = len(head) + output.left_out
        gap = max(0, start - max(self.bytes, len(head)))
        new = head[self.bytes :].decode(errors="replace")
        new += missing(gap) if gap else ""
        new += tail[max(0, self.bytes - start) :].decode(errors="replace")
        self.bytes = max(self.bytes, start + len(tail))
        self.updated_at = output.updated_at
        return new


def _news(task_id: int, seen: dict[int, _Seen]) -> Iterator[str]:
    rows = output_rows().filter(task_id=task_id).order_by("pk")
    known = {pk: each.updated_at for pk, each in seen.items()}
    changed = [pk for pk, at in rows.values_list("pk", "updated_at") if known.get(pk) != at]
    for output in rows.filter(pk__in=changed) if changed else ():
        if output.pk not in seen and seen:
            yield heading(output.number)
        yield seen.setdefault(output.pk, _Seen()).news(output)


def _has_ended(task_id: int) -> bool:
    status = task_rows().filter(pk=task_id).values_list("status", flat=True).first()
    return status is None or status in Task.TERMINAL_STATUSES


@contextmanager
def _following(task_id: int) -> Iterator[Callable[[], None]]:
    """Say that somebody follows a task while inside; what is yielded says so again."""
    follower_rows().filter(until__lt=Now()).delete()
    until = Now() + timedelta(seconds=FOLLOWING_SECONDS)
    row = follower_rows().create(task_id=task_id, until=until)
    said_at = time.monotonic()
    queue_name = task_rows().filter(pk=task_id).values_list("queue_name", flat=True).first()
    if queue_name is not None:
        notifications.announce_cancel(database(), queue_name)

    def renew() -> None:
        nonlocal said_at
        if time.monotonic() - said_at > FOLLOWING_SECONDS / 3:
            said_at = time.monotonic()
            follower_rows().filter(pk=row.pk).update(until=until)

    try:
        yield renew
    finally:
        follower_rows().filter(pk=row.pk).delete()


def _row(task: ClaimedTask, text: PrintedText) -> Output:
    return Output(
        task_id=task.id,
        lease=task.lease,
        number=task.attempts,
        head=text.head,
        tail=text.tail,
        left_out=text.left_out,
        updated_at=Now(),
    )
