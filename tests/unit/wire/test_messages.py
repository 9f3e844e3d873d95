"""Every message says the same at both ends, and whatever else arrives is garbled."""

from __future__ import annotations

import itertools
import marshal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partisan import attempt
from django_partisan.attempt import (
    CRASHED,
    EXPIRED,
    ORPHANED,
    ErrorReport,
    Interim,
    Outcome,
)
from django_partisan.wire import messages
from django_partisan.wire.channel import GarbledError
from django_partisan.wire.messages import (
    Chunk,
    Limited,
    Retired,
    Stop,
    cancel_message,
    cancels_in,
    give_back_message,
    give_backs_in,
    message_of,
    order_in,
    report_in,
)
from tests.support.claimed_tasks import claimed_task

KINDS = {value for name, value in vars(attempt).items() if name.isupper()}
REPORTED = sorted(KINDS - {CRASHED, ORPHANED, EXPIRED})
# Another value in each field, so that none can take the place of another.
TASK = claimed_task(
    1, lease=2, priority=3, due=4, attempts=5, retries=6, postpones=7, rescues=8, crashes=9
)
OUTCOME = Outcome(
    task_id=1,
    lease=2,
    kind="failed",
    started=3.0,
    ended=4.0,
    result="5",
    delay_seconds=6.0,
    due_at=7.0,
    error=ErrorReport("type", "message", "traceback"),
)
INTERIM = Interim(1, 2, 3.0, 4.0, 5.0, "message", 6, "[7]", 8, 9)
FIELDS = {"task_id": 1, "lease": 2, "started": 3, "ended": 4, "result": 5, "delay": 6, "due": 7}


def travelled(message: Any) -> Any:
    return marshal.loads(marshal.dumps(message))


def changed(field: str, value: Any) -> tuple[Any, ...]:
    """Return the message of an outcome with another value in the place of a field."""
    message = list(message_of(OUTCOME))
    message[{"kind": 0, "error": 8, **FIELDS}[field]] = value
    return tuple(message)


@pytest.mark.parametrize("order", [Chunk(255, [TASK, TASK._replace(id=10)]), Chunk(0, []), Stop()])
def test_an_order_is_read_as_it_was_given(order: messages.Order) -> None:
    read = order_in(travelled(message_of(order)))
    assert read == order
    assert type(read) is type(order)


@pytest.mark.parametrize(
    "report",
    [
        OUTCOME,
        *(OUTCOME._replace(kind=kind, error=None) for kind in REPORTED),
        OUTCOME._replace(kind="finished", result=None, delay_seconds=None, due_at=None, error=None),
        OUTCOME._replace(kind="postponed", delay_seconds=3, due_at=-1e11, error=None),
        Limited(1.5, 2, 3.5, 7),
        Retired(),
        INTERIM,
        Interim(1, 2, 3.0),
        INTERIM._replace(done=1e300, total=None, checkpoint=None, number=2**63 - 1),
    ],
)
def test_a_report_is_read_as_it_was_made(report: messages.Report) -> None:
    read = report_in(travelled(message_of(report)))
    assert read == report
    assert type(read) is type(report)


def test_every_message_is_a_tuple_that_begins_with_its_kind_and_the_table_has_them_all() -> None:
    said: list[messages.Order | messages.Report] = [
        Chunk(1, [TASK]),
        Stop(),
        Limited(1.0, 2.0, 3.0, 7),
        Retired(),
        INTERIM,
    ]
    outcomes = [OUTCOME._replace(kind=kind) for kind in REPORTED]
    kinds = [message_of(value)[0] for value in (*said, *outcomes)]
    assert len(set(kinds)) == len(kinds)
    table = (messages.__doc__ or "").replace("``", " ").split()
    assert set(kinds) <= set(table)


@pytest.mark.parametrize(
    "message",
    [
        *(7, None, "stop", "retired", (), ("",), ("retired", 1), ("stop", 1), ([],), [{}], {}),
        *(("limited",), ("limited", 1.0, 2.0), ("limited", 1.0, 2.0, "3")),
        *(("limited", 1.0, 2.0, float("nan")), ("limited", 1.0, float("inf"), 1.0)),
        *(("limited", True, 1.0, 1.0), ("limited", 10**400, 1.0, 1.0)),
        *(("chunk",), ("chunk", 1), ("chunk", "1", []), ("chunk", 1, ())),
    ],
)
def test_what_is_no_message_is_garbled(message: Any) -> None:
    for read in (order_in, report_in):
        with pytest.raises(GarbledError):
            read(message)


def test_manager_and_worker_do_not_say_what_the_other_says() -> None:
    for order in (Chunk(1, []), Stop()):
        with pytest.raises(GarbledError):
            report_in(message_of(order))
    for report in (OUTCOME, Limited(1.0, 2.0, 3.0, 7), Retired(), INTERIM):
        with pytest.raises(GarbledError):
            order_in(message_of(report))


NO_NUMBERS = (True, "1", (), float("nan"), float("inf"), 10**400, -2e12)
NO_TEXTS = (1, b"text", "nul \0", "half \ud800", ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(["kind"], [None, 1, [], "limited", "done", EXPIRED, CRASHED, ORPHANED]),
        *itertools.product(["task_id", "lease"], [None, 1.0, True, "1"]),
        *itertools.product(["started", "ended"], [None, 1, -1.0, *NO_NUMBERS]),
        *itertools.product(["delay", "due"], NO_NUMBERS),
        *itertools.product(["result"], NO_TEXTS),
        *itertools.product(
            ["error"],
            [1, "abc", ("a", "b"), ["a", "b", "c"], *(("a", "b", text) for text in NO_TEXTS)],
        ),
        ("started", 4.5),
    ],
)
def test_an_outcome_that_nobody_could_record_is_garbled(field: str, value: Any) -> None:
    with pytest.raises(GarbledError):
        report_in(travelled(changed(field, value)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(["task_id", "lease", "number"], [None, 1.0, True, "1"]),
        *itertools.product(["version", "resumptions"], [None, 1.0, True, 2**31]),
        *itertools.product(["number", "resumptions"], [-1, 2**63]),
        *itertools.product(["at"], [None, -1.0, *NO_NUMBERS]),
        *itertools.product(["done", "total"], [1, -1.0, *NO_NUMBERS]),
        *itertools.product(["message", "checkpoint"], NO_TEXTS),
        ("message", None),
    ],
)
def test_an_interim_that_nobody_could_write_is_garbled(field: str, value: Any) -> None:
    with pytest.raises(GarbledError):
        report_in(travelled(message_of(INTERIM._replace(**{field: value}))))


@pytest.mark.parametrize(
    ("field", "value"),
    [("delay_seconds", "soon"), ("delay_seconds", object()), ("due_at", float("nan"))],
)
def test_what_a_task_has_smuggled_into_its_outcome_is_refused_before_it_is_sent(
    field: str, value: Any
) -> None:
    with pytest.raises(ValueError, match="is no number"):
        message_of(OUTCOME._replace(kind="postponed", **{field: value}))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
kinds = st.sampled_from([*REPORTED, "limited", "retired", "interim", "chunk", "stop"])
forged = plain | st.tuples(kinds, st.lists(plain, max_size=10)).map(lambda m: (m[0], *m[1]))


@given(message=forged)
def test_whatever_arrives_is_a_report_or_garbled(message: Any) -> None:
    try:
        report = report_in(travelled(message))
    except GarbledError:
        return
    assert report == report_in(message_of(report))


def test_requests_to_cancel_are_read_in_their_order_and_what_is_none_is_left_out() -> None:
    requests = [cancel_message(1, 2), cancel_message(2**62, 3)]
    assert cancels_in(b"".join(requests)) == [(1, 2), (2**62, 3)]
    assert cancels_in(b"x" * len(requests[0]) + requests[1]) == [(2**62, 3)]
    assert cancels_in(requests[0] + requests[1][:-1]) == [(1, 2)]
    assert cancels_in(b"") == []
    assert messages.MAX_CANCEL_BYTES % len(requests[0]) == 0


def test_requests_of_both_kinds_may_come_in_one_piece() -> None:
    data = b"".join([cancel_message(1, 2), give_back_message(3, 4), cancel_message(5, 6)])
    assert cancels_in(data) == [(1, 2), (5, 6)]
    assert give_backs_in(data) == [(3, 4)]
