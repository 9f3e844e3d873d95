"""Real managers run tasks of decorated functions."""

from __future__ import annotations

from pathlib import Path

from django_partisan.models import Task
from tests.app.functions import add, charge, count_and_fail, postpone_until_there, touch
from tests.processes.conftest import StartManager
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are


def test_functions_are_called_retried_and_postponed_as_classes_are(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    manager = start_manager()
    paths = [str(tmp_path / name) for name in ("touched", "counted", "postponed")]
    added = add.options(priority=1).delay(2, 3, times=2)
    tasks = [
        touch.delay(paths[0]),
        count_and_fail.delay(paths[1]),
        postpone_until_there.delay(paths[2]),
    ]
    many = touch.delay_many([(str(tmp_path / str(number)),) for number in range(20)])
    failing = charge.delay("ann", {"number": "4111-1111"})
    good = [task.pk for task in (added, *tasks, *many)]
    book.ids += [*good, failing.pk]
    wait_until(lambda: all_are(good, "finished") and all_are([failing.pk], "error"))
    results = dict(Task.objects.values_list("pk", "result"))
    assert results[added.pk] == 10
    assert results[tasks[1].pk] == 3
    assert results[tasks[2].pk] == "there"
    assert all((tmp_path / str(number)).exists() for number in range(20))
    assert "RuntimeError: ann has no 4111-1111" in manager.log
