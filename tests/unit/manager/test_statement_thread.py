"""A call beside the loop gives its answer back, and wakes whoever waits for it."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator

import pytest

from django_partisan.manager.statement_thread import StatementThread


@pytest.fixture
def statement() -> Iterator[StatementThread]:
    made = StatementThread()
    yield made
    made.close()


def test_a_call_runs_in_another_thread_and_its_value_comes_back(statement: StatementThread) -> None:
    statement.start(threading.get_ident)
    assert statement.result() != threading.get_ident()


def test_an_error_of_the_call_is_raised_to_whoever_asks_for_its_value(
    statement: StatementThread,
) -> None:
    statement.start(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        statement.result()
    statement.start(lambda: "fine again")
    assert statement.result() == "fine again"


def test_the_descriptor_is_readable_from_the_end_of_the_call_until_its_value_is_taken(
    statement: StatementThread,
) -> None:
    may_end = threading.Event()
    statement.start(may_end.wait)
    assert select.select([statement], [], [], 0)[0] == []
    may_end.set()
    assert select.select([statement], [], [], 30)[0] == [statement]
    statement.result()
    assert select.select([statement], [], [], 0)[0] == []


def test_the_thread_ends_when_it_is_closed_and_needs_not_have_begun() -> None:
    used, unused = StatementThread(), StatementThread()
    used.start(threading.current_thread)
    thread = used.result()
    for statement in (used, unused):
        statement.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(statement.fileno())
    assert not thread.is_alive()


def test_without_a_thread_the_call_is_made_at_once(
    statement: StatementThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as lacking:
        lacking.setattr(threading.Thread, "start", refuse)
        statement.start(threading.get_ident)
        assert select.select([statement], [], [], 0)[0] == [statement]
        assert statement.result() == threading.get_ident()
        statement.start(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            statement.result()
    statement.start(threading.get_ident)
    assert statement.result() != threading.get_ident()
