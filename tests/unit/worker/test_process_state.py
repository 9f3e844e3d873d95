"""When a worker looks at its process, and when it trusts a processor not to have changed it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from django_partisan.worker import process_state
from django_partisan.worker.process_state import ProcessState

LIMIT = 20


@pytest.fixture
def umask() -> Iterator[None]:
    known = os.umask(0o022)
    yield
    os.umask(known)


@pytest.fixture
def place(umask: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessState]:
    """ProcessState in which a trusted processor is never looked at again for its time alone."""
    monkeypatch.setattr(process_state, "_TRUST_SECONDS", 1000.0)
    # The others belong to pytest: its alarm, its environment.
    monkeypatch.setattr(process_state, "_PARTS", (process_state._umask,))
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ProcessState([ours.fileno()])


def is_changed() -> bool:
    known = os.umask(0o022)
    return known != 0o022


def change(place: ProcessState, processor: str) -> None:
    """Change the umask as a task of this processor would."""
    os.umask(0)
    place.restore(processor)


def trust(place: ProcessState, processor: str) -> None:
    for _ in range(LIMIT):
        place.restore(processor)


def test_a_new_processor_is_looked_at_after_each_task(place: ProcessState) -> None:
    for _ in range(LIMIT):
        change(place, "new")
        assert not is_changed()


def test_a_trusted_processor_is_looked_at_before_a_task_of_another_one(place: ProcessState) -> None:
    trust(place, "trusted")
    change(place, "trusted")
    place.prepare("trusted")
    assert os.umask(0) == 0, "trusted"
    place.prepare("other")
    assert not is_changed()


def test_a_processor_that_broke_its_trust_never_gets_it_back(place: ProcessState) -> None:
    trust(place, "trusted")
    change(place, "trusted")
    place.prepare("other")
    trust(place, "trusted")
    change(place, "trusted")
    assert not is_changed()


def test_one_broken_trust_puts_all_others_on_probation(place: ProcessState) -> None:
    trust(place, "innocent")
    change(place, "guilty")
    change(place, "innocent")
    assert not is_changed()


def test_a_millisecond_later_a_trusted_processor_is_looked_at_again(
    place: ProcessState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_state, "_TRUST_SECONDS", 0.0)
    trust(place, "trusted")
    change(place, "trusted")
    assert not is_changed()


def test_what_a_handler_of_the_task_raises_in_between_is_the_tasks_and_all_is_restored(
    place: ProcessState, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    look = place._restore_all

    def interrupted() -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise TimeoutError("by the task's own handler")
        return look()

    monkeypatch.setattr(place, "_restore_all", interrupted)
    os.umask(0)
    with pytest.raises(TimeoutError):
        place.restore("new")
    assert not is_changed()
