"""What tasks tell is sent once a second, as a whole, and the last word before the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from django_partisan.attempt import Interim
from django_partisan.worker import interims
from django_partisan.worker.interims import Interims
from tests.support.claimed_tasks import claimed_task
from tests.support.helpers import wait_until


class Sent(list[Interim]):
    """Takes in what is sent, as soon as it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_pass = threading.Event()
        self.may_pass.set()
        self.is_sending = threading.Event()

    def __call__(self, interim: Interim) -> None:
        self.is_sending.set()
        assert self.may_pass.wait(60)
        self.append(interim)


@pytest.fixture
def sent() -> Iterator[Sent]:
    sent = Sent()
    yield sent
    sent.may_pass.set()


def told(done: float | None = None, *, task_id: int = 1, **more: Any) -> Interim:
    return Interim(task_id, 1, 0.0, done)._replace(**more)


def test_the_first_word_goes_at_once_and_the_last_one_goes_in_the_end(sent: Sent) -> None:
    tidings = Interims(sent)
    tidings.start()
    tidings.note(told(1))
    wait_until(lambda: [one.done for one in sent] == [1])
    tidings.note(told(2))
    tidings.note(told(3))
    tidings.settle(claimed_task(1))
    assert [one.done for one in sent] == [1, 3]


def test_what_is_told_last_is_sent_though_nothing_follows(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interims, "SEND_SECONDS", 0.01)
    tidings = Interims(sent)
    tidings.start()
    for round_ in range(20):
        for number in range(100):
            tidings.note(told(round_ * 100 + number))
        wait_until(partial(_has_arrived, sent, round_ * 100 + 99))


def test_each_task_has_a_last_word_of_its_own(sent: Sent) -> None:
    tidings = Interims(sent)
    tidings.note(told(1, task_id=1))
    tidings.note(told(2, task_id=2))
    assert tidings.tellers == {(1, 1), (2, 1)}
    tidings.settle(claimed_task(2))
    assert [(one.task_id, one.done) for one in sent] == [(2, 2)]
    tidings.settle(claimed_task(3))
    tidings.settle(claimed_task(1))
    assert [one.task_id for one in sent] == [2, 1]
    assert not tidings.tellers


def test_the_end_waits_for_what_is_being_sent(sent: Sent) -> None:
    tidings = Interims(sent)
    sent.may_pass.clear()
    tidings.start()
    tidings.note(told(1))
    assert sent.is_sending.wait(60)
    ended = threading.Thread(target=tidings.settle, args=(claimed_task(1),))
    ended.start()
    assert ended.is_alive()
    assert not sent
    sent.may_pass.set()
    ended.join()
    assert [one.done for one in sent] == [1]


def test_progress_and_checkpoint_do_not_displace_each_other() -> None:
    progress = told(1.0, total=2.0, message="half")
    checkpoint = told(None, number=5, checkpoint="[3]", version=2, resumptions=1)
    both = checkpoint.over(progress)
    assert (both.done, both.message, both.checkpoint) == (1.0, "half", "[3]")
    both = told(2.0, total=2.0).over(both)
    assert (both.done, both.message, both.number, both.checkpoint) == (2.0, "", 5, "[3]")
    assert (both.version, both.resumptions) == (2, 1)
    assert checkpoint._replace(lease=2).over(progress).done is None
    assert checkpoint.over(None) is checkpoint


def test_that_there_is_a_checkpoint_is_not_forgotten_over_later_progress() -> None:
    found = told(None, number=5)
    assert told(1.0).over(found).number == 5
    assert found.over(told(1.0)).number == 5
    saved = told(None, number=4, checkpoint="[1]")
    assert found.over(saved).checkpoint == "[1]"
    assert told(None, number=6, checkpoint="[2]").over(found).checkpoint == "[2]"


def test_telling_often_sends_no_more_often(sent: Sent) -> None:
    tidings = Interims(sent)
    tidings.start()
    began = time.monotonic()
    for number in range(100_000):
        tidings.note(told(number))
    tidings.settle(claimed_task(1))
    # The first, one each second, and the last.
    assert len(sent) <= 2 + (time.monotonic() - began) / interims.SEND_SECONDS
    assert sent[-1].done == 99_999


def _has_arrived(sent: Sent, last: float) -> bool:
    return bool(sent) and sent[-1].done == last
