"""What a processor may tell of its progress, and what it is told when that is none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from django_partisan.attempt import Interim
from django_partisan.execution.interims import hearing
from django_partisan.processor import BaseTaskProcessor
from tests.support.claimed_tasks import claimed_task
from tests.support.processors import Plain


class Heard(list[Interim]):
    def note(self, interim: Interim) -> None:
        self.append(interim)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    monkeypatch.setattr(hearing, "listener", heard)
    return heard


@pytest.fixture
def processor() -> BaseTaskProcessor:
    bound = Plain(1)
    bound.bind(claimed_task(7, lease=3))
    return bound


def test_a_running_task_tells_who_it_is_and_how_far(
    processor: BaseTaskProcessor, heard: Heard
) -> None:
    processor.progress(3, 10, "three")
    processor.progress(0.5)
    processor.progress(2**80, total=12)
    assert [one[:2] for one in heard] == [(7, 3)] * 3
    assert [one[3:6] for one in heard] == [
        (3.0, 10.0, "three"),
        (0.5, None, ""),
        (float(2**80), 12.0, ""),
    ]
    assert all(type(one.done) is float for one in heard)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"done": "3"}, "progress(done=) takes a number, got '3'"),
        ({"done": None}, "progress(done=) takes a number, got None"),
        ({"done": True}, "progress(done=) takes a number, got True"),
        ({"done": 1, "total": [2]}, "progress(total=) takes a number, got [2]"),
        ({"done": -1}, "progress(done=) takes a finite number from 0 on, got -1"),
        ({"done": math.nan}, "progress(done=) takes a finite number from 0 on, got nan"),
        ({"done": 1, "total": math.inf}, "progress(total=) takes a finite number from 0 on"),
        ({"done": 10**400}, "progress(done=) takes a finite number from 0 on"),
        ({"done": 1, "message": 5}, "progress(message=) takes a text, got 5"),
        ({"done": 1, "message": None}, "progress(message=) takes a text, got None"),
        ({"done": 1, "message": "x" * 501}, "at most 500 characters, got 501; say it in short"),
    ],
)
def test_what_is_no_progress_is_refused_in_a_sentence(
    processor: BaseTaskProcessor, heard: Heard, call: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        processor.progress(**call)
    assert sentence in str(refused.value)
    assert not heard


def test_a_message_that_no_database_can_store_is_made_storable(
    processor: BaseTaskProcessor, heard: Heard
) -> None:
    processor.progress(1, message="a\0b\ud800")
    assert heard[0].message == "a\ufffdb\\ud800"


def test_a_run_without_a_task_tells_nobody(heard: Heard) -> None:
    class TellAndReturn(BaseTaskProcessor):
        def run(self) -> str:
            self.progress(1, 2, "half")
            return "done"

    assert TellAndReturn().run_now() == "done"
    assert not heard
