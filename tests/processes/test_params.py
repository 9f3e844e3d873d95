"""Real managers run tasks with typed arguments, of this version and of others."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django_partisan.lifecycle import requeue
from django_partisan.models import Attempt, Task
from django_partisan.registry.registry import registry
from tests.app.typed import Invoice
from tests.processes.conftest import StartManager
from tests.support.helpers import command_environment, wait_until
from tests.support.ledger import Book, all_are
from tests.support.rows import make_task

KEYS = [UUID(int=number) for number in range(30)]
SINCE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
STORED = {"key": str(KEYS[0]), "since": SINCE.isoformat()}


def arguments(version: int, **kwargs: Any) -> dict[str, Any]:
    return {"args": [], "kwargs": {"customer": STORED, **kwargs}, "version": version}


def check_payloads() -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "django", "partisan", "check-payloads", "--format", "json"],
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_typed_arguments_reach_workers_and_what_they_cannot_read_waits_for_a_deploy(
    start_manager: StartManager, book: Book
) -> None:
    name = registry.stored_name(Invoice)
    good = Invoice.delay_many([({"key": key, "since": SINCE}, "1.50") for key in KEYS])
    old = make_task(processor_class=name, arguments=arguments(1, cents=250))
    new = make_task(processor_class=name, arguments=arguments(3, amount="4.00"))
    wrong = make_task(processor_class=name, arguments=arguments(2, amount="none"))
    ids, unread = [*(task.pk for task in good), old.pk], [new.pk, wrong.pk]
    book.ids += [*ids, *unread]
    code, found = check_payloads()
    reasons = found["processors"][name]["reasons"]
    assert (code, found["tasks"]) == (1, len(ids) + len(unread))
    assert sorted(pk for reason in reasons for pk in reason["ids"]) == sorted(unread)
    start_manager()
    wait_until(lambda: all_are(ids, "finished") and all_are(unread, "error"))
    results: dict[int, Any] = dict(Task.objects.values_list("pk", "result"))
    assert [results[task.pk] for task in good] == [[f"{k.hex} 02.01.2026", "3.00"] for k in KEYS]
    assert results[old.pk] == [f"{KEYS[0].hex} 02.01.2026", "5.0"]
    told = dict(Attempt.objects.filter(task_id__in=unread).values_list("task_id", "message"))
    assert "this code knows SCHEMA_VERSION 2" in told[new.pk]
    assert "amount: Input should be a valid decimal" in told[wrong.pk]
    assert {task.retries for task in Task.objects.filter(pk__in=unread)} == {0}
    # As if the code that knows it had been deployed.
    row = Task.objects.get(pk=new.pk)
    assert row.arguments == arguments(3, amount="4.00")
    Task.objects.filter(pk=new.pk).update(arguments={**row.arguments, "version": 2})
    requeue([new.pk])
    wait_until(lambda: all_are([new.pk], "finished"))
    assert check_payloads() == (
        0,
        {"complete": True, "tasks": 0, "cannot_run": 0, "processors": {}},
    )
    results = dict(Task.objects.values_list("pk", "result"))
    assert results[new.pk][1] == "8.00"
