"""A schedule's instants: two zones, both changes of clocks, five fields, six, an interval and H."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partisan.config.cron import MAX_LINE_LENGTH, Cron
from django_partisan.config.timing import (
    MAX_COUNTED,
    checked_every,
    checked_zone,
    due_between,
    next_after,
    timing_of,
)

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
# From midnight to noon, local time, of the days on which the clocks change.
FORWARD = {
    BERLIN: datetime(2026, 3, 28, 23, tzinfo=UTC),
    NEW_YORK: datetime(2026, 3, 8, 5, tzinfo=UTC),
}
BACK = {
    BERLIN: datetime(2026, 10, 24, 22, tzinfo=UTC),
    NEW_YORK: datetime(2026, 11, 1, 4, tzinfo=UTC),
}
KEY = "nightly"  # its H is minute 21 and second 7


def instants(line: str, zone: str, begin: datetime, hours: float = 11) -> list[str]:
    """Return the instants as UTC, ``hh:mm`` or ``hh:mm:ss``."""
    end = begin + timedelta(hours=hours)
    found = takewhile(lambda i: i <= end, Cron(line, ZoneInfo(zone), KEY).after(begin))
    return [f"{i:%H:%M:%S}".removesuffix(":00") for i in found]


@pytest.mark.parametrize(
    ("line", "zone", "forward", "back"),
    [
        # 02:30 does not exist on the first day: 03:00 is right after. It comes twice on the second.
        ("30 2 * * *", BERLIN, ["01:00"], ["00:30"]),
        ("30 2 * * * 15", BERLIN, ["01:00:15"], ["00:30:15"]),
        ("30 2 * * * 0,40", BERLIN, ["01:00", "01:00:40"], ["00:30", "00:30:40"]),
        ("H 2 * * *", BERLIN, ["01:00"], ["00:21"]),
        ("H 2 * * * H", BERLIN, ["01:00:07"], ["00:21:07"]),
        ("0,30 2 * * *", BERLIN, ["01:00"], ["00:00", "00:30"]),
        ("30 3 * * *", BERLIN, ["01:30"], ["02:30"]),
        # What follows the clock on the wall has no missing hour, and the repeated one twice.
        ("*/30 2 * * *", BERLIN, [], ["00:00", "00:30", "01:00", "01:30"]),
        ("*/30 2 * * * 5", BERLIN, [], ["00:00:05", "00:30:05", "01:00:05", "01:30:05"]),
        ("0 */4 * * *", BERLIN, ["02:00", "06:00", "10:00"], ["03:00", "07:00"]),
        # There the clocks go from 02:00 to 03:00, and back from 02:00 to 01:00.
        ("30 2 * * *", NEW_YORK, ["07:00"], ["07:30"]),
        ("30 1 * * *", NEW_YORK, ["06:30"], ["05:30"]),
        ("30 1 * * * 15", NEW_YORK, ["06:30:15"], ["05:30:15"]),
        ("30 2 * * * 15", NEW_YORK, ["07:00:15"], ["07:30:15"]),
        ("H 1 * * *", NEW_YORK, ["06:21"], ["05:21"]),
        ("H 2 * * *", NEW_YORK, ["07:00"], ["07:21"]),
        ("*/30 1 * * *", NEW_YORK, ["06:00", "06:30"], ["05:00", "05:30", "06:00", "06:30"]),
    ],
)
def test_a_line_at_both_changes(line: str, zone: str, forward: list[str], back: list[str]) -> None:
    assert instants(line, zone, FORWARD[zone]) == forward
    assert instants(line, zone, BACK[zone]) == back


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
@pytest.mark.parametrize("changes", [FORWARD, BACK])
def test_an_interval_knows_no_changes(zone: str, changes: dict[str, datetime]) -> None:
    timing = timing_of("", 3 * 3600, zone, KEY)
    found = list(islice(timing.after(changes[zone]), 5))
    assert {later - sooner for sooner, later in pairwise(found)} == {timedelta(hours=3)}
    assert all(instant.hour % 3 == 0 and instant.minute == 0 for instant in found), "its anchor"


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("30 8 * * *", "2026-01-02 08:30:00"),
        ("* * * * * */20", "2026-01-01 12:00:20"),
        ("0 9 * * MON", "2026-01-05 09:00:00"),
        ("0 0 L * *", "2026-01-31 00:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 9 * * MON#1", "2026-01-05 09:00:00"),
        ("0 0 1 jan *", "2027-01-01 00:00:00"),
    ],
)
def test_what_a_line_says(line: str, first: str) -> None:
    begin = datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    found = next_after(timing_of(line, 0, "UTC", KEY), begin)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M:%S}" == first


LINES = ["* * * * *", "30 2 * * *", "*/20 1-3 * * *", "0,30 2 * * * */25", "H H * * *", "5 4 * * 1"]


@given(
    line=st.sampled_from(LINES),
    zone=st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "UTC"]),
    begin=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    hours=st.integers(1, 30),
)
def test_instants_are_the_same_in_both_directions_and_wherever_one_begins(
    line: str, zone: str, begin: datetime, hours: int
) -> None:
    timing, end = timing_of(line, 0, zone, KEY), begin + timedelta(hours=hours)
    there = list(takewhile(lambda i: i <= end, timing.after(begin)))
    back = list(takewhile(lambda i: i > begin, timing.back_from(end)))
    assert there == back[::-1]
    assert there == sorted(set(there)), "each once, and in order"
    for instant in there[:3]:
        assert next_after(timing, instant - timedelta(microseconds=1)) == instant


@given(st.text(min_size=1, max_size=40), st.sampled_from(["H", "H(10-19)", "H/15", "H(20-40)/7"]))
def test_h_is_stable_and_within_its_range(key: str, term: str) -> None:
    begin = datetime(2026, 5, 5, tzinfo=UTC)
    first, second = (
        list(islice(Cron(f"{term} * * * *", UTC, key).after(begin), 12)) for _ in range(2)
    )
    assert first == second
    minutes = {instant.minute for instant in first}
    if term == "H(10-19)":
        assert len(minutes) == 1
        assert minutes <= set(range(10, 20))
    if term == "H/15":
        assert len(minutes) == 4
        assert len({minute % 15 for minute in minutes}) == 1
    if term == "H(20-40)/7":
        assert minutes <= set(range(20, 41))


def test_keys_are_spread_by_h() -> None:
    begin = datetime(2026, 5, 5, tzinfo=UTC)
    minutes = {next(Cron("H * * * *", UTC, f"key {n}").after(begin)).minute for n in range(300)}
    assert len(minutes) > 50
    days = {next(Cron("0 0 H * *", UTC, f"key {n}").after(begin)).day for n in range(300)}
    assert days <= set(range(1, 29)), "days that each month has"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "has 0 fields"),
        ("* * *", "has 3 fields"),
        ("@daily", "has 1 field;"),
        ("0 30 8 * * * *", "has 7 fields"),
        ("61 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * * * * 60", "bad second"),
        ("*/0 * * * *", "bad minute"),
        ("0-99999999999 * * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("٣ * * * *", "bad minute"),
        ("H(50-70) * * * *", "no range of the minute"),
        ("H(9-3) * * * *", "no range of the minute"),
        ("H/61 * * * *", "step of 1 to 60"),
        ("H/0 * * * *", "step of 1 to 60"),
        ("HH * * * *", "bad minute"),
        ("L/2-3 * L * L", "cannot be read"),
        (",".join(["1"] * 60) + " * * * *", f"at most {MAX_LINE_LENGTH}"),
    ],
)
def test_what_is_no_line_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        timing_of(line or " ", 0, "UTC", KEY)


@pytest.mark.parametrize("name", ["Europe/Pariss", "nowhere", "../etc/passwd", "", "Europe", "\0"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    if not name:
        assert checked_zone(name).key == "UTC", "TIME_ZONE"
        return
    with pytest.raises(ValueError, match="is not known here"):
        checked_zone(name)


def test_a_zone_that_is_nearly_right_is_told() -> None:
    with pytest.raises(ValueError, match="did you mean 'Europe/Paris'"):
        checked_zone("Europe/Pariss")


@pytest.mark.parametrize("wrong", [0, -5, 0.5, 1.5, 20 * 365 * 86400])
def test_what_is_no_interval_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        checked_every(timedelta(seconds=wrong))
    with pytest.raises(TypeError, match="takes a timedelta"):
        checked_every(wrong)


def test_what_is_due_is_counted_and_the_newest_are_named() -> None:
    now = datetime(2026, 5, 5, 12, 0, 30, tzinfo=UTC)
    first = datetime(2026, 5, 5, 11, 51, tzinfo=UTC)
    due = due_between(timing_of("* * * * *", 0, "UTC", KEY), first, now, 3)
    assert [instant.minute for instant in due.instants] == [58, 59, 0]
    assert due.total == 10
    assert due_between(timing_of("* * * * *", 0, "UTC", KEY), now, now, 3) == ([now], 1)


def test_a_long_outage_costs_no_more_than_a_short_one() -> None:
    now = datetime(2026, 5, 5, tzinfo=UTC)
    first = now - timedelta(days=3650)
    due = due_between(timing_of("", 1, "UTC", KEY), first, now, 5)
    assert (len(due.instants), due.total) == (5, 3650 * 86400 + 1)
    due = due_between(timing_of("* * * * * *", 0, "UTC", KEY), first, now, 5)
    assert (len(due.instants), due.total) == (5, MAX_COUNTED), "of more, it is said that many"
