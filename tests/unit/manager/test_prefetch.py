from typing import Any, NamedTuple

import pytest

from django_partisan.manager.claiming.prefetch import (
    AHEAD_SECONDS,
    AT_ONCE_SECONDS,
    CLAIM_TASKS,
    Prefetch,
)
from django_partisan.manager.runtimes import Runtimes
from django_partisan.settings.settings_models import QueueSettings

LEAST, MOST = QueueSettings().MIN_QUEUE_SIZE, QueueSettings().MAX_QUEUE_SIZE


def prefetch(mean: float | None = None, **given: Any) -> Prefetch:
    runtimes = Runtimes()
    if mean is not None:
        runtimes.learn("shop.Mail", mean)
    return Prefetch(QueueSettings(WORKERS_COUNT=2, **given), runtimes)


def filled(asked: Prefetch, held: int) -> list[int]:
    """Fill a queue that holds so many by claims which find all they ask for; return their sizes."""
    limits = []
    while limit := asked.limit(held):
        limits.append(limit)
        asked.took(limit, limit, was_empty=False)
        held += limit
    return limits


def test_the_queue_is_filled_up_to_max_once_it_holds_min() -> None:
    asked = prefetch(MIN_QUEUE_SIZE=5, MAX_QUEUE_SIZE=20)
    asked.took(10, 20, was_empty=False)
    assert [asked.limit(held) for held in (20, 6, 5)] == [0, 0, 15]


def test_a_large_queue_is_filled_by_several_claims() -> None:
    asked = prefetch(MIN_QUEUE_SIZE=10, MAX_QUEUE_SIZE=CLAIM_TASKS + 110)
    assert filled(asked, 10) == [CLAIM_TASKS, 100]
    assert asked.limit(CLAIM_TASKS) == 0, "it is filled; it waits for MIN again"


def test_what_a_claim_did_not_find_is_not_looked_for_above_min() -> None:
    asked = prefetch(MIN_QUEUE_SIZE=5, MAX_QUEUE_SIZE=20)
    assert asked.limit(0) == 20
    asked.took(8, 20, was_empty=True)
    assert asked.limit(8) == 0
    assert asked.limit(4) == 16


@pytest.mark.parametrize("mean", [None, 1e-5, 0.5, 3600.0])
def test_given_sizes_hold_however_long_tasks_take(mean: float | None) -> None:
    asked = prefetch(mean, MIN_QUEUE_SIZE=5, MAX_QUEUE_SIZE=20)
    assert asked.limit(0) == 20


@pytest.mark.parametrize(
    ("mean", "most"),
    [
        (0.0, MOST),
        (1e-5, MOST),
        (2 * AHEAD_SECONDS / MOST, MOST),
        (0.01, 200),
        (0.5, 4),
        (3600.0, 2),  # one for each worker
    ],
)
def test_default_sizes_shrink_to_what_the_workers_start_within_a_second(
    mean: float, most: int
) -> None:
    asked = prefetch(mean)
    assert asked.limit(0) == min(most, CLAIM_TASKS)
    least = LEAST * most // MOST
    asked.took(0, most, was_empty=False)
    assert asked.limit(least + 1) == 0
    assert asked.limit(least) == min(most - least, CLAIM_TASKS)


def test_few_are_claimed_until_the_first_one_has_ended() -> None:
    assert prefetch().limit(0) == 20


def test_what_waited_too_long_makes_it_begin_anew_with_few() -> None:
    asked = prefetch(MIN_QUEUE_SIZE=5, MAX_QUEUE_SIZE=20)
    asked.had_too_many()
    limits = []
    for _ in range(5):
        limits.append(limit := asked.limit(0))
        asked.took(limit, limit, was_empty=True)
    assert limits == [2, 4, 8, 16, 20]


def test_few_are_never_more_than_max() -> None:
    asked = prefetch(MIN_QUEUE_SIZE=0, MAX_QUEUE_SIZE=1)
    asked.had_too_many()
    assert asked.limit(0) == 1


def test_many_workers_do_not_get_more_than_the_default_size() -> None:
    asked = Prefetch(QueueSettings(WORKERS_COUNT=2 * MOST), Runtimes())
    assert sum(filled(asked, 0)) == MOST


def test_it_stays_with_few_while_they_are_enough() -> None:
    asked = prefetch(MIN_QUEUE_SIZE=5, MAX_QUEUE_SIZE=20)
    asked.had_too_many()
    asked.took(2, 2, was_empty=False)
    assert asked.limit(0) == 2


class Share(NamedTuple):
    mean: float | None
    share: float


@pytest.mark.parametrize(
    ("mean", "most"),
    [
        (1e-5, CLAIM_TASKS),
        (AT_ONCE_SECONDS, 2),
        (AT_ONCE_SECONDS / 100, 200),
        (10.0, 1),
        (None, 1),
    ],
)
def test_one_of_many_queues_has_a_whole_claim_of_quick_tasks_and_its_share_of_slow_ones(
    mean: float | None, most: int
) -> None:
    asked = Prefetch(QueueSettings(WORKERS_COUNT=2), Share(mean, 0.005))
    assert asked.limit(0) == most
