"""The arithmetic of waiting: growth, caps, jitter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partisan import backoff
from django_partisan.backoff import MAX_PAUSE_SECONDS, Backoff

pauses = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
tries = st.integers(min_value=1, max_value=10**40)


def test_a_constant_pause_is_the_same_for_every_try() -> None:
    assert [backoff.constant_pause(3, try_num) for try_num in (1, 2, 3)] == [3, 3, 3]


def test_an_incremental_pause_grows_by_itself() -> None:
    assert [backoff.incremental_pause(3, try_num) for try_num in (1, 2, 3)] == [3, 6, 9]


def test_an_exponential_pause_doubles() -> None:
    assert [backoff.exponential_pause(3, try_num) for try_num in (1, 2, 3)] == [3, 6, 12]


@pytest.mark.parametrize(
    "strategy", [backoff.constant_pause, backoff.incremental_pause, backoff.exponential_pause]
)
@given(pause=pauses, try_num=tries)
def test_no_pause_is_negative_or_above_ten_years_and_none_overflows(
    strategy: Any, pause: float, try_num: int
) -> None:
    assert 0 <= strategy(pause, try_num) <= MAX_PAUSE_SECONDS


@given(pause=pauses, maximum=pauses)
def test_a_bounded_pause_never_exceeds_its_maximum(pause: float, maximum: float) -> None:
    assert backoff.bounded(pause, maximum) <= maximum


@given(
    pause=st.floats(0, MAX_PAUSE_SECONDS),
    jitter=st.floats(0, 1),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_jitter_only_ever_shortens_and_by_no_more_than_its_part(
    pause: float, jitter: float, drawn: float
) -> None:
    jittered = backoff.jittered(pause, jitter, lambda: drawn)
    assert pause * (1 - jitter) <= jittered <= pause


def test_a_backoff_grows_to_its_maximum_and_starts_over_after_a_reset() -> None:
    waits = Backoff(initial=0.1, maximum=1, jitter=0)
    assert [waits.next() for _ in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1])
    waits.reset()
    assert waits.next() == pytest.approx(0.1)


def test_a_backoff_survives_any_number_of_failures() -> None:
    waits = Backoff(initial=0.1, maximum=5)
    assert all(0 < waits.next() <= 5 for _ in range(10_000))


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": -1, "maximum": 5},
        {"initial": 6, "maximum": 5},
        {"initial": 1, "maximum": 5, "factor": 0.5},
        {"initial": 1, "maximum": 5, "jitter": 2},
        {"initial": float("nan"), "maximum": 5},
    ],
)
def test_a_backoff_that_could_not_grow_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="backoff needs"):
        Backoff(**wrong)
