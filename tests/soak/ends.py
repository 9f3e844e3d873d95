"""Every task that was enqueued has come to its rightful end, and to one end only.

Ended tasks are pruned while the soak runs. So a trigger of the database notes each end as it is
written: whatever writes to a task that has ended already shows as a second one.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, OuterRef

from django_partisan.models import Attempt, ManagerProcess, Task
from tests.soak.load import Kind, kind_of
from tests.support.ledger import account_of
from tools.ledger import Account, Broken, Problem, Runs, doubled, lost, wrong

_COLUMNS: Final = "status, lease, attempts, retries, postpones, rescues, crashes"
_CREATE: Final = f"""
CREATE TABLE soak_effect (number bigint);
CREATE TABLE soak_end AS SELECT 0::bigint AS number, {_COLUMNS} FROM django_partisan_task LIMIT 0;
CREATE FUNCTION soak_note_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO soak_end VALUES ((NEW.arguments->'args'->>0)::bigint,
        NEW.{_COLUMNS.replace(", ", ", NEW.")});
    RETURN NULL;
END $$;
CREATE TRIGGER soak_note_end AFTER UPDATE ON django_partisan_task FOR EACH ROW
WHEN (NEW.status IN ('finished', 'error', 'cancelled')) EXECUTE FUNCTION soak_note_end();
"""
_DROP: Final = "DROP FUNCTION soak_note_end CASCADE; DROP TABLE soak_end, soak_effect"


@contextlib.contextmanager
def noting_ends() -> Iterator[None]:
    """Have every end noted for the length of the block."""
    _rows(_CREATE)
    try:
        yield
    finally:
        _rows(_DROP)


def problems(runs: Runs, enqueued: int) -> tuple[Counter[str], list[Problem]]:
    """Return how many tasks ended how, and everything that breaks the rule."""
    ends = [
        (number, Account(f"task {number} ({kind_of(number).name})", *columns))
        for number, *columns in _rows("SELECT * FROM soak_end")
    ]
    effects = Counter(number for (number,) in _rows("SELECT number FROM soak_effect"))
    waiting = Task.objects.exclude(status__in=Task.TERMINAL_STATUSES)
    unended = {task.arguments["args"][0]: account_of(task) for task in waiting}
    seen = Counter(number for number, _ in ends)
    found = [*lost(range(enqueued), seen.keys() | unended), *doubled(seen, "ended")]
    for number, account in (*ends, *unended.items()):
        found += wrong(account, runs.of(number))
    for number, account in ends:
        found += wrong_end(account, kind_of(number), runs.of(number), effects[number])
    return Counter(account.status for _, account in ends), [*found, *_left()]


def wrong_end(account: Account, kind: Kind, runs: int, effects: int) -> Iterator[Problem]:
    """Yield in what the end of a task is not that of its kind."""
    rightful = (kind.end, kind.retries, kind.postpones)
    if (account.status, account.retries, account.postpones) != rightful:
        yield Problem(Broken.COUNTED_WRONG, f"{account.name} has a wrong end: {account}")
        return
    # A cancelled task may never have begun; one whose worker died may have run once more for each.
    is_cancelled = account.status == "cancelled"
    fewest = kind.retries + kind.postpones + (not is_cancelled)
    if not fewest <= runs <= fewest + account.rescues + is_cancelled:
        yield Problem(Broken.COUNTED_WRONG, f"{account.name} ran {runs} times: {account}")
    if effects != (kind.name == "Atomic"):
        yield Problem(Broken.STALE, f"{account.name} has left {effects} effects")


def _left() -> Iterator[Problem]:
    has_task = Exists(Task.objects.filter(pk=OuterRef("task_id")))
    if attempts := Attempt.objects.filter(~has_task).count():
        yield Problem(Broken.LEFT, f"{attempts} attempts of deleted tasks are left")
    for manager in ManagerProcess.objects.all():
        yield Problem(Broken.LEFT, f"{manager} has stopped and left its row")


def _rows(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall()) if cursor.description else []
