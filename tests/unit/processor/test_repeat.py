"""What `repeat` and `repeat_until` cannot be is refused before anything is stored."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.support.processors import Plain

SOON = timezone.now() + timedelta(days=1)


@pytest.mark.parametrize("repeat", [0, -1, 0.0005, math.inf, math.nan, 1e12, timedelta(0)])
def test_a_time_that_no_chain_can_have_is_refused(repeat: Any) -> None:
    with pytest.raises(ValueError, match=r"repeat must be 0.001 seconds to ten years.*leave it"):
        Plain().delay(repeat=repeat)


@pytest.mark.parametrize("repeat", [True, "60", "daily", [60]])
def test_what_is_no_time_is_refused(repeat: Any) -> None:
    with pytest.raises(TypeError, match="repeat takes seconds or a timedelta"):
        Plain.delay_many([(1,)], repeat=repeat)


def test_an_end_without_a_chain_is_refused() -> None:
    with pytest.raises(ValueError, match="give repeat=seconds as well"):
        Plain().delay(repeat_until=SOON)


def test_an_end_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"repeat_until=.* has no time zone; use django"):
        Plain().delay(repeat=60, repeat_until=datetime(2099, 1, 1))


@pytest.mark.parametrize("until", [60, timedelta(1), "2099-01-01"])
def test_an_end_that_is_no_moment_is_refused(until: Any) -> None:
    with pytest.raises(TypeError, match="repeat_until takes a datetime"):
        Plain().delay(repeat=60, repeat_until=until)


@pytest.mark.parametrize(
    ("until", "options"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), {}),
        (SOON - timedelta(seconds=1), {"execute_after": SOON}),
    ],
)
def test_an_end_before_the_first_link_is_refused(until: datetime, options: Any) -> None:
    with pytest.raises(ValueError, match="is before the task is due; leave repeat away"):
        Plain().delay(repeat=60, repeat_until=until, **options)
