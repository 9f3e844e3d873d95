"""Whoever writes a row into the table cannot make a worker import or run what is no processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django_partisan.models import Attempt, Task
from tests.app.partisan_tasks import Note
from tests.processes.conftest import StartManager
from tests.settings import INSTALLED_APPS
from tests.support.helpers import wait_until
from tests.support.ledger import Book, all_are

SECRETS = {"user": "bob", "password": "hunter2 & co", "card": {"number": "4111-1111", "year": 30}}
FORGED: list[tuple[str, list[Any]]] = [
    ("os.system", ["touch {trap}"]),
    ("subprocess.Popen", [["touch", "{trap}"]]),
    ("builtins.eval", ["open('{trap}', 'w')"]),
    ("tests.trap_app.Trap", []),
    ("tests.trap_app", []),
    ("tests.late_app.partisan_tasks.Late", []),
    ("django_partisan.processor.BaseTaskProcessor", []),
    ("tests.app.partisan_tasks.Noted", []),
    ("tests.app.partisan_tasks.Note.run", []),
    ("tests.app.partisan_tasks.Note; import os", []),
    ("tests.app.models.Ledger", []),
    ("tests.app.functions.undecorated", ["{trap}"]),
    ("tests.app.functions.add.__wrapped__", [1, 2]),
    ("tests.app.functions.made_here.<locals>.local", ["{trap}"]),
    ("undecorated", ["{trap}"]),
    ("tests.shop_app.models.Order.undecorated", [1, "{trap}"]),
    ("tests.shop_app.models.Order.delete", [1]),
    ("tests.shop_app.models.Sendable.send", [1]),
    ("django_partisan.processor.methods.MethodProcessor", [1]),
    ("django_partisan.processor.function_processor.FunctionProcessor", []),
    ("../../tests/trap_app", []),
    ("__import__", ["tests.trap_app"]),
    ("'; DROP TABLE django_partisan_task; --", []),
    ("", []),
]


def test_a_forged_row_imports_nothing_runs_nothing_and_says_why(
    start_manager: StartManager, book: Book, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    manager = start_manager(environment={"PARTISAN_TEST_TRAP": str(trap)})
    forged = [_forge(name, [_filled(value, trap) for value in args]) for name, args in FORGED]
    book.ids += forged
    good = book.enqueue(*[Note()] * 10)
    wait_until(lambda: all_are(good, "finished") and all_are(forged, "error"))
    assert not trap.exists(), trap.read_text()
    for pk, (name, _) in zip(forged, FORGED, strict=True):
        attempt = Attempt.objects.get(task_id=pk)
        assert attempt.error_type.endswith("ProcessorClassNotFound")
        assert f"Processor class {name} cannot be found. Is it registered?" in attempt.message
    assert not Task.objects.exclude(rescues=0).exists(), manager.log


def test_secret_arguments_reach_the_task_and_neither_its_errors_nor_the_log(
    start_manager: StartManager, book: Book
) -> None:
    manager = start_manager(settings={"INSTALLED_APPS": [*INSTALLED_APPS, "tests.secret_app"]})
    name = "tests.secret_app.partisan_tasks.Login"
    users = ("bob", "nobody", "alice")
    tasks = [
        Task.objects.create(
            processor_class=name, arguments={"args": [], "kwargs": {**SECRETS, "user": user}}
        )
        for user in users
    ]
    function = Task.objects.create(
        processor_class="tests.secret_app.partisan_tasks.log_in",
        arguments={"args": ["bob", SECRETS["password"]], "kwargs": {"card": SECRETS["card"]}},
    )
    failing, alice = [task.pk for task in (*tasks[:2], function)], tasks[2]
    book.ids += [*failing, alice.pk]
    wait_until(lambda: all_are(failing, "error") and all_are([alice.pk], "finished"))
    alice.refresh_from_db()
    assert alice.result == {**SECRETS, "user": "alice"}, "what is stored is stored as it is"
    told = [manager.log]
    for attempt in Attempt.objects.all():
        told += [attempt.message, attempt.traceback]
        assert "********" in attempt.message
    for text in told:
        assert "hunter2" not in text
        assert "4111" not in text


def _forge(processor_class: str, args: list[Any]) -> int:
    arguments = {"args": args, "kwargs": {}}
    return Task.objects.create(processor_class=processor_class, arguments=arguments).pk


def _filled(value: Any, trap: Path) -> Any:
    if isinstance(value, list):
        return [_filled(item, trap) for item in value]
    return str(value).replace("{trap}", str(trap))
