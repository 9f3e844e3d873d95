"""What a manager and its workers log of tasks: which one it is about, and how it ended."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.app.partisan_tasks import Exit, Fail, Log, SucceedAtThird
from tests.app.stopped_tasks import SwallowAndGoOn
from tests.processes.conftest import StartManager
from tests.support.harness import Manager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are


def lines_about(manager: Manager, task_id: int) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in manager.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("task_id") == task_id]


def levels(lines: list[dict[str, Any]], least: str = "WARNING") -> list[str]:
    order = ["DEBUG", "INFO", "WARNING", "ERROR"]
    return [line["level"] for line in lines if order.index(line["level"]) >= order.index(least)]


def test_each_end_in_error_is_logged_once_whoever_is_left_to_tell(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(
        settings={"PARTISAN_MAX_RESCUES": 1}, arguments=("--json_logs",), queue={"WORKERS_COUNT": 3}
    )
    fails, dies, hangs = book.enqueue(Fail("two\nlines"), Exit(7), SwallowAndGoOn())
    wait_until(lambda: all_are([fails, dies, hangs], "error"), message=lambda: manager.log)
    wait_until(lambda: all(levels(lines_about(manager, i), "ERROR") for i in book.ids))
    assert manager.stop() == 0
    (own,) = lines_about(manager, fails)
    assert own["message"] == f"task {fails} failed: RuntimeError: two lines"
    assert "RuntimeError: two\nlines" in own["exception"]
    assert "in work" in own["exception"]
    assert "django_partisan/execution" not in own["exception"]
    crash, end = lines_about(manager, dies)
    assert (crash["level"], end["level"]) == ("WARNING", "ERROR")
    assert "WorkerDied" in end["message"]
    assert "exited with code 7" in end["message"]
    assert end["processor"].endswith(".Exit")
    told = [line for line in lines_about(manager, hangs) if line["level"] == "ERROR"]
    assert len(told) == 1
    assert "TIMEOUT_SECONDS" in told[0]["message"]
    assert "exception" not in told[0], "nobody knows where it was"


def test_each_retry_is_a_warning(start_manager: StartManager, book: Book) -> None:
    manager = start_manager(arguments=("--json_logs",))
    book.run(SucceedAtThird())
    task_id = book.ids[-1]
    assert manager.stop() == 0
    lines = lines_about(manager, task_id)
    assert levels(lines) == ["WARNING", "WARNING"]
    assert [line["attempt"] for line in lines] == [1, 2, 3]
    assert "exception" not in lines[0]


@pytest.mark.parametrize("arguments", [(), ("--json_logs",)])
def test_what_a_task_logs_carries_its_id(
    start_manager: StartManager, book: Book, arguments: tuple[str, ...]
) -> None:
    manager = start_manager(arguments=arguments)
    book.run(Log())
    task_id = book.ids[-1]
    assert manager.stop() == 0
    said = [line for line in manager.log.splitlines() if "is empty" in line or "thread" in line]
    assert len(said) == 3, manager.log
    if arguments:
        fields = [json.loads(line) for line in said]
        assert [line["task_id"] for line in fields] == [task_id] * 3
        assert fields[0]["queue"] == "at the door", "what the code says itself counts"
    else:
        assert all(re.search(rf" \[task_id={task_id} processor=", line) for line in said)
