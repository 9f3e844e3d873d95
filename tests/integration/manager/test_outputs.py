"""Storing what tries print: with their outcomes, and a failure of it never in their way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.db import DataError

from django_partisan import lifecycle
from django_partisan.attempt import FINISHED, RECORDED, RELEASED, ClaimedTask
from django_partisan.config.const import NEVER
from django_partisan.manager import WorkersManager
from django_partisan.manager.duties import outputs as module
from django_partisan.manager.pool.output import WorkerOutput
from django_partisan.models import Output, Task
from django_partisan.payloads.printed import Printed
from tests.app.printing import PrintBy, PrintUnkept
from tests.support.claimed_tasks import finished_outcome
from tests.support.managing import managing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> Iterator[WorkersManager]:
    with managing() as made:
        yield made


class Said:
    """A worker's output in which everything stands already."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        self.done = {(1, 1): text} if text else {}

    def take(self, task: ClaimedTask) -> Printed | None:
        if not self._text:
            return None
        printed = Printed()
        printed.add(self._text.replace("ID", str(task.id)).encode())
        return printed


def claimed(manager: WorkersManager, *processors: PrintBy) -> list[ClaimedTask]:
    for processor in processors:
        processor.delay()
    assert manager.heartbeat.manager_id is not None
    return lifecycle.claim("default", 100, manager.heartbeat.manager_id)


def end(manager: WorkersManager, task: ClaimedTask, text: str, kind: str = FINISHED) -> None:
    outcome = finished_outcome(task)._replace(kind=kind)
    manager.outputs.ended(cast("WorkerOutput", Said(text)), task, outcome)
    if kind == RECORDED:
        manager.round_trip.was_recorded(task)
    else:
        manager.round_trip.ended(task, outcome, 1)


def turn(manager: WorkersManager) -> None:
    now = time.monotonic()
    manager.link.use(now, lambda: manager.round_trip.before_recording(now))


def texts() -> dict[int, str]:
    return {output.task_id: output.text for output in Output.objects.all()}


def test_output_is_there_when_the_outcome_is(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[int, str]] = []
    record = lifecycle.record

    def recording(*args: Any, **kwargs: Any) -> Any:
        seen.append(texts())
        return record(*args, **kwargs)

    monkeypatch.setattr(lifecycle, "record", recording)
    silent, loud = claimed(manager, PrintBy("silence"), PrintBy("by_print"))
    end(manager, silent, "")
    end(manager, loud, "said")
    manager.link.use(time.monotonic(), lambda: manager.round_trip._record(time.monotonic()))
    assert seen == [{loud.id: "said"}]
    assert Task.objects.get(pk=loud.id).status == "finished"


@pytest.mark.parametrize("kind", [RECORDED, RELEASED])
def test_it_is_stored_however_the_try_ended(manager: WorkersManager, kind: str) -> None:
    [task] = claimed(manager, PrintBy("by_print"))
    end(manager, task, "said", kind)
    turn(manager)
    assert texts() == {task.id: "said"}
    assert manager.outputs.next_deadline() == NEVER


def test_of_a_processor_that_is_not_captured_nothing_is_stored(manager: WorkersManager) -> None:
    [task] = claimed(manager, PrintUnkept("by_print"))
    end(manager, task, "said")
    turn(manager)
    assert texts() == {}


def test_neither_is_anything_of_what_is_deleted_when_it_has_finished(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(manager.outputs), "_deletes", lambda _: True)
    [task] = claimed(manager, PrintBy("by_print"))
    end(manager, task, "said")
    assert manager.outputs.next_deadline() == NEVER


def test_what_is_large_is_stored_by_several_statements(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    store = lifecycle.store_outputs

    def storing(batch: Any) -> None:
        batches.append(len(batch))
        store(batch)

    monkeypatch.setattr(lifecycle, "store_outputs", storing)
    tasks = claimed(manager, *[PrintBy("by_print")] * 5)
    most = max(len(f"task {task.id}\n") for task in tasks)
    monkeypatch.setattr(module, "STATEMENT_BYTES", most + 1)
    for task in tasks:
        end(manager, task, "task ID\n")
    turn(manager)
    assert batches == [2, 2, 1]
    assert texts() == {task.id: f"task {task.id}\n" for task in tasks}


def test_what_is_too_much_to_wait_is_lost_and_told(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    first, second = claimed(manager, *[PrintBy("by_print")] * 2)
    end(manager, first, "short\n")
    end(manager, second, "longer\n")
    assert f"task {second.id}: what it has printed is lost" in caplog.text
    turn(manager)
    assert texts() == {first.id: "short\n"}


def test_an_output_that_is_refused_is_in_nobodys_way(
    manager: WorkersManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(_: Any) -> None:
        raise DataError("no")

    monkeypatch.setattr(lifecycle, "store_outputs", refusing)
    [task] = claimed(manager, PrintBy("by_print"))
    end(manager, task, "said")
    turn(manager)
    manager.link.use(time.monotonic(), lambda: manager.round_trip._record(time.monotonic()))
    assert Task.objects.get(pk=task.id).status == "finished"
    assert "storing what tasks print failed" in caplog.text
    assert manager.outputs.next_deadline() == NEVER
