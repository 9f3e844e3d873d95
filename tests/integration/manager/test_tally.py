"""A manager that does something says so once a minute, and one that does nothing is quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from django_partisan.manager import WorkersManager
from django_partisan.manager.duties.tally import Tally

MINUTE = 60.0
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    """Return a manager whose loop does not run."""
    made = WorkersManager()
    yield made
    made.link.end()
    made.selector.close()


@pytest.fixture
def tally(manager: WorkersManager) -> Tally:
    """Return its tally, one minute of which has begun at 1000."""
    made = Tally(manager.recorder, manager.queue, manager.pool)
    made.turn(1000.0)
    return made


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "django_partisan.manager.duties.tally"):
        yield caplog


def test_each_minute_tells_what_was_done_in_it(
    manager: WorkersManager, tally: Tally, told: pytest.LogCaptureFixture
) -> None:
    manager.recorder.counts.update(finished=1200, retried=1)
    tally.turn(1000.0 + MINUTE)
    manager.recorder.counts.update(failed=2)
    tally.turn(1000.0 + 2 * MINUTE)
    where = "in the local queue: 0, in workers' hands: 0"
    assert [record.getMessage() for record in told.records] == [
        f"in the last minute: 1,200 finished, 1 retried; {where}",
        f"in the last minute: 2 failed; {where}",
    ]


def test_nothing_is_told_before_the_minute_is_over_or_when_nothing_was_done(
    manager: WorkersManager, tally: Tally, told: pytest.LogCaptureFixture
) -> None:
    assert tally.next_deadline() == 1000.0 + MINUTE
    tally.turn(1000.0 + MINUTE)
    manager.recorder.counts.update(finished=1)
    tally.turn(1000.0 + MINUTE + 1)
    assert not told.records


def test_the_tally_is_one_of_the_duties_of_a_manager(manager: WorkersManager) -> None:
    assert any(isinstance(duty, Tally) for duty in manager._local_duties)
