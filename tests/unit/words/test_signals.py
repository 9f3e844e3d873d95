"""A signal reaches its receivers, and nothing of what they raise reaches anybody else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.dispatch import Signal

from django_partisan import signals
from django_partisan.exceptions import TaskCancelled, TaskTimedOut
from django_partisan.signals import PartisanSignal
from tests.support.listening import ALL


class Mail:
    """Stands for a processor."""


@pytest.fixture
def signal() -> PartisanSignal:
    return PartisanSignal("task_tried", "task")


def burst(task: Any, **_: Any) -> None:
    raise ValueError(f"broken at {task}")


def leave(**_: Any) -> None:
    raise SystemExit("no more of this")


class Receiver:
    """A receiver that is no function."""

    def __call__(self, **_: Any) -> None:
        raise KeyError("object")


def test_every_name_of_the_module_is_a_signal_of_djangos() -> None:
    names = [name for name in vars(signals) if name.startswith(("task_", "worker_", "manager_"))]
    assert [signal.name for signal in ALL] == names
    assert all(isinstance(signal, Signal) for signal in ALL)
    assert all(vars(signals)[signal.name] is signal for signal in ALL)
    assert repr(signals.task_failed) == "<signal task_failed>"


def test_receivers_get_sender_and_arguments(signal: PartisanSignal) -> None:
    heard: list[Any] = []

    def hear(**given: Any) -> None:
        heard.append(given)

    signal.connect(hear)
    signal.deliver(Mail, task=7)
    assert heard == [{"signal": signal, "sender": Mail, "task": 7}]


def test_each_reason_is_logged_once_for_each_receiver_and_the_others_are_called(
    signal: PartisanSignal, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def hear(task: int, **_: Any) -> None:
        heard.append(task)

    last = Receiver()
    for receiver in (burst, last, hear):
        signal.connect(receiver)
    with caplog.at_level(logging.ERROR):
        for number in (1, 2):
            signal.deliver(Mail, task=number)
    assert heard == [1, 2]
    first, second = caplog.records
    assert first.name == second.name == "django_partisan.signals"
    assert "test_signals.burst of task_tried raised ValueError" in first.getMessage()
    assert first.getMessage().endswith("broken at 1")
    assert first.exc_info is not None
    assert "test_signals.Receiver of task_tried raised KeyError" in second.getMessage()


def test_a_receiver_cannot_end_the_process_of_whoever_sends(
    signal: PartisanSignal, caplog: pytest.LogCaptureFixture
) -> None:
    signal.connect(leave)
    with caplog.at_level(logging.ERROR):
        signal.deliver(None, task=1)
    assert "task_tried raised SystemExit" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TaskCancelled(), TaskTimedOut(3)])
def test_what_others_raise_inside_of_a_receiver_reaches_whom_it_is_meant_for(
    signal: PartisanSignal, error: BaseException
) -> None:
    def wait(**_: Any) -> None:
        raise error

    signal.connect(wait)
    with pytest.raises(type(error)):
        signal.deliver(None, task=1)
