"""The soak finds what grows, and an end that is not that of a task's kind."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.soak.ends import wrong_end
from tests.soak.load import BLOCK, KINDS, Kind, kind_of
from tests.soak.watch import RULES, verdicts
from tools.ledger import Account


def end_of(kind: Kind, **changes: Any) -> Account:
    retries, postpones = kind.retries, kind.postpones
    lease = 1 + retries + postpones
    end = Account(kind.name, kind.end, lease, 1 + retries, retries, postpones, 0, 0)
    return end._replace(**changes)


def test_every_kind_comes_as_often_as_its_share_says_and_in_the_first_seconds() -> None:
    counts = Counter(kind_of(number).name for number in range(BLOCK, 2 * BLOCK))
    assert counts == {kind.name: kind.share for kind in KINDS}
    assert {kind_of(number) for number in range(1500)} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_wrong_end_a_run_too_much_and_a_second_effect_are_found(kind: Kind) -> None:
    ran, effects = 1 + kind.retries + kind.postpones, int(kind.name == "Atomic")
    assert not list(wrong_end(end_of(kind), kind, ran, effects))
    assert not list(wrong_end(end_of(kind, rescues=1), kind, ran + 1, effects))
    assert list(wrong_end(end_of(kind), kind, ran + 1, effects))
    assert list(wrong_end(end_of(kind), kind, ran, effects + 1))
    assert list(wrong_end(end_of(kind, status="new"), kind, ran, effects))
    assert list(wrong_end(end_of(kind, retries=3), kind, ran, effects))


@pytest.mark.parametrize(
    ("series", "before", "after", "is_flat"),
    [
        ("memory of the manager, MB", 20, 21, True),
        ("memory of the manager, MB", 20, 21.1, False),  # more than 5 %
        ("memory of the manager, MB", 100, 102.1, False),  # more than 2 MB
        ("file descriptors of the manager", 20, 20, True),
        ("file descriptors of the manager", 20, 21, False),
        ("dead rows", 1000, 1250, True),
        ("dead rows", 1000, 1251, False),
        ("tasks due and waiting", 0, 100, True),
        ("tasks due and waiting", 0, 101, False),
    ],
)
def test_the_last_quarter_is_held_to_the_second(
    series: str, before: float, after: float, is_flat: bool
) -> None:
    values = [*[999.0] * 10, *[before] * 10, *[1.0] * 10, *[after] * 10]
    flat = dict.fromkeys(RULES, 1.0)
    found = verdicts([(second, {**flat, series: value}) for second, value in enumerate(values)])
    assert [of for of in found if not of.is_flat] == [of for of in found if of.series == series][
        is_flat:
    ]
    assert len(found) == len(RULES)
