"""Two verbs on one task, the second at every statement boundary of the first: row 18 of the faults.

Races with a cancel are tested where cancelling is.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

import pytest
from django.db import connection

from django_partisan.attempt import FAILED, FINISHED, RELEASED, RETRIED, ClaimedTask
from django_partisan.models import Attempt
from tests.support.factories import (
    at_once,
    claim_new,
    ended_attempt,
    record,
    rescue,
    row_of,
    take_over,
)

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

Verb = Callable[[ClaimedTask], Sized]


def _end_as(kind: str) -> Verb:
    return lambda task: record(ended_attempt(task, kind))


VERBS: dict[str, Verb] = {
    "rescue": lambda _: rescue(),
    "take over": lambda _: take_over(),
    **{kind: _end_as(kind) for kind in (FINISHED, FAILED, RETRIED, RELEASED)},
}
PAIRS = [
    (first, second)
    for first in VERBS
    for second in VERBS
    if first != second and {first, second} & {"rescue", "take over"}
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_one_of_two_verbs_wins_wherever_they_meet(first: str, second: str) -> None:
    place, has_more = 0, True
    while has_more:
        has_more = _meet(VERBS[first], VERBS[second], place)
        place += 1
    assert place > 1, "they met inside and afterwards"


def _meet(first: Verb, second: Verb, place: int) -> bool:
    """Run one verb, and the other one from elsewhere before a statement of it, or after all."""
    [task] = claim_new()
    rival = _Rival(lambda: second(task), place)
    with connection.execute_wrapper(rival):
        moved = len(first(task))
    is_inside = rival.has_run
    if not is_inside:
        rival.run()
    assert moved + rival.moved == 1
    _assert_ended_once(task)
    return is_inside


def _assert_ended_once(task: ClaimedTask) -> None:
    """Fail when an outcome under the old lease still changes something."""
    before = row_of(task)
    assert not record(ended_attempt(task))
    after = row_of(task)
    assert (after.status, after.lease, after.updated_at) == (
        before.status,
        before.lease,
        before.updated_at,
    )
    assert Attempt.objects.filter(task_id=task.id, lease=task.lease).count() <= 1
    after.delete()


class _Rival:
    """Runs a verb on a connection of its own, before the statement with a number."""

    def __init__(self, verb: Callable[[], Sized], place: int) -> None:
        self._verb = verb
        self._statements_left = place
        self.has_run = False
        self.moved = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        if self._statements_left == 0:
            self.run()
        self._statements_left -= 1
        return execute(*arguments)

    def run(self) -> None:
        self.has_run = True
        self.moved = len(at_once(self._verb)[0])
