"""The next slot of a chain: whole steps after the last one, never past, never beyond the end."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partisan.config import const
from django_partisan.lifecycle.repeats import next_slot

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


def minutes(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0, 10), (3, 10), (10, 10), (10.1, 20), (20, 20), (55, 60), (600, 600)],
)
def test_slots_that_are_past_are_skipped(now: float, expected: float) -> None:
    assert next_slot(NOON, 600, None, minutes(now)) == minutes(expected)


def test_a_link_that_ran_before_its_slot_does_not_bring_the_next_one_forward() -> None:
    assert next_slot(NOON, 600, None, minutes(-300)) == minutes(10)


@pytest.mark.parametrize(("until", "is_there"), [(9.9, False), (10, True), (11, True)])
def test_a_slot_at_the_end_is_the_last_one(until: float, is_there: bool) -> None:
    assert (next_slot(NOON, 600, minutes(until), NOON) is not None) is is_there


def test_a_day_has_24_hours_whatever_the_clocks_do() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)  # 13:00 in Berlin, and then it is 14:00
    assert next_slot(before, const.DAILY, None, before) == before + timedelta(hours=24)


def test_a_chain_ends_with_the_last_year() -> None:
    last = datetime.max.replace(tzinfo=UTC) - timedelta(minutes=5)
    assert next_slot(last, 600, None, last) is None


@given(
    seconds=st.floats(0.001, 1e8),
    behind=st.floats(-1e6, 1e8),
)
def test_the_next_slot_is_the_first_one_that_is_not_past(seconds: float, behind: float) -> None:
    now = NOON + timedelta(seconds=behind)
    slot = next_slot(NOON, seconds, None, now)
    assert slot is not None
    steps = round((slot - NOON).total_seconds() / seconds)
    assert steps >= 1
    assert slot == NOON + timedelta(seconds=steps * seconds), "nothing drifts"
    assert slot >= now
    # One step before is past, or is the link itself; what floats cannot tell apart is as good.
    assert steps == 1 or (steps - 1) * seconds < behind + max(1e-6, math.ulp(behind) * 4)


def test_the_rhythms_are_in_seconds() -> None:
    rhythms = [const.HOURLY, const.DAILY, const.WEEKLY, const.EVERY_2_WEEKS, const.EVERY_4_WEEKS]
    assert rhythms == [3600, 86400, 604800, 1209600, 2419200]
