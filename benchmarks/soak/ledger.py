"""The ledger: every task that was enqueued has come to its rightful end, and to one end only.

Ended tasks are pruned while the soak runs. So a trigger of the database notes each end as it is
written: whatever writes to a task that has ended already shows as a second one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from benchmarks.soak.kinds import Kind, kind_of

CREATE: Final = """
CREATE TABLE soak_effect (number bigint);
CREATE TABLE soak_end (
    id bigserial PRIMARY KEY, number bigint, status text,
    attempts int, retries int, postpones int, rescues int, crashes int);
CREATE FUNCTION soak_note_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO soak_end (number, status, attempts, retries, postpones, rescues, crashes)
    VALUES ((NEW.arguments->'args'->>0)::bigint, NEW.status,
            NEW.attempts, NEW.retries, NEW.postpones, NEW.rescues, NEW.crashes);
    RETURN NULL;
END $$;
CREATE TRIGGER soak_note_end AFTER UPDATE ON django_partisan_task FOR EACH ROW
WHEN (NEW.status IN ('finished', 'error', 'cancelled')) EXECUTE FUNCTION soak_note_end();
"""
LOST: Final = "lost"
STUCK: Final = "stuck"
TWICE: Final = "ended twice"
WRONG: Final = "ended wrong"
LEFT: Final = "left behind"
ALL: Final = (LOST, STUCK, TWICE, WRONG, LEFT)


class End(NamedTuple):
    """One end of one task."""

    number: int
    status: str
    attempts: int
    retries: int
    postpones: int
    rescues: int
    crashes: int


class Problem(NamedTuple):
    """One thing that breaks the rule."""

    kind: str
    text: str


@dataclass(kw_only=True)
class Left:
    """What is in the database when the producer and the manager have ended."""

    waiting: list[int]
    """The numbers of tasks that have not ended."""
    effects: Counter[int]
    """How many rows each ATOMIC task has written."""
    attempts: int
    """Attempts whose task is gone."""
    managers: int
    """Managers that have ended and left their row."""


def prepare() -> None:
    """Create what notes the ends; the tasks' tables must exist."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(CREATE)


def noted_ends() -> Iterator[End]:
    """Yield every end that was noted, in the order of the ends."""
    from django.db import connection

    columns = ", ".join(End._fields)
    with connection.chunked_cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM soak_end ORDER BY id")  # noqa: S608  # our own names
        yield from (End(*row) for row in cursor)


def left_behind() -> Left:
    """Look at what is left when nothing runs any more."""
    from django.db.models import Exists, OuterRef

    from django_partisan.models import Attempt, ManagerProcess, Task

    waiting = Task.objects.exclude(status__in=Task.TERMINAL_STATUSES)
    has_task = Exists(Task.objects.filter(pk=OuterRef("task_id")))
    return Left(
        waiting=[task.arguments["args"][0] for task in waiting.only("arguments")],
        effects=Counter(number for (number,) in _rows("SELECT number FROM soak_effect")),
        attempts=Attempt.objects.filter(~has_task).count(),
        managers=ManagerProcess.objects.count(),
    )


def problems(
    ends: Iterable[End], runs: bytes, enqueued: int, left: Left
) -> tuple[Counter[str], list[Problem]]:
    """Return how many tasks ended how, and everything that breaks the rule.

    ``runs`` holds a byte for each number: how often its task ran.
    """
    statuses, found, times = Counter[str](), list[Problem](), bytearray(enqueued)
    for end in ends:
        statuses[end.status] += 1
        if end.number >= enqueued:
            found.append(Problem(WRONG, f"task {end.number} was never enqueued"))
            continue
        times[end.number] += 1
        found += _problems_of(end, kind_of(end.number), runs[end.number], left)
    waiting = set(left.waiting)
    found += [Problem(STUCK, f"task {number} has not ended") for number in sorted(waiting)]
    found += _miscounted(times, waiting)
    if left.attempts:
        found.append(Problem(LEFT, f"{left.attempts} attempts of deleted tasks are left"))
    if left.managers:
        found.append(Problem(LEFT, f"{left.managers} managers have stopped and left their row"))
    return statuses, found


def _problems_of(end: End, kind: Kind, ran: int, left: Left) -> Iterator[Problem]:
    what = f"task {end.number} ({kind.name})"
    if end.status != kind.end:
        yield Problem(WRONG, f"{what} is {end.status} instead of {kind.end}")
        return
    if (end.retries, end.postpones) != (kind.retries, kind.postpones):
        yield Problem(WRONG, f"{what}: {end.retries} retries, {end.postpones} postpones")
    # A cancelled task may never have begun; one whose worker died may have run once more for each.
    fewest = kind.retries + kind.postpones + (end.status != "cancelled")
    if not fewest <= ran <= fewest + end.rescues + (end.status == "cancelled"):
        yield Problem(WRONG, f"{what} ran {ran} times, with {end.rescues} rescues")
    if end.attempts > 1 + end.retries + end.crashes:
        yield Problem(WRONG, f"{what} was charged {end.attempts} attempts")
    if kind.name == "Atomic" and left.effects[end.number] != 1:
        yield Problem(WRONG, f"{what} has left {left.effects[end.number]} effects")


def _miscounted(times: bytearray, waiting: set[int]) -> Iterator[Problem]:
    for number, count in enumerate(times):
        if count == 0 and number not in waiting:
            yield Problem(LOST, f"task {number} ({kind_of(number).name}) is lost")
        elif count > 1:
            yield Problem(TWICE, f"task {number} ({kind_of(number).name}) ended {count} times")


def _rows(query: str) -> list[Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[Any] = cursor.fetchall()
    return rows
